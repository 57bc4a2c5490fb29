"""Colours, labels and layout that all figures share, and the rules that page.js relies on.

A figure identifies its trials. A scatter trace of trials has each point's trial number in
`customdata` (None in the gaps between lines). A heat map whose rows are trials has their numbers in
`meta["rows"]`. With these the page finds a trial in every plot.

`layout.meta` may have `rows`, the trials that the rows of the y axis are, and `narrow`, shorter
names of these rows for a narrow page.

A page may be light or dark, wide or narrow. So a figure has a transparent background and no fixed
width; the page sets the colours of text and grid.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

INK = "#7d8590"
"""Text and axes: readable on white and on near-black."""
GRID = "rgba(125, 133, 144, 0.22)"
FAINT = "rgba(125, 133, 144, 0.4)"
SHADE = "rgba(125, 133, 144, 0.1)"
"""Areas in the background."""
COLOURS = ("#2f81f7", "#e3742f", "#2da44e", "#c2509b", "#9a6dd7", "#b08800", "#1b9e9e", "#e5534b")
"""Selected trials, in the order of selection; page.js gets them from here."""
ACCENT = COLOURS[0]
NEUTRAL = "#8c959f"
"""Trials that are not selected."""
SPLITS = ((NEUTRAL, "circle"), (ACCENT, "diamond"))
"""Colour and symbol of the champion's results: on the validation set, and on the test set."""
STATES = {
    "COMPLETE": NEUTRAL,
    "PRUNED": "rgba(125, 133, 144, 0.65)",
    "FAILED": "#e5534b",
    "INTERRUPTED": "#9a6dd7",
    "RUNNING": NEUTRAL,
}
PERCENT = "~%"
"""Plotly's number format of an axis of shares: 90%, 98.5%."""
LEGEND_ABOVE = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
"""A horizontal legend above the plot."""
MAX_LETTERS = 40


def escape_label(text: str, longest: int = MAX_LETTERS) -> str:
    """Shorten `text` and escape it, because Plotly interprets tags and entities."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return html.escape(short, quote=False)


def choose_tick_angle(names: Sequence[str]) -> int:
    """Return the angle, in degrees, of class names below a matrix: 0 if all are short."""
    return -45 if max(map(len, names), default=0) > 3 else 0


def build_error_bars(
    values: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> dict[str, Any]:
    """Return Plotly's error bars from `low` to `high` around each value."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [end - value for value, end in zip(values, high, strict=True)],
        "arrayminus": [value - end for value, end in zip(values, low, strict=True)],
        "thickness": 1.5,
        "width": 3,
    }


def apply_layout(figure: go.Figure, height: int, **options: Any) -> go.Figure:
    """Give a figure the page's style; `height` is in px, `options` are Plotly's layout options."""
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
    figure.update_layout(**options)
    figure.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True, title_standoff=10)
    return figure


def label_rows(figure: go.Figure, names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of the y axis, the first at the top."""
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=list(names), range=[len(names) - 0.5, -0.5]
    )
