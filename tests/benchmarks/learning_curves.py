"""Learning curves for the benchmark of samplers: from training, or from a model of such curves.

A curve has the validation accuracy after each epoch. harness's engine trains every curve to its
last epoch, so that each pruner can be replayed on it. `ModelledCurves` predicts the curves of one
space from a pool of real ones, and adds the noise that another seed makes.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold, cross_val_predict

from harness.config.schema import StudyConfig
from harness.data.builtin import find_dataset
from harness.data.types import DataOptions
from harness.engine.folded_trainer import FoldedTrainer
from harness.engine.trainer import Trainer
from harness.executors.base import Setup
from harness.executors.trainer_pool import TrainerPool
from harness.results import EpochMetrics
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.trial import TrialSpec, derive_seed

Values = npt.NDArray[np.float64]
Curve = list[float]

STUDIES = {"digits": "quickstart", "fashion-mnist": "fashion-mnist"}
"""The study whose space is searched."""
EPOCHS = {"digits": 40, "fashion-mnist": 5}
IMAGES = 12_000
"""Images of the FashionMNIST subset: 8,000 train and 4,000 validate."""
LEAST_ERROR = 1e-3
"""The model predicts the logarithm of the error, with this added."""
NEIGHBOURS = 15
"""The noise of a curve is drawn from so many repeated settings with the nearest predictions."""


class Curves(Protocol):
    """Gives the validation accuracy of settings after each epoch."""

    config: StudyConfig

    def get_curve(self, spec: TrialSpec) -> Curve: ...


class TrainedCurves:
    """Curves that harness's engine trains on one thread; each is kept in a file of JSON lines."""

    def __init__(self, data: str, path: Path, data_dir: Path | None) -> None:
        torch.set_num_threads(1)
        self._path, self._data_dir = path, data_dir
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        overrides = [f"train.epochs={EPOCHS[data]}"]
        self._subset = folder / "subset.npz"
        if data == "fashion-mnist":
            overrides += [f'data.name="{self._subset}"', f"data.validation={1 / 3:.6f}"]
        file = Path(__file__).parents[2] / "studies" / f"{STUDIES[data]}.toml"
        options = RunOptions(workers=0, device="cpu", home=folder / "mlruns", overrides=overrides)
        self._plan = make_plan(file, options)
        self.config: StudyConfig = self._plan.config
        self._known = {TrialSpec.from_dict(row["spec"]): row["curve"] for row in read_lines(path)}

    @cached_property
    def _trainer(self) -> Trainer | FoldedTrainer:
        """The engine with the dataset, which is read when the first curve is missing."""
        if self.config.data.name == str(self._subset):
            _write_subset(self._subset, self._data_dir)
        files = self._plan.prepare(self._subset.parent / "cache").training
        setup = Setup(self.config.study.objective, "cpu")
        (trainer,) = TrainerPool(files, setup)
        return trainer

    def get_curve(self, spec: TrialSpec) -> Curve:
        if spec not in self._known:
            started = time.process_time()
            self._known[spec] = curve = self._train(spec)
            row = {"spec": spec.to_dict(), "curve": curve, "cpu": time.process_time() - started}
            append_line(self._path, row)
        return self._known[spec]

    def _train(self, spec: TrialSpec) -> Curve:
        """Train settings to their last epoch; those that fail have no accuracy from then on."""
        curve: Curve = []
        self._trainer.add("trial", spec)
        while len(self._trainer):
            for report in (each for group in self._trainer.train_epoch() for each in group):
                if isinstance(report.outcome, EpochMetrics):
                    curve.append(report.outcome.val_accuracy or 0.0)
                    self._trainer.decide("trial", True)
        return curve + [0.0] * (spec.epochs - len(curve))


class ModelledCurves:
    """Curves predicted by extremely randomized trees, with the noise of repeated trainings."""

    def __init__(
        self,
        config: StudyConfig,
        pool: Mapping[TrialSpec, Curve],
        repeats: Sequence[tuple[TrialSpec, Curve, Curve]],
    ) -> None:
        """`repeats`: settings with their curves of two seeds."""
        self.config = config
        inputs = np.array([encode(spec) for spec in pool])
        curves = np.array(list(pool.values()))
        targets = np.log(1 + LEAST_ERROR - curves)
        model = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)
        folds = KFold(10, shuffle=True, random_state=0)
        self._best = curves.max(axis=1)
        held_out = cross_val_predict(model, inputs, targets, cv=folds)
        self._held_out = 1 + LEAST_ERROR - np.exp(held_out).min(axis=1)
        self._model = model.fit(inputs, targets)
        self._centers = np.array([self._predict(spec).max() for spec, *_ in repeats])
        # The difference of two seeds has twice the variance of one.
        self._noise = [(np.array(a) - np.array(b)) / np.sqrt(2) for _, a, b in repeats]

    def get_curve(self, spec: TrialSpec) -> Curve:
        curve = self._predict(spec)
        rng = np.random.default_rng(derive_seed("noise", spec.seed, repr(spec)))
        nearest = np.argsort(np.abs(self._centers - curve.max()))[:NEIGHBOURS]
        noise = self._noise[rng.choice(nearest)] * rng.choice([-1, 1])
        return [float(value) for value in np.clip(curve + noise, 0, 1)]

    def _predict(self, spec: TrialSpec) -> Values:
        predicted = self._model.predict(np.array([encode(spec)]))[0]
        return np.asarray(1 + LEAST_ERROR - np.exp(predicted), dtype=np.float64)

    def measure(self) -> dict[str, float]:
        """Return how well settings outside the model's data are predicted, by their best epoch."""
        true, predicted = self._best, self._held_out
        top = true >= np.quantile(true, 0.75)
        return {
            "settings": len(true),
            "r2": float(1 - np.var(true - predicted) / np.var(true)),
            "rank": float(spearmanr(true, predicted).statistic),
            "rank, best quarter": float(spearmanr(true[top], predicted[top]).statistic),
            "residual": float(np.std(true - predicted)),
            "residual, best quarter": float(np.std((true - predicted)[top])),
            "noise": float(np.sqrt(np.mean([noise[-1] ** 2 for noise in self._noise]))),
        }


def encode(spec: TrialSpec) -> list[float]:
    """Return settings as numbers for trees; an absent layer has width 1, a zero penalty 1e-9."""
    widths = [*spec.hidden, *[1] * (4 - len(spec.hidden))]
    norm = [spec.batch_norm == name for name in ("none", "before", "after")]
    penalties = [np.log(max(each, 1e-9)) for each in (spec.l1, spec.l2)]
    # These say what a tree needs several splits for.
    shape = [len(spec.hidden), np.log(min(spec.hidden)), float(np.sum(np.log(widths)))]
    return [np.log(spec.learning_rate), *np.log(widths), *penalties, *norm, *shape]


def repeat_settings(
    pool: Mapping[TrialSpec, Curve], curves: Curves
) -> Iterator[tuple[TrialSpec, Curve, Curve]]:
    """Yield every eighth setting of the pool with its curve, and that of another seed."""
    for spec in list(pool)[::8]:
        yield spec, pool[spec], curves.get_curve(replace(spec, seed=spec.seed + 1000))


def _write_subset(path: Path, data_dir: Path | None) -> None:
    """Write the first images of FashionMNIST's training set, whose order is random."""
    arrays = find_dataset("fashion-mnist", data_dir, False, DataOptions()).decode()
    np.savez(path, x=arrays.inputs[:IMAGES], y=arrays.labels[:IMAGES])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of earlier runs; a line that a crash cut off is skipped."""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
