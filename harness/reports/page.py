"""Sections with plots and text as one page: it opens without a network, and without harness.

templates/page.html is the frame, page.css its look, page.js what happens on a click; each other
template shows the values of one kind of section. Jinja escapes every text; what goes into a script
is JSON that cannot end it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.reports.plots.style import COLOURS, Plot

PLOTLY = "plotly.min.js"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One question and its answer: text, then what a template shows, then plots."""

    name: str
    """The id of its heading."""
    title: str
    says: str = ""
    template: str = ""
    """Of templates/, without `.html`; it finds `values` under their names."""
    values: Mapping[str, Any] = field(default_factory=dict)
    plots: Sequence[Plot] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is written, and what page.js has to know of the trials on it."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    trials: Mapping[int, str] | Mapping[str, str]
    """What each is called, by the key that the plots know it by."""
    selected: Sequence[int | str]
    """Drawn in colour from the start; at most as many as there are colours."""

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all, with plotly.js beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._plots:
            _replace(path.with_name(PLOTLY), get_plotlyjs())
        _replace(path, self._render(""))

    def inlined(self) -> str:
        """The page as one file, plotly.js in it: it draws wherever scripts run."""
        return self._render(get_plotlyjs())

    @property
    def _plots(self) -> list[Plot]:
        return [plot for section in self.sections for plot in section.plots]

    def _render(self, plotly: str) -> str:
        environment = Environment(
            loader=PackageLoader("harness.reports", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        parts = {
            section.name: Markup(
                environment.get_template(f"{section.template}.html").render(section.values)
            )
            for section in self.sections
            if section.template
        }
        known = {
            "colours": COLOURS,
            "trials": self.trials,
            "selected": self.selected,
            "plots": [{"name": plot.name} | _figure(plot) for plot in self._plots],
        }
        return environment.get_template("page.html").render(
            page=self,
            parts=parts,
            plotly_file=PLOTLY if self._plots else "",
            plotly=Markup(plotly),
            known=Markup(embedded(known)),
        )


def embedded(values: Any) -> str:
    """JSON where a script may hold it: no text in it can end the script."""
    text = json.dumps(values, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _figure(plot: Plot) -> dict[str, Any]:
    """Data and layout alone: Plotly's default template is 7 kB in every figure."""
    drawn: dict[str, Any] = json.loads(plot.figure.to_json())
    drawn["layout"].pop("template", None)
    return {"data": drawn["data"], "layout": drawn["layout"]}


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
