"""A self-contained HTML page of sections: texts, tables and plots.

A page opens without a network and without harness. templates/page.html is its frame, page.css its
style and page.js its behaviour; each other template shows the values of one kind of section. Jinja
escapes every text. Scripts hold JSON that cannot end the script.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.reports.plots.base import Plot
from harness.reports.plots.style import COLOURS

PLOTLY = "plotly.min.js"
UPDATE = "live.js"
"""The file beside a page that is updated: a script with the newest page."""


@dataclass(frozen=True)
class TrialRow:
    """A table row that stands for trials; a click on it highlights them in every plot."""

    numbers: tuple[int, ...]
    """The trials."""
    cells: tuple[str, ...]
    tooltip: str = ""
    """The full text of the first cell, if that is shortened."""


@dataclass(frozen=True)
class TrialTable:
    """The table of templates/trial_table.html."""

    columns: tuple[str, ...]
    rows: tuple[TrialRow, ...]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A folded part of a section: a template's content, then plots."""

    title: str
    template: str = ""
    """As in `Section`, as are `values` and `plots`."""
    values: Mapping[str, Any] = field(default_factory=dict)
    plots: Sequence[Plot] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a page: an introduction, a template's content, plots, then folded parts."""

    name: str
    """The id of the section's element."""
    title: str
    text: str = ""
    """One paragraph a line."""
    template: str = ""
    """The name of a file in templates/, without `.html`."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The template's variables."""
    plots: Sequence[Plot] = ()
    link: tuple[str, str, str] | None = None
    """A line below the plots that leads to another section: (words, its name, the link's text)."""
    folds: Sequence[Fold] = ()

    @property
    def all_plots(self) -> list[Plot]:
        """The section's plots and those of its folded parts."""
        return [*self.plots, *(plot for fold in self.folds for plot in fold.plots)]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page, and what page.js has to know about the trials on it."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    trials: Mapping[int, str] | Mapping[str, str]
    """Each trial's name by its key, which is also its key in the plots."""
    selected: Sequence[int | str]
    """Trials highlighted at first; at most as many as there are colours."""
    status: str = ""
    """How far an unfinished study is; shown below the title."""

    def write(self, path: Path, interval: float = 0.0) -> None:
        """Write the page atomically, with plotly.js as a file in its folder.

        An open page updates itself to this one if it was written with an `interval` in seconds.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        plotly, update = path.with_name(PLOTLY), path.with_name(UPDATE)
        if self._plots or interval:
            _write_atomically(plotly, read_plotly())
        html = self._render("", interval)
        _write_atomically(path, html)
        if interval or update.exists():
            _write_atomically(update, f"receivePage({json.dumps(html)});\n")

    def render_inline(self) -> str:
        """Return the page as a single file that contains plotly.js."""
        return self._render(read_plotly())

    @property
    def _plots(self) -> list[Plot]:
        return [plot for section in self.sections for plot in section.all_plots]

    def _render(self, plotly: str, interval: float = 0.0) -> str:
        environment = Environment(
            loader=PackageLoader("harness.reports", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

        def render(part: Section | Fold) -> Markup:
            template = environment.get_template(f"{part.template}.html")
            return Markup(template.render(part.values))

        page_data = {
            "colours": COLOURS,
            "trials": self.trials,
            "selected": self.selected,
            "plots": [{"name": plot.name} | _plot_to_json(plot) for plot in self._plots],
        }
        return environment.get_template("page.html").render(
            page=self,
            render=render,
            plotly_file=PLOTLY if self._plots or interval else "",
            plotly=Markup(plotly),
            update={"file": UPDATE, "interval": interval, "written": time.time()},
            page_data=Markup(embed_json(page_data)),
        )


def read_plotly() -> str:
    """Return plotly.js as a script that a browser compiles once.

    It is one function, which a browser would first only scan and then compile when it is called,
    0.15 s later. Browsers compile a function in parentheses at once.
    """
    text, start, end = (
        str(get_plotlyjs()),
        'self : this, () => {\n"use strict";',
        "return Plotly;\n}));",
    )
    if text.count(start) != 1 or not text.endswith(end):  # of another release
        return text
    text = text.removesuffix(end).replace(start, start.replace("() =>", "(() =>"))
    return text + end.replace("}))", "})))")


def embed_json(values: Any) -> str:
    """Return JSON that a script element can contain: no text in it can end the script."""
    text = json.dumps(values, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plot_to_json(plot: Plot) -> dict[str, Any]:
    """Return a figure's data and layout without Plotly's default template, which takes 7 kB."""
    figure: dict[str, Any] = json.loads(plot.figure.to_json())
    figure["layout"].pop("template", None)
    return {"data": figure["data"], "layout": figure["layout"]}


def _write_atomically(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
