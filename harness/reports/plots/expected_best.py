"""The expected best of n trials beside what the search had after n: how many were worth it."""

from __future__ import annotations

import plotly.graph_objects as go

from harness.analysis.expected_best import ExpectedBest
from harness.metrics import get_sort_sign
from harness.reports.plots.scatter import focus, title
from harness.reports.plots.scatter import form as form_of
from harness.reports.plots.style import ACCENT, FAINT, INK, NEUTRAL, layout

BAND = "rgba(47, 129, 247, 0.15)"
"""ACCENT, faint."""


def says(found: ExpectedBest) -> str:
    return (
        f"Of n trials drawn at random from the {found.trials} that gave a result, the best is "
        "expected on the blue line, and that of 90 % of the draws lies in its band: "
        f"{found.judged}. A sampler that learns makes late trials better than early ones: the grey "
        "line is what the search had after n trials. Of a pruned trial its best until then counts."
    )


def figure(found: ExpectedBest) -> go.Figure:
    made, form = go.Figure(), form_of(found.objective)
    steps = [n for n, _ in found.curve]
    low, high, mean, course = (
        [values[n - 1] for n in steps]
        for values in (found.low, found.high, found.mean, found.course)
    )
    quiet = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    made.add_trace(go.Scatter(x=steps, y=low, **quiet))
    made.add_trace(go.Scatter(x=steps, y=high, fill="tonexty", fillcolor=BAND, **quiet))
    made.add_trace(
        go.Scatter(
            x=steps,
            y=course,
            mode="lines",
            line={"color": NEUTRAL, "width": 1.5, "shape": "hv"},
            name="the first n that ran",
            hovertemplate=f"the first %{{x}} that ran: %{{y:{form}}}<extra></extra>",
        )
    )
    made.add_trace(
        go.Scatter(
            x=steps,
            y=mean,
            text=[
                f"{found.written(a)} to {found.written(b)}" for a, b in zip(low, high, strict=True)
            ],
            mode="lines",
            line={"color": ACCENT, "width": 2.5},
            name="n drawn at random",
            hovertemplate=f"%{{x}} drawn at random: %{{y:{form}}} (90 %: %{{text}})<extra></extra>",
        )
    )
    made.add_trace(
        go.Scatter(
            x=[found.enough],
            y=[found.mean[found.enough - 1]],
            mode="markers",
            marker={"color": ACCENT, "size": 9, "line": {"color": INK, "width": 1}},
            name=f"{found.enough} are near enough",
            hovertemplate=f"%{{x}} are near enough: %{{y:{form}}}<extra></extra>",
        )
    )
    sign = -get_sort_sign(found.objective)
    near = found.best - sign * found.tolerance
    made.add_hline(y=near, line={"color": FAINT, "width": 1.5, "dash": "dot"})
    ticks = [n for n in _ticks(found.trials) if n < 0.8 * found.trials]
    layout(
        made,
        320,
        margin={"l": 52, "r": 12, "t": 30, "b": 40},
        showlegend=True,
        legend={
            **{"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
            "traceorder": "normal",  # Plotly turns it round where something is filled
        },
    )
    made.update_xaxes(
        title_text="trials, n", type="log", tickvals=[*ticks, found.trials], tickformat=",d"
    )
    shown = [found.mean[n - 1] for n in _ticks(found.trials)]
    reach = focus([*shown, found.best], [near], found.objective)
    made.update_yaxes(title_text=title(found.objective), range=list(reach))
    return made


def _ticks(trials: int) -> list[int]:
    """1, 2, 5, 10 and so on, up to that many."""
    every = (digit * 10**power for power in range(len(str(trials))) for digit in (1, 2, 5))
    return [n for n in every if n <= trials]
