"""A grid or list setting by setting: each one's score over its seeds, in a table and as dots."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import plotly.graph_objects as go

from harness.analysis.seed_variance import Setting, Spread, setting_of, settings
from harness.config.schema import TRIAL_TABLE, find_varied_fields
from harness.metrics import ACCURACY, Score
from harness.reports.parameter_axes import as_text, ended, value_of
from harness.reports.plots.style import COLOURS, INK, NEUTRAL, label, layout, whiskers
from harness.reports.rows import Row, Table
from harness.tracking.types import RunRecord, StudyRun

SHOWN = 60
"""Settings in the plot; the table has all."""
REACH = 8
"""How far the axis reaches down from the best trial, in spans of the better half of the settings:
a baseline is in sight, one that learnt nothing does not squeeze all others."""
Interval = tuple[float, float]
LEAST = 3
"""Settings that are in sight, however far apart."""
LETTERS = 24
"""Of a setting's name at the axis."""
WRAPPED, LINES = 60, 6
"""Letters a line, and lines, of its name where the pointer is."""


@dataclass(frozen=True)
class Entry:
    """One setting; figures by trial, in one order."""

    name: str
    short: str
    """Of a grid: the values alone."""
    numbers: tuple[int, ...]
    """The trials."""
    seeds: tuple[int, ...]
    validation: Spread
    test: Spread | None
    between: Interval | None
    """Of one seed: the 95 % interval of its validation score; of several the spread tells."""
    test_between: Interval | None
    parameters: int
    seconds: float
    """Of training and validation, a trial."""


@dataclass(frozen=True)
class BySetting:
    heading: str
    """What the short names are of."""
    entries: tuple[Entry, ...]
    """Best mean validation score first."""
    left_out: int
    """Trials that ended otherwise than complete."""
    score: Score = ACCURACY

    @property
    def most_seeds(self) -> int:
        return max((len(entry.numbers) for entry in self.entries), default=0)


def data(study: StudyRun) -> BySetting:
    """Empty for a search, and where no trial is complete."""
    fields = _fields(study)
    entries = tuple(_entry(study, setting, fields) for setting in settings(study))
    left_out = sum(run.state != "COMPLETE" for run in ended(study))
    return BySetting(" · ".join(fields) or "setting", entries, left_out, study.score)


def named(study: StudyRun) -> dict[int, str]:
    """Of a grid or list, the name of each trial's setting, the short one; none for a search."""
    if not study.is_grid_or_list:
        return {}
    if fields := _fields(study):
        return {run.number: _values(run, fields) for run in study.trials}
    known = {run.number: setting.name for setting in settings(study) for run in setting.runs}
    return {run.number: known.get(run.number) or setting_of(study, run) for run in study.trials}


def titles(study: StudyRun) -> dict[int, str]:
    """Of a grid or list, what each trial is called: its setting and its seed."""
    names = named(study)
    return {
        run.number: f"{names[run.number]}, seed {run.spec.seed}" for run in study.trials if names
    }


def table(found: BySetting) -> Table:
    tested = any(entry.test for entry in found.entries)
    name = found.score.full_name
    columns = [found.heading, "n", f"validation {name}", *([f"test {name}"] if tested else [])]
    rows = []
    for entry in found.entries:
        read = [_spread(entry.test, entry.test_between) if entry.test else ""] if tested else []
        cells = (
            entry.short,
            str(len(entry.numbers)),
            _spread(entry.validation, entry.between),
            *read,
            f"{entry.parameters:,}",
            f"{entry.seconds:.{1 if entry.seconds >= 1 else 2}f}",
        )
        rows.append(Row(entry.numbers, cells, entry.name))
    return Table((*columns, "parameters", "seconds a trial"), tuple(rows))


def figure(found: BySetting) -> go.Figure:
    """Rows of dots. Validation above, test below, each with its mean where there are seeds."""
    made = go.Figure()
    entries = found.entries[:SHOWN]
    shift = 0.17 if any(entry.test for entry in entries) else 0.0
    parts = (
        ("validation", [entry.validation for entry in entries], -shift, NEUTRAL, "circle"),
        ("test", [entry.test for entry in entries], shift, COLOURS[1], "diamond"),
    )
    for part, spreads, place, colour, symbol in parts:
        _add(made, entries, part, spreads, place, colour, symbol)
    legend = {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0}
    layout(made, 110 + 26 * len(entries), showlegend=True, legend=legend, margin={"t": 34})
    made.update_yaxes(
        tickvals=list(range(len(entries))),
        ticktext=_ticks([entry.short for entry in entries]),
        range=[len(entries) - 0.5, -0.5],
    )
    made.update_xaxes(title_text=found.score.full_name, range=list(_range(found)), **found.score.plotly_axis)
    return made


def _fields(study: StudyRun) -> list[str]:
    """What a grid's settings differ in; those of a list have names instead."""
    return [] if TRIAL_TABLE in study.definition else find_varied_fields(study.definition)


def _values(run: RunRecord, fields: Sequence[str]) -> str:
    return " · ".join(as_text(value_of(run, name)) for name in fields)


def _entry(study: StudyRun, setting: Setting, fields: Sequence[str]) -> Entry:
    runs = setting.runs
    alone = runs[0] if len(runs) == 1 else None
    read = study.find_reading(alone) if alone else None
    spent = sum(epoch.seconds for run in runs for epoch in run.epochs)
    return Entry(
        name=setting.name,
        short=_values(runs[0], fields) or setting.name,
        numbers=tuple(run.number for run in runs),
        seeds=tuple(run.spec.seed for run in runs),
        validation=setting.validation,
        test=setting.test,
        between=study.score.compute_interval(alone) if alone else None,
        test_between=study.score.compute_interval(read) if read else None,
        parameters=runs[0].parameters,
        seconds=spent / len(runs),
    )


def _spread(spread: Spread, between: Interval | None) -> str:
    """`0.9712 ± 0.0011 (0.9701 to 0.9723)`; of one seed `0.9712 (95 %: 0.9611 to 0.9787)`."""
    score = spread.score
    if spread.deviation is not None:
        return f"{spread} ({score.format_range((min(spread.values), max(spread.values)))})"
    return f"{spread} (95 %: {score.format_range(between)})" if between else str(spread)


def _add(
    made: go.Figure,
    entries: Sequence[Entry],
    part: str,
    spreads: Sequence[Spread | None],
    place: float,
    colour: str,
    symbol: str,
) -> None:
    known = [
        (row + place, entry, spread)
        for row, (entry, spread) in enumerate(zip(entries, spreads, strict=True))
        if spread is not None
    ]
    if not known:
        return
    of = attrgetter("between" if part == "validation" else "test_between")
    points = [
        (
            (value, *(of(entry) or (value, value))),
            y,
            number,
            f"{_wrapped(entry.name)}<br>seed {seed}: "
            f"{part} {spread.score.name} {spread.score.format_value(value)}",
        )
        for y, entry, spread in known
        for value, number, seed in zip(spread.values, entry.numbers, entry.seeds, strict=True)
    ]
    bounds, y, numbers, texts = zip(*points, strict=True)
    x, low, high = zip(*bounds, strict=True)
    alone = all(len(spread.values) == 1 for _, _, spread in known)
    made.add_trace(
        go.Scatter(
            x=x,
            y=y,
            customdata=numbers,
            text=texts,
            error_x=whiskers(x, low, high) if alone else None,
            mode="markers",
            name=part,
            marker={"color": colour, "size": 7, "symbol": symbol, "opacity": 0.75},
            hovertemplate="trial %{customdata}, %{text}<extra></extra>",
        )
    )
    means = [(y, entry, spread) for y, entry, spread in known if len(spread.values) > 1]
    if means:
        made.add_trace(
            go.Scatter(
                x=[spread.mean for _, _, spread in means],
                y=[y for y, _, _ in means],
                text=[
                    f"{_wrapped(entry.name)}<br>{part}: mean {spread} (n = {len(spread.values)})"
                    for _, entry, spread in means
                ],
                mode="markers",
                name=f"mean, {part}",
                marker={
                    "symbol": "line-ns",
                    "size": 12,
                    "line": {"width": 2, "color": INK if part == "validation" else colour},
                },
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _ticks(names: Sequence[str]) -> list[str]:
    """The names at the axis: where they are long, without the words that all of them begin with."""
    words, shared = [name.split(" ") for name in names], 0
    if len(names) > 1 and max(map(len, names)) > LETTERS:
        alike = (len(set(column)) == 1 for column in zip(*words, strict=False))
        shared = len(list(itertools.takewhile(bool, alike)))
    begin = "…" if shared else ""
    return [label(begin + " ".join(each[shared:]), LETTERS) for each in words]


def _range(found: BySetting) -> tuple[float, float]:
    """Of the axis, from the best as far as REACH."""
    entries, sign = found.entries[:SHOWN], found.score.sign
    values = [
        [
            *entry.validation.values,
            *(entry.between or ()),
            *(entry.test.values if entry.test else ()),
            *(entry.test_between or ()),
        ]
        for entry in entries
    ]
    every = [value for part in values for value in part]
    if not every:
        return 0.0, 1.0
    better = values[: max(LEAST, math.ceil(len(values) / 2))]
    best = min(every, key=lambda value: sign * value)
    reach = REACH * max(sign * (value - best) for part in better for value in part)
    shown = [value for value in every if not reach or sign * (value - best) <= reach]
    low, high = min(shown), max(shown)
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def _wrapped(name: str) -> str:
    lines = textwrap.wrap(name, WRAPPED) or [""]
    return "<br>".join(label(line, WRAPPED) for line in lines[:LINES])
