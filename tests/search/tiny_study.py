"""A small study of sampled networks, and the results of its trials."""

from __future__ import annotations

from harness.results import EpochMetrics, StopReason, TrialResult
from harness.search.study import Search
from harness.trial import TrialSpec

STUDY = """
[study]
trials = 8
pruner = "none"
[data]
name = "digits"
[space]
depth = { low = 1, high = 3 }
width = { low = 8, high = 64, log = true }
learning_rate = { low = 1e-4, high = 1e-1, log = true }
l1 = { low = 1e-6, high = 1e-3, log = true, zero = 0.5 }
"""


def make_metrics(value: float, epoch: int = 1) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=1 - value,
        train_accuracy=value,
        penalty=0.0,
        val_loss=1 - value,
        val_accuracy=value,
        learning_rate=1e-3,
        seconds=0.1,
        time=1.7e9 + epoch,
    )


def make_result(value: float, stopped: StopReason = "finished") -> TrialResult:
    return TrialResult(
        best=make_metrics(value),
        epochs=1,
        stopped=stopped,
        parameters=10,
        seconds=0.1,
        confusion=((1, 0), (0, 1)),
        predictions=b"\0\1",
        weights=b"",
    )


def score(spec: TrialSpec) -> float:
    """Any function of the settings: the sampler must see the same history each time."""
    return 1 / (1 + spec.learning_rate * spec.hidden[0])


def run_trials(search: Search, trials: int) -> list[TrialSpec]:
    specs = []
    for _ in range(trials):
        trial = search.ask()
        search.tell_result(trial.number, make_result(score(trial.spec)))
        specs.append(trial.spec)
    return specs


def requeue(search: Search, number: int, blamed: bool = False) -> int | None:
    successor = search.requeue(number, "interrupted", blamed)
    search.tell_interrupted(number, successor)
    return successor
