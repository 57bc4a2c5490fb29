"""After a search: its best settings are trained again over fresh seeds, by the sweep's own driver.

What is on record says what is left to do, so a crash in between loses nothing: what ended stays,
what ran is closed as interrupted and tried again.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from harness.analysis.confirmation import waiting
from harness.data.prepare import Prepared
from harness.errors import Interruption, StoreError
from harness.executors.base import Executor
from harness.search.again import Again, ConfirmingSearch
from harness.sweep.driver import Driver, ProgressDisplay
from harness.sweep.plan import Plan
from harness.sweep.recovery import DIED
from harness.system.failpoints import failpoint
from harness.system.signals import Stop
from harness.tracking.base import Tracker
from harness.tracking.types import StudyRun
from harness.trial import Trial


def confirm(
    planned: Plan,
    prepared: Prepared,
    executor: Executor | None,
    tracker: Tracker,
    watcher: ProgressDisplay,
    stop: Stop,
) -> None:
    """Train what the study's [confirm] asks for and is not on record; by `executor` if there is
    one. Raises Interruption."""
    study = tracker.read(planned.config.study.name)
    if study is None:
        raise StoreError(f"study '{planned.config.study.name}' has vanished from its store")
    for run in study.confirming:
        if run.state == "RUNNING":
            trial = Trial(number=run.number, uid=run.uid, spec=run.spec, confirms=run.number)
            tracker.finish(trial, "INTERRUPTED", reason=DIED)
            failpoint("confirm.closed")
    wanted = missing(planned, study)
    if not wanted:
        return
    settings = len({each.number for each in wanted})
    watcher.message(
        f"confirming the best {settings} settings over fresh seeds: {len(wanted)} trainings"
        if settings > 1
        else f"confirming trial {wanted[0].number} over fresh seeds: {len(wanted)} trainings"
    )
    with (
        nullcontext(executor)
        if executor
        else planned.executor(prepared, len(wanted), watcher.message) as found
    ):
        ending = Driver(
            ConfirmingSearch(study.uid, wanted, study.objective),
            found,
            tracker,
            watcher,
            target=len(wanted),
            objective=study.objective,
            keep=len(wanted),
        ).run(stop)
    if ending == "interrupted":
        raise Interruption("interrupted while its winner was confirmed; the same command goes on")


def missing(planned: Plan, study: StudyRun) -> list[Again]:
    """What is still to be trained, the best settings first."""
    if not planned.config.confirms:
        return []
    table = planned.config.confirm
    return [
        Again(
            trial.number,
            replace(trial.spec, seed=seed),
            sum((run.number, run.spec.seed) == (trial.number, seed) for run in study.confirming),
        )
        for trial, seed in waiting(study, table.top, table.seeds)
    ]
