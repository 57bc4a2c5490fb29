"""A plot on a page, and how a kind of plot is registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

if TYPE_CHECKING:
    from harness.analysis.summary import Summary


@dataclass(frozen=True)
class Plot:
    """One figure and its place on the page."""

    name: str
    """The id of its element: lower case, words joined by hyphens."""
    title: str
    figure: go.Figure
    wide: bool = False
    """Whether it takes the page's whole width instead of sharing a row with other plots."""
    note: str = ""
    """What a reader must know about it; shown below its title."""


@dataclass(frozen=True)
class PlotKind:
    """The plots of one module, and the section of a study's page that shows them."""

    section: str
    """The `Section.name`, which is the id of the section's element."""
    build: Callable[[Summary], list[Plot]]
    """Return the plots of a study; an empty list if the study has no data for them."""
