"""What the figures share: they stand on a page that may be light or dark, wide or narrow."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

INK = "#7d8590"
"""Text and axes: readable on white and on near-black."""
GRID = "rgba(125, 133, 144, 0.22)"
FAINT = "rgba(125, 133, 144, 0.35)"
COLOURS = ("#2f81f7", "#e3742f", "#2da44e", "#c2509b", "#9a6dd7")
ACCENT = COLOURS[0]


def layout(figure: go.Figure, height: int, **more: Any) -> go.Figure:
    """Give a figure the page's look."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 16, "t": 36, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13},
        colorway=COLOURS,
        **more,
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=GRID)
    return figure
