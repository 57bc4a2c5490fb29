"""A made-up regression table: the target is a nonlinear function of some columns, plus noise."""

from __future__ import annotations

import numpy as np
import torch

from harness.data.torch_datasets import Split, Splits
from harness.engine.device_data import DeviceData
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRecord, StudyRun
from harness.trial import Trial, TrialSpec
from tests.engine.training import train_one

EXAMPLES, FEATURES, VALIDATION = 600, 5, 120


def make_table(n: int = EXAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs float32 [n, FEATURES] of different scales, targets float32 [n] near 200,000."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, FEATURES))
    curved = 3 * x[:, 0] + 2 * np.abs(x[:, 1]) + x[:, 2] * x[:, 3]
    y = 200_000 + 15_000 * curved + 5_000 * rng.normal(size=n)
    scales = np.array([1, 10, 100, 0.1, 1000])
    return (x * scales + scales).astype(np.float32), y.astype(np.float32)


def make_splits() -> Splits:
    """Return the table's first rows for training, its last for validation."""
    x, y = (torch.from_numpy(values) for values in make_table())
    rows = torch.arange(EXAMPLES)
    train, validation = rows[:-VALIDATION], rows[-VALIDATION:]
    mean, std = x[train].mean(0), x[train].std(0, correction=0)
    target = y[train].double()
    return Splits(
        train=Split(x, y, train, 0.0, 1.0),
        validation=Split(x, y, validation, 0.0, 1.0),
        classes=(),
        mean=mean,
        inv_std=1 / std,
        task="regression",
        target="price",
        target_mean=target.mean().item(),
        target_std=target.std(correction=0).item(),
    )


def make_study() -> tuple[InMemoryTracker, StudyRun]:
    """Return a study of four trials on the table, trained by the engine and recorded in memory."""
    tracker, data = InMemoryTracker(), DeviceData(make_splits())
    split = make_splits().validation
    tracker.open_study(
        StudyRecord(
            name="prices",
            uid="u1",
            text="",
            definition={
                "study": {"objective": "val/rmse"},
                "data": {"name": "prices.csv", "task": "regression", "target": "price"},
                "space": {"hidden": {"choices": [[], [16], [64], [32, 16]]}},
            },
            facts={},
            dataset="prices.csv",
            dataset_digest="",
            dataset_source="",
            sizes={},
            classes=(),
            validation_labels=split.labels[split.rows].numpy().tobytes(),
        )
    )
    for number, hidden in enumerate([(), (16,), (64,), (32, 16)]):
        spec = TrialSpec(hidden=hidden, loss="mse", batch_size=40, epochs=6, learning_rate=1e-2)
        outcome, epochs = train_one(spec, data, "val/rmse")
        trial = Trial(number=number, uid=f"u1/{number}", spec=spec)
        tracker.start_trial(trial)
        tracker.log_epochs(trial.uid, epochs)
        tracker.finish_trial(trial, "COMPLETE", epochs=epochs, outcome=outcome, keep=True)
    study = tracker.read_study("prices")
    assert study is not None
    return tracker, study
