"""What a search's record says of the ranges that it drew from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.config.schema import format_toml
from harness.reports.commands import anew
from harness.reports.edges import end_of, widened
from harness.reports.parameter_axes import as_text, ended, factors
from harness.reports.plots import importance
from harness.tracking.types import RunRecord, StudyRun

FEW = 3
"""Complete trials, and failed ones: fewer show nothing."""
MOSTLY = 0.8
"""Of the failed trials."""
MATTERS = 0.05
"""Share of importance below which a setting's range is not worth widening."""


@dataclass(frozen=True)
class Advice:
    """Plain text; `command` is a shell's, to be run where the study was."""

    title: str
    why: str
    command: str = ""


def failing(study: StudyRun) -> Advice | None:
    """Trials failed, nearly all beyond a value that no complete trial exceeds."""
    failed = [run.number for run in study.trials if run.state == "FAILED"]
    complete = [run.number for run in study.rank_trials()]
    trials = len(ended(study))
    if len(failed) < max(FEW, trials / 10):
        return None
    for factor in factors(study):
        table = study.definition["space"][factor.name]
        if factor.kind == "choice" or not complete:
            continue
        safe = max(complete, key=lambda number: factor.positions.get(number, -math.inf))
        top = factor.positions[safe]
        beyond = sum(factor.positions.get(number, top) > top for number in failed)
        high = next(
            getattr(run.spec, factor.name, None) for run in study.trials if run.number == safe
        )
        if beyond < MOSTLY * len(failed) or not isinstance(high, float | int):
            continue
        return Advice(
            f"Lower the top of {factor.name}",
            f"{len(failed)} of {trials} trials failed, {beyond} of them with a {factor.name} above "
            f"{factor.shown[safe]}, the highest of a complete one.",
            anew(study, "lower", f"space.{factor.name}={format_toml({**table, 'high': high})}"),
        )
    return None


def wider(study: StudyRun, champion: RunRecord) -> Advice | None:
    """The champion stands at the end of a range: what is beyond was never tried."""
    best, reasons, sets, names = best_tenth(study), [], [], []
    weights = dict(importance.data(study).shares)
    if len(best) < FEW:
        return None
    for factor in factors(study):
        if weights.get(factor.name, 1.0) < MATTERS:
            continue
        table = study.definition["space"][factor.name]
        end, wider = end_of(factor, table, champion.number), widened(factor, table, champion.number)
        if end is None or wider is None:
            continue
        near = sum(end_of(factor, table, run.number) == end for run in best)
        names.append(factor.name)
        reasons.append(
            f"the champion's {factor.name}, {factor.shown[champion.number]}, is at the "
            f"{'lower' if end == 'low' else 'upper'} end of {as_text(table['low'])} to "
            f"{as_text(table['high'])}, as that of {near} of the best {len(best)} trials"
        )
        sets.append(f"space.{factor.name}={format_toml(wider)}")
    if not names:
        return None
    why = "; ".join(reasons)
    return Advice(
        f"Widen the range of {' and '.join(names)}",
        f"{why[0].upper()}{why[1:]}. What lies beyond was not tried.",
        anew(study, "wider", *sets),
    )


def best_tenth(study: StudyRun) -> list[RunRecord]:
    """The best tenth of the complete trials, and at least five where there are so many."""
    ranked = study.rank_trials()
    return ranked[: max(5, math.ceil(len(ranked) / 10))]
