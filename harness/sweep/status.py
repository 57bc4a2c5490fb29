"""Lines on how far a study is: at its start, and when it is interrupted."""

from __future__ import annotations

from harness.analysis.formatting import format_count
from harness.metrics import format_objective
from harness.search.study import Search
from harness.sweep.plan import Plan
from harness.sweep.progress import BestTrial


def find_best(search: Search) -> BestTrial | None:
    """Return the best trial on record; None before the first one completed."""
    if not search.ranking:
        return None
    value, number = search.ranking[0]
    return BestTrial.of(search.get_trial(number), abs(value))


def format_best(plan: Plan, best: BestTrial) -> str:
    """`best so far: val/accuracy 0.9071, trial 12: 256-128 · adam 0.003`."""
    objective = plan.config.study.objective
    value = format_objective(best.value, objective)
    return f"best so far: {objective} {value}, {best.describe()}"


def format_done(done: int, target: int) -> str:
    """`12 of 50 trials are done`."""
    verb = "is" if target == 1 else "are"
    return f"{done} of {format_count(target, 'trial')} {verb} done"


def describe_first_trials(search: Search) -> str:
    """`the first 5 trials have settings of 'mnist' and of [[first]]`; empty if all are sampled."""
    if not search.first:
        return ""
    config, count = search.config, len(search.first)
    name = config.study.warm_start
    origins = [f"'{name}'"] * bool(name) + ["[[first]]"] * bool(config.first)
    trials = "trial has" if count == 1 else f"{count} trials have"
    return f"the first {trials} settings of {' and '.join(origins)}"


def format_start(plan: Plan, search: Search) -> str:
    """`quickstart: 50 trials on CPU, 2 cores (2 workers)`, or how a study is resumed."""
    name, target, done = plan.config.study.name, search.target, search.counts.done
    trials = format_count(target, "trial")
    if done >= target:
        return f"{name}: {format_done(done, target)}, nothing to train"
    workers = "in this process" if plan.inline else format_count(len(plan.devices), "worker")
    where = f"on {plan.device} ({workers})"
    if first := describe_first_trials(search):
        where += f"; {first}"
    if done:
        return f"{name}: resuming after {done} of {trials}, {where}"
    return f"{name}: {trials} {where}"
