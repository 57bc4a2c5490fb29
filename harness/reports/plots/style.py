"""What the figures share, and the two promises that page.js builds on.

A figure knows its trials: where a scatter trace shows trials, its `customdata` holds the number of
the trial at every point (None in the gaps between lines), and where a heat map's rows are trials,
`meta["rows"]` holds their numbers. By these the page finds a trial in every plot.

A figure stands on a page that may be light or dark, wide or narrow: it leaves its background
transparent and its width open, and the page gives text and grid their colours.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

INK = "#7d8590"
"""Text and axes: readable on white and on near-black."""
GRID = "rgba(125, 133, 144, 0.22)"
FAINT = "rgba(125, 133, 144, 0.4)"
SHADE = "rgba(125, 133, 144, 0.1)"
"""Of an area behind what is drawn."""
COLOURS = ("#2f81f7", "#e3742f", "#2da44e", "#c2509b", "#9a6dd7", "#b08800", "#1b9e9e", "#e5534b")
"""Of the selected trials, in order; page.js takes them from here."""
ACCENT = COLOURS[0]
NEUTRAL = "#8c959f"
"""Of what is not selected: colours are the selection's."""
STATES = {
    "COMPLETE": NEUTRAL,
    "PRUNED": "rgba(125, 133, 144, 0.65)",
    "FAILED": "#e5534b",
    "INTERRUPTED": "#9a6dd7",
    "RUNNING": NEUTRAL,
}
LONGEST = 40


@dataclass(frozen=True)
class Plot:
    """One figure and its place on the page."""

    name: str
    """The id of its element: lower case, words joined by hyphens."""
    title: str
    figure: go.Figure
    wide: bool = False
    """Whether it takes the page's whole width, rather than standing beside others."""


def label(text: str, longest: int = LONGEST) -> str:
    """`text` as Plotly shows it letter by letter: it would read tags and entities otherwise."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return html.escape(short, quote=False)


def slanted(names: Sequence[str]) -> int:
    """The angle, in degrees, of class names below a matrix: short ones stand upright."""
    return -45 if max(map(len, names), default=0) > 3 else 0


def whiskers(
    values: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> dict[str, Any]:
    """Error bars from `low` to `high` around each value."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [end - value for value, end in zip(values, high, strict=True)],
        "arrayminus": [value - end for value, end in zip(values, low, strict=True)],
        "thickness": 1.5,
        "width": 3,
    }


def layout(figure: go.Figure, height: int, **more: Any) -> go.Figure:
    """Give a figure the page's look; `height` in px."""
    figure.update_layout(
        height=height,
        margin={"l": 56, "r": 12, "t": 12, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        colorway=COLOURS,
        showlegend=False,
        hovermode="closest",
    )
    figure.update_layout(**more)
    figure.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True)
    return figure
