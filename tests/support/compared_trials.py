"""Trials in memory that classify different validation examples correctly."""

from __future__ import annotations

from harness.results import EpochMetrics, TrialResult
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRecord
from harness.trial import Trial, TrialSpec

TRUE = bytes([0, 1] * 20)
RECORD = StudyRecord(
    name="one",
    uid="u1",
    text="",
    definition={"study": {"objective": "val/accuracy"}, "data": {"name": "digits"}},
    facts={"split_hash": "same"},
    dataset="digits",
    dataset_digest="",
    dataset_source="",
    sizes={},
    classes=("even", "odd </script>"),
    validation_labels=TRUE,
)


def wrong_at(*indices: int) -> bytes:
    """Return predictions that are wrong at these indices only."""
    return bytes(1 - true if index in indices else true for index, true in enumerate(TRUE))


def finish(
    tracker: InMemoryTracker,
    uid: str,
    number: int,
    predicted: bytes,
    width: int,
    parameters: int = 10,
    true: bytes = TRUE,
    seed: int | None = None,
) -> None:
    """Record a complete trial of one epoch with these predictions and labels.

    Its settings are its own; with a `seed` they are `width` alone.
    """
    correct = sum(map(int.__eq__, true, predicted))
    accuracy = correct / len(true)
    confusion = [[0, 0], [0, 0]]
    for label, prediction in zip(true, predicted, strict=True):
        confusion[label][prediction] += 1
    epoch = EpochMetrics(
        epoch=1,
        train_loss=0.1,
        train_accuracy=1.0,
        penalty=0.0,
        val_loss=0.2,
        val_accuracy=accuracy,
        learning_rate=1e-3,
        seconds=1.0,
        time=1.7e9,
    )
    spec = TrialSpec(hidden=(width,), weight_decay=0.01 * (1 + number))
    if seed is not None:
        spec = TrialSpec(hidden=(width,), seed=seed)
    trial = Trial(number=number, uid=f"{uid}/{number}", spec=spec)
    outcome = TrialResult(
        best=epoch,
        epochs=1,
        stopped="finished",
        parameters=parameters,
        seconds=1.0,
        confusion=tuple(map(tuple, confusion)),
        predictions=predicted,
        weights=b"",
    )
    tracker.start_trial(trial)
    tracker.log_epochs(trial.uid, [epoch])
    tracker.finish_trial(trial, "COMPLETE", epochs=[epoch], outcome=outcome)
