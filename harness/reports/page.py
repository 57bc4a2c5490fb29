"""One self-contained page about a study: it opens without a network, and without harness."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.reports import classes, confusion, curves, leaderboard
from harness.verdict import Verdict, hardest


@dataclass(frozen=True)
class Plot:
    title: str
    says: str
    figure: go.Figure


def write(verdict: Verdict, path: Path) -> None:
    """Write the page about a verdict's study, whole or not at all."""
    study, champion, reading = verdict.study, verdict.champion, verdict.reading
    part = "test" if reading else "validation"
    by_class = classes.data(study, champion, reading)
    plots = [
        Plot(
            "Learning curves",
            "The best trials in colour, all others in grey; a pruned trial ends where it was "
            "pruned.",
            curves.figure(curves.data(study)),
        ),
        Plot(
            "Accuracy by class",
            f"The champion's, hardest class on top, ranked on the {part} part.",
            classes.figure(by_class),
        ),
        Plot(
            "Confusion matrix",
            f"The champion on the {part} part: rows are true classes, columns predicted ones.",
            confusion.figure(confusion.data(study, champion, reading)),
        ),
    ]
    environment = Environment(
        loader=PackageLoader("harness.reports", "."), autoescape=True, undefined=StrictUndefined
    )
    data = study.definition["data"]
    page = environment.get_template("page.html").render(
        study=study,
        champion=champion,
        reading=reading,
        dataset=data["name"],
        when=time.strftime("%Y-%m-%d %H:%M", time.localtime(study.started)),
        hardest=hardest(
            study.classes, reading.class_accuracy if reading else champion.class_accuracy
        ),
        lines=[line for line in verdict.lines if line[0] not in ("report", "browse")],
        leaderboard=leaderboard.data(study),
        plots=plots,
        facts=sorted(study.facts.items()),
        plotly=Markup(get_plotlyjs()),
        figures=Markup(",\n".join(_embedded(plot.figure) for plot in plots)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(page, encoding="utf-8")
    new.replace(path)


def _embedded(figure: go.Figure) -> str:
    """A figure's JSON where a script may hold it: no text in it can end the script."""
    parsed = json.loads(figure.to_json())
    text = json.dumps({"data": parsed["data"], "layout": parsed["layout"]})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
