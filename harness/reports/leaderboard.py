"""The leaderboard: the trials as a table, best first, then pruned and failed trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.schema import TRIAL_TABLE
from harness.metrics import IN_TARGET_UNITS, Score, format_number
from harness.model_arguments import ARGUMENT_PREFIX
from harness.reports.plots.seed_variance import name_settings
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import SPEC_FIELDS


@dataclass(frozen=True)
class Cell:
    """A cell's text, and the value that the page sorts and filters by."""

    text: str
    value: float | str | None
    """None sorts last in both directions."""


@dataclass(frozen=True)
class Row:
    """One trial; `cells` are in the order of the leaderboard's columns."""

    number: int
    cells: tuple[Cell, ...]


DEFAULT_SETTINGS = ("hidden", "batch_norm", "optimizer", "learning_rate")


@dataclass(frozen=True)
class Leaderboard:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    example_filter: str = "val_accuracy>0.9"
    """An example for the filter box."""


def build_leaderboard(study: StudyRun) -> Leaderboard:
    """Build the table: complete trials best first, then the others by best epoch, then by number.

    The columns are DEFAULT_SETTINGS, all settings that differ between trials and, for a list, the
    name of the setting.
    """
    ranked, sign = study.rank_trials(), study.score.sign
    complete = {run.uid for run in ranked}
    rest = [run for run in study.trials if run.uid not in complete]
    rest.sort(key=lambda run: (sign * run.score if run.best else math.inf, run.number))
    specs = [spec.to_dict() for spec in {run.spec for run in study.trials}]
    names = sorted({name for spec in specs for name in spec}, key=_sort_key)
    differing = [
        name
        for name in names
        if name not in (*DEFAULT_SETTINGS, "seed", "code")
        and len({str(spec.get(name)) for spec in specs}) > 1
    ]
    seeds = ("seed",) if len({spec["seed"] for spec in specs}) > 1 else ()
    # Custom models may not have these settings.
    default = [name for name in DEFAULT_SETTINGS if name in names or not names]
    settings = (*seeds, *default, *differing)
    names_by_trial = name_settings(study) if TRIAL_TABLE in study.definition else {}
    columns = (
        "trial",
        *(["setting"] if names_by_trial else []),
        study.score.field_name,
        "interval",
    )
    columns += (*_list_other_metrics(study), "epoch")
    columns += (*settings, "parameters", "seconds", "state")
    replayed = any(run.replay for run in study.trials)
    columns += ("replay",) if replayed else ()
    rows = (_build_row(study, run, settings, names_by_trial, replayed) for run in (*ranked, *rest))
    return Leaderboard(columns, tuple(rows), _suggest_filter(study, ranked))


def _suggest_filter(study: StudyRun, ranked: Sequence[RunRecord]) -> str:
    """Return an example filter that selects half of the complete trials: `val_rmse<22610`."""
    if not ranked or study.score.is_accuracy:
        return Leaderboard.example_filter
    middle = study.score.format_value(ranked[len(ranked) // 2].score).replace(",", "")
    return f"{study.score.field_name}{'>' if study.score.is_higher_better else '<'}{middle}"


def _list_other_metrics(study: StudyRun) -> tuple[str, ...]:
    """Return the names of the metrics shown after the score."""
    return study.score.other_fields


def _sort_key(name: str) -> tuple[int, str]:
    """Return the order of a setting: that of TrialSpec; arguments of a custom model by name."""
    is_argument = name.startswith(ARGUMENT_PREFIX)
    return SPEC_FIELDS.index("arguments" if is_argument else name), name


def _build_row(
    study: StudyRun,
    run: RunRecord,
    settings: Sequence[str],
    names_by_trial: Mapping[int, str],
    replayed: bool,
) -> Row:
    name = [names_by_trial[run.number]] if names_by_trial else []
    spec = run.spec.to_dict()
    best, seconds = run.best, sum(epoch.seconds for epoch in run.epochs)
    state = run.state.lower() + (f": {run.reason}" if run.reason else "")
    state += "" if study.is_within_limits(run) else ", outside the limits"
    score, other_metrics = study.score, _list_other_metrics(study)
    metrics = [Cell("", None)] * (3 + len(other_metrics))
    if best is not None:
        metrics = [
            Cell(score.format_value(run.score), run.score),
            _format_interval(score, run),
            *(_format_metric(name, getattr(best, name)) for name in other_metrics),
            Cell(f"{best.epoch}/{run.epochs[-1].epoch}", best.epoch),
        ]
    return Row(
        run.number,
        (
            Cell(str(run.number), run.number),
            *(Cell(text, text) for text in name),
            *metrics,
            *(_format_setting(spec[name]) if name in spec else Cell("", None) for name in settings),
            Cell(f"{run.parameters:,}" if run.parameters else "", run.parameters or None),
            Cell(f"{seconds:.1f}", seconds),
            Cell(state, state),
            *([Cell(run.replay, run.replay or None)] if replayed else []),
        ),
    )


def _format_interval(score: Score, run: RunRecord) -> Cell:
    """Return the 95 % interval: `0.975–0.998` (three digits, to be narrow), `20,112–26,310`."""
    interval = score.compute_interval(run)
    if interval is None:
        return Cell("", None)
    low, high = interval
    if score.metric not in IN_TARGET_UNITS:
        return Cell(f"{low:.3f}–{high:.3f}", low)
    return Cell(f"{format_number(low, high)}–{format_number(high)}", low)


def _format_metric(name: str, value: float) -> Cell:
    if name in ("val_mae", "val_rmse"):
        return Cell(format_number(value), value)
    return Cell(f"{value:.{'4f' if abs(value) < 1000 else '3g'}}", value)


def _format_setting(value: Any) -> Cell:
    """Return a setting's cell; lists of widths sort by length, then by the widths."""
    if isinstance(value, list):
        text = "-".join(map(str, value)) or "none"
        return Cell(text, " ".join([str(len(value)), *(f"{each!s:>6}" for each in value)]))
    if isinstance(value, bool) or value is None:
        return Cell("auto" if value is None else str(value).lower(), str(value))
    if isinstance(value, float):
        return Cell(f"{value:.2g}", value)
    return Cell(str(value), value)
