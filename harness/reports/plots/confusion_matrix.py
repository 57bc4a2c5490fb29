"""The champion's confusion matrix: which class is taken for which, in counts and in shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from harness.reports.plots.style import ACCENT, Plot, label, layout, slanted

LEGIBLE = 12
"""So many classes have their numbers written into the cells."""


@dataclass(frozen=True)
class Confusion:
    """`counts` and `shares` by [true][predicted]; a share is of the true class's examples."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]


def data(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Confusion:
    shares = tuple(tuple(n / max(1, sum(row)) for n in row) for row in counts)
    return Confusion(tuple(classes), tuple(map(tuple, counts)), shares)


def plots(found: Confusion) -> list[Plot]:
    counts = [[str(n) if n else "" for n in row] for row in found.counts]
    shares = [[f"{100 * share:.0f}" if share else "" for share in row] for row in found.shares]
    return [
        Plot("confusion-counts", "examples", _figure(found, counts)),
        Plot("confusion-shares", "per cent of the true class", _figure(found, shares)),
    ]


def _figure(found: Confusion, texts: Sequence[Sequence[str]]) -> go.Figure:
    # The diagonal would drown what the matrix is looked at for: colours stop at a fifth.
    # By number, not by name: two long names may be cut to the same letters.
    names, places = [label(name, 14) for name in found.names], list(range(len(found.names)))
    cells = [
        [
            f"{label(found.names[true])} taken for {label(found.names[said])}: "
            f"{found.counts[true][said]} ({found.shares[true][said]:.1%})"
            for said in places
        ]
        for true in places
    ]
    made = go.Figure(
        go.Heatmap(
            z=found.shares,
            x=places,
            y=places,
            customdata=cells,
            text=texts,
            texttemplate="%{text}" if len(names) <= LEGIBLE else None,
            textfont={"size": 10},
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[[0, "rgba(47, 129, 247, 0.03)"], [1, ACCENT]],
            zmin=0,
            zmax=0.2,
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    layout(made, 150 + 30 * min(len(names), 20))
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False}
    made.update_yaxes(autorange="reversed", **ticks)
    made.update_xaxes(tickangle=slanted(found.names), **ticks)
    return made
