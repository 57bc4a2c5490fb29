"""The settings of a grid or list: each setting's scores over its seeds."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from harness.analysis.seed_variance import (
    OUTSIDE,
    SeedScores,
    Setting,
    get_setting_name,
    rank_settings,
)
from harness.config.schema import TRIAL_TABLE, find_varied_fields
from harness.metrics import ACCURACY, Score
from harness.reports.parameter_axes import format_setting, get_setting, list_ended_trials
from harness.reports.plots.base import Plot
from harness.reports.plots.scatter import spread_coinciding
from harness.reports.plots.style import (
    INK,
    LEGEND_ABOVE,
    NEUTRAL,
    apply_layout,
    build_error_bars,
    escape_label,
    label_rows,
)
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.analysis.summary import Summary

Interval = tuple[float, float]

MAX_SETTINGS = 60
"""Settings in the plot; the table has all."""
AXIS_REACH = 8
"""The length of the axis, in spans of the better half of the settings. A weak baseline is visible;
a setting that learned nothing is outside and does not compress the others."""
MIN_IN_RANGE = 3
"""Settings that are always inside the axis."""
MAX_LETTERS = 24
"""Of a setting's name on the axis."""
SPREAD, MAX_SPREAD = 0.12, 0.15
"""The distance of seeds with the same score, and their largest distance from their row."""
MAX_WRAPPED = 8
"""With more settings, a name has one line."""
LINE_LETTERS, MAX_LINES = 60, 6
"""Of a setting's name in the hover text."""


@dataclass(frozen=True)
class SettingSummary:
    """One setting; `numbers`, `seeds` and the scores have the same order."""

    name: str
    short_name: str
    """Of a grid's setting: only its values."""
    numbers: tuple[int, ...]
    """The trials."""
    seeds: tuple[int, ...]
    validation: SeedScores
    test: SeedScores | None
    interval: Interval | None
    """The 95 % interval of the validation score; None with several seeds."""
    test_interval: Interval | None
    parameters: int
    seconds_per_trial: float
    """Training and validation."""


@dataclass(frozen=True)
class SettingsOverview:
    heading: str
    """The names of the fields whose values make up the short names, or `setting`."""
    settings: tuple[SettingSummary, ...]
    """Best mean validation score first."""
    incomplete: int
    """Trials that ended but are not complete."""
    score: Score = ACCURACY

    @property
    def most_seeds(self) -> int:
        return max((len(entry.numbers) for entry in self.settings), default=0)


def build_plots(summary: Summary) -> list[Plot]:
    """Return the plot of a grid or list."""
    overview = group_by_setting(summary.study)
    if not overview.settings:
        return []
    title = "Every trial, by setting"
    if len(overview.settings) > MAX_SETTINGS:
        title += f": the best {MAX_SETTINGS} of {len(overview.settings)}"
    return [Plot("settings", title, draw_settings(overview), wide=True)]


def group_by_setting(study: StudyRun) -> SettingsOverview:
    """Summarize each setting of a grid or list; empty for a search or without complete trials."""
    fields = _list_varied_fields(study)
    summaries = tuple(
        _summarize_setting(study, setting, fields) for setting in rank_settings(study)
    )
    incomplete = sum(run.state != "COMPLETE" for run in list_ended_trials(study))
    return SettingsOverview(" · ".join(fields) or "setting", summaries, incomplete, study.score)


def name_settings(study: StudyRun) -> dict[int, str]:
    """Return the short name of each trial's setting; empty for a search."""
    if not study.is_grid_or_list:
        return {}
    if fields := _list_varied_fields(study):
        return {run.number: _format_values(run, fields) for run in study.trials}
    known = {run.number: setting.name for setting in rank_settings(study) for run in setting.runs}
    return {
        run.number: known.get(run.number) or get_setting_name(study, run) for run in study.trials
    }


def name_trials(study: StudyRun) -> dict[int, str]:
    """Return each trial's name, figure of its setting and its seed; empty for a search."""
    names = name_settings(study)
    return {
        run.number: f"{names[run.number]}, seed {run.spec.seed}" for run in study.trials if names
    }


def draw_settings(overview: SettingsOverview) -> go.Figure:
    """Draw a row of dots per setting: validation above, test below, each with its mean."""
    figure = go.Figure()
    entries = overview.settings[:MAX_SETTINGS]
    shift = 0.17 if any(entry.test for entry in entries) else 0.0
    validation = [(entry.validation, entry.interval) for entry in entries]
    test = [(entry.test, entry.test_interval) for entry in entries]
    _add_split(figure, entries, "validation", validation, -shift, (NEUTRAL, INK), "circle")
    _add_split(figure, entries, "test", test, shift, (INK, INK), "diamond")
    apply_layout(
        figure,
        110 + 26 * len(entries),
        showlegend=True,
        legend=LEGEND_ABOVE,
        margin={"t": 34},
    )
    names = [entry.short_name for entry in entries]
    is_short = len(entries) <= MAX_WRAPPED  # there is room for two lines a row
    label_rows(
        figure,
        [_wrap_name(name, MAX_LETTERS, 2) for name in names] if is_short else _shorten_names(names),
    )
    figure.update_xaxes(
        title_text=overview.score.full_name,
        range=list(_compute_axis_range(overview)),
        **overview.score.plotly_axis,
    )
    return figure


def _list_varied_fields(study: StudyRun) -> list[str]:
    """Return the fields in which a grid's settings differ; none for a list, which names them."""
    return [] if TRIAL_TABLE in study.definition else find_varied_fields(study.definition)


def _format_values(run: RunRecord, fields: Sequence[str]) -> str:
    return " · ".join(format_setting(get_setting(run, name)) for name in fields)


def _summarize_setting(study: StudyRun, setting: Setting, fields: Sequence[str]) -> SettingSummary:
    runs = setting.runs
    single = runs[0] if len(runs) == 1 else None
    reading = study.find_reading(single) if single else None
    seconds = sum(epoch.seconds for run in runs for epoch in run.epochs)
    return SettingSummary(
        name=setting.name,
        short_name=(_format_values(runs[0], fields) or setting.name) + OUTSIDE * setting.is_outside,
        numbers=tuple(run.number for run in runs),
        seeds=tuple(run.spec.seed for run in runs),
        validation=setting.validation,
        test=setting.test,
        interval=study.score.compute_interval(single) if single else None,
        test_interval=study.score.compute_interval(reading) if reading else None,
        parameters=runs[0].parameters,
        seconds_per_trial=seconds / len(runs),
    )


def _add_split(
    figure: go.Figure,
    entries: Sequence[SettingSummary],
    split: str,
    results: Sequence[tuple[SeedScores | None, Interval | None]],
    shift: float,
    colours: tuple[str, str],
    symbol: str,
) -> None:
    """Add one split's dots and their means; `colours` are of the dots and of the means."""
    rows = [
        (row + shift, entry, scores, interval)
        for row, (entry, (scores, interval)) in enumerate(zip(entries, results, strict=True))
        if scores is not None
    ]
    if not rows:
        return
    points = [
        (
            (value, *(interval or (value, value))),
            y,
            number,
            f"{_wrap_name(entry.name)}<br>seed {seed}: "
            f"{split} {scores.score.name} {scores.score.format_value(value)}",
        )
        for y, entry, scores, interval in rows
        for value, number, seed in zip(scores.values, entry.numbers, entry.seeds, strict=True)
    ]
    bounds, y, numbers, texts = zip(*points, strict=True)
    x, low, high = zip(*bounds, strict=True)
    y = tuple(spread_coinciding(x, y, SPREAD, MAX_SPREAD))
    has_one_seed = all(len(scores.values) == 1 for _, _, scores, _ in rows)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            customdata=numbers,
            text=texts,
            error_x=build_error_bars(x, low, high) if has_one_seed else None,
            mode="markers",
            name=split,
            marker={"color": colours[0], "size": 7, "symbol": symbol, "opacity": 0.75},
            hovertemplate="trial %{customdata}, %{text}<extra></extra>",
        )
    )
    means = [(y, entry, scores) for y, entry, scores, _ in rows if len(scores.values) > 1]
    if means:
        figure.add_trace(
            go.Scatter(
                x=[scores.mean for _, _, scores in means],
                y=[y for y, _, _ in means],
                text=[
                    f"{_wrap_name(entry.name)}<br>{split}: mean {scores} (n = {len(scores.values)})"
                    for _, entry, scores in means
                ],
                mode="markers",
                name="mean",
                legendgroup="mean",
                showlegend=split == "validation",
                marker={
                    "symbol": "line-ns",
                    "size": 12,
                    "line": {"width": 2, "color": colours[1]},
                },
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _shorten_names(names: Sequence[str]) -> list[str]:
    """Shorten the names for the axis: cut long ones, and the words that all of them start with."""
    words, common = [name.split(" ") for name in names], 0
    if len(names) > 1 and max(map(len, names)) > MAX_LETTERS:
        is_equal = (len(set(column)) == 1 for column in zip(*words, strict=False))
        common = len(list(itertools.takewhile(bool, is_equal)))
    prefix = "…" if common else ""
    return [escape_label(prefix + " ".join(each[common:]), MAX_LETTERS) for each in words]


def _compute_axis_range(overview: SettingsOverview) -> tuple[float, float]:
    """Return the axis range, AXIS_REACH spans long at most."""
    entries, sign = overview.settings[:MAX_SETTINGS], overview.score.sign
    values = [
        [
            *entry.validation.values,
            *(entry.interval or ()),
            *(entry.test.values if entry.test else ()),
            *(entry.test_interval or ()),
        ]
        for entry in entries
    ]
    all_values = [value for row in values for value in row]
    if not all_values:
        return 0.0, 1.0
    better = values[: max(MIN_IN_RANGE, math.ceil(len(values) / 2))]
    best = min(all_values, key=lambda value: sign * value)
    reach = AXIS_REACH * max(sign * (value - best) for row in better for value in row)
    visible = [value for value in all_values if not reach or sign * (value - best) <= reach]
    low, high = min(visible), max(visible)
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def _wrap_name(name: str, letters: int = LINE_LETTERS, most: int = MAX_LINES) -> str:
    lines = textwrap.wrap(name, letters, max_lines=most, placeholder=" …") or [""]
    return "<br>".join(escape_label(line, letters) for line in lines)
