"""The trials as a table: the best first, then the pruned, then what failed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.schema import TRIAL_TABLE
from harness.metrics import Score, format_number
from harness.model_arguments import ARGUMENT_PREFIX
from harness.reports.plots.seed_variance import named
from harness.tracking.types import RunRecord, StudyRun
from harness.trial import SPEC_FIELDS


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it is sorted and filtered by."""

    text: str
    value: float | str | None
    """None sorts last, whichever way."""


@dataclass(frozen=True)
class Row:
    """One trial; `cells` as the leaderboard's columns."""

    number: int
    cells: tuple[Cell, ...]


ALWAYS = ("hidden", "batch_norm", "optimizer", "learning_rate")


@dataclass(frozen=True)
class Leaderboard:
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    filtered: str = "val_accuracy>0.9"
    """An example of what its rows may be filtered by."""


def data(study: StudyRun) -> Leaderboard:
    """Complete trials best first, then the others by their best epoch, then by number.

    The settings shown are those that people ask for first, and all others that differ somewhere;
    of a list, the name of its setting too.
    """
    ranked, sign = study.rank_trials(), study.score.sign
    complete = {run.uid for run in ranked}
    rest = [run for run in study.trials if run.uid not in complete]
    rest.sort(key=lambda run: (sign * run.best.score if run.best else math.inf, run.number))
    specs = [spec.to_dict() for spec in {run.spec for run in study.trials}]
    names = sorted({name for spec in specs for name in spec}, key=_place)
    differing = [
        name
        for name in names
        if name not in (*ALWAYS, "seed", "code")
        and len({str(spec.get(name)) for spec in specs}) > 1
    ]
    seeds = ("seed",) if len({spec["seed"] for spec in specs}) > 1 else ()
    # Of the built-in network alone, unless no trial is there yet.
    always = [name for name in ALWAYS if name in names or not names]
    settings = (*seeds, *always, *differing)
    called = named(study) if TRIAL_TABLE in study.definition else {}
    columns = ("trial", *(["setting"] if called else []), study.score.field_name, "interval")
    columns += (*_beside(study), "epoch")
    columns += (*settings, "parameters", "seconds", "state")
    replayed = any(run.replay for run in study.trials)
    columns += ("replay",) if replayed else ()
    rows = (_row(study, run, settings, called, replayed) for run in (*ranked, *rest))
    return Leaderboard(columns, tuple(rows), _filter(study, ranked))


def _filter(study: StudyRun, ranked: Sequence[RunRecord]) -> str:
    """`val_rmse<22610`: half of the complete trials."""
    if study.score.is_higher_better or not ranked:
        return Leaderboard.filtered
    middle = study.score.format_value(ranked[len(ranked) // 2].score).replace(",", "")
    return f"{study.score.field_name}<{middle}"


def _beside(study: StudyRun) -> tuple[str, ...]:
    """The figures that stand beside the score, as columns."""
    return ("val_loss",) if study.score.task == "classes" else ("val_mae", "val_r2")


def _place(name: str) -> tuple[int, str]:
    """A setting's as TrialSpec has them; arguments of a model of one's own by name, after it."""
    own = name.startswith(ARGUMENT_PREFIX)
    return SPEC_FIELDS.index("arguments" if own else name), name


def _row(
    study: StudyRun,
    run: RunRecord,
    settings: Sequence[str],
    called: Mapping[int, str],
    replayed: bool,
) -> Row:
    name = [called[run.number]] if called else []
    spec = run.spec.to_dict()
    best, seconds = run.best, sum(epoch.seconds for epoch in run.epochs)
    state = run.state.lower() + (f": {run.reason}" if run.reason else "")
    score, beside = study.score, _beside(study)
    measured = [Cell("", None)] * (3 + len(beside))
    if best is not None:
        measured = [
            Cell(score.format_value(best.score), best.score),
            _interval(score, run),
            *(_figure(name, getattr(best, name)) for name in beside),
            Cell(f"{best.epoch}/{run.epochs[-1].epoch}", best.epoch),
        ]
    return Row(
        run.number,
        (
            Cell(str(run.number), run.number),
            *(Cell(text, text) for text in name),
            *measured,
            *(_setting(spec[name]) if name in spec else Cell("", None) for name in settings),
            Cell(f"{run.parameters:,}" if run.parameters else "", run.parameters or None),
            Cell(f"{seconds:.1f}", seconds),
            Cell(state, state),
            *([Cell(run.replay, run.replay or None)] if replayed else []),
        ),
    )


def _interval(score: Score, run: RunRecord) -> Cell:
    """`0.975–0.998`: of 95 %, by Wilson; narrow, so three digits. `20,112–26,310` of an RMSE."""
    found = score.compute_interval(run)
    if found is None:
        return Cell("", None)
    low, high = found
    if score.task == "classes":
        return Cell(f"{low:.3f}–{high:.3f}", low)
    return Cell(f"{format_number(low, high)}–{format_number(high)}", low)


def _figure(name: str, value: float) -> Cell:
    if name == "val_mae":
        return Cell(format_number(value), value)
    return Cell(f"{value:.{'4f' if abs(value) < 1000 else '3g'}}", value)


def _setting(value: Any) -> Cell:
    """A setting as a person would write it. Widths are sorted by their number, then by size."""
    if isinstance(value, list):
        text = "-".join(map(str, value)) or "none"
        return Cell(text, " ".join([str(len(value)), *(f"{each!s:>6}" for each in value)]))
    if isinstance(value, bool) or value is None:
        return Cell("auto" if value is None else str(value).lower(), str(value))
    if isinstance(value, float):
        return Cell(f"{value:.2g}", value)
    return Cell(str(value), value)
