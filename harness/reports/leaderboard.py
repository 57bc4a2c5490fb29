"""The trials as a table: the best first, then the pruned, then what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.arguments import ARGUMENT
from harness.config import LIST
from harness.intervals import wilson
from harness.reports.settings import named
from harness.tracking.records import RunRecord, StudyRun, right
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


def data(study: StudyRun) -> Leaderboard:
    """Complete trials best first, then the others by their best epoch, then by number.

    The settings shown are those that people ask for first, and all others that differ somewhere;
    of a list, the name of its setting too.
    """
    ranked = study.best_first()
    complete = {run.uid for run in ranked}
    rest = [run for run in study.trials if run.uid not in complete]
    rest.sort(key=lambda run: (-run.best.val_accuracy if run.best else 1, run.number))
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
    called = named(study) if LIST in study.definition else {}
    columns = ("trial", *(["setting"] if called else []), "val_accuracy", "interval")
    columns += ("val_loss", "epoch")
    columns += (*settings, "parameters", "seconds", "state")
    replayed = any(run.replay for run in study.trials)
    columns += ("replay",) if replayed else ()
    rows = (_row(run, settings, called, replayed) for run in (*ranked, *rest))
    return Leaderboard(columns, tuple(rows))


def _place(name: str) -> tuple[int, str]:
    """A setting's as TrialSpec has them; arguments of a model of one's own by name, after it."""
    own = name.startswith(ARGUMENT)
    return SPEC_FIELDS.index("arguments" if own else name), name


def _row(run: RunRecord, settings: Sequence[str], called: Mapping[int, str], replayed: bool) -> Row:
    name = [called[run.number]] if called else []
    spec = run.spec.to_dict()
    best, seconds = run.best, sum(epoch.seconds for epoch in run.epochs)
    state = run.state.lower() + (f": {run.reason}" if run.reason else "")
    measured = [Cell("", None)] * 4
    if best is not None:
        measured = [
            Cell(f"{best.val_accuracy:.4f}", best.val_accuracy),
            _interval(run),
            Cell(f"{best.val_loss:.{'4f' if best.val_loss < 1000 else '3g'}}", best.val_loss),
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


def _interval(run: RunRecord) -> Cell:
    """`0.975–0.998`: of 95 %, by Wilson; narrow, so three digits."""
    correct, n = right(run.confusion)
    low, high = wilson(correct, n)
    return Cell(f"{low:.3f}–{high:.3f}", low) if n else Cell("", None)


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
