"""scikit-learn's interface: a sweep as an estimator for a `Pipeline` or `cross_val_score`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from harness.api.memory_data import MemoryData
from harness.api.space import Range
from harness.api.study import Study
from harness.data.types import Array
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.api.result import StudyResult
    from harness.inference.recorded_model import RecordedModel
    from harness.sweep.progress import ProgressDisplay

DEFAULT_TRAIN = {"epochs": 30, "optimizer": "adam", "schedule": "cosine"}
"""What all trials share, unless `train` has other values."""
BATCH_SIZE = 32
"""The batch size, unless it is given; of fewer training rows all of them."""
DEFAULT_SPACE: dict[str, Any] = {
    "depth": Range(1, 3),
    "width": Range(16, 256, log=True),
    "learning_rate": Range(1e-4, 3e-2, log=True),
    "dropout": Range(0.0, 0.5),
    "l2": Range(1e-6, 1e-3, log=True, zero=0.5),
}
"""What is sampled, unless `space` is given: that of `harness new-study` for small data."""


class _Sweep(BaseEstimator):  # type: ignore[misc]
    """A study of the data that `fit` gets, whose champion predicts.

    Args:
        trials: number of settings to try.
        train: what all trials share: the keys of [train] in a study file.
        space: what is sampled: the keys of [space].
        model: a `torch.nn.Module` class or `"package.module:Class"`; by default an MLP.
        validation: fraction of the rows to choose on. No test set is held out: the rows that
            `fit` does not get are the test set.
        seed: seed of the split, the sampler and the trials.
        name: the study's name in the record; by default `sweep-` and a hash of the data and these
            arguments, so that the same `fit` again reads the record.
        device: "gpu", "cpu", or None for what the machine has.
        workers: worker processes; 0 trains in this process, and repeats bit for bit on a CPU.
        timeout: start no more trials after these seconds.
        home: the folder of the records.
        progress: whether to show the progress.

    Attributes:
        result_: the `StudyResult`.
        n_features_in_: the number of features.
        feature_names_in_: their names, if `fit` got a DataFrame.
    """

    _task = ""

    def __init__(
        self,
        *,
        trials: int = 20,
        train: Mapping[str, Any] | None = None,
        space: Mapping[str, Any] | None = None,
        model: type | str | None = None,
        validation: float = 0.2,
        seed: int = 0,
        name: str | None = None,
        device: Any = None,
        workers: int | None = 0,
        timeout: str | float | None = None,
        home: str | Path = "mlruns",
        progress: bool | ProgressDisplay = False,
    ) -> None:
        self.trials = trials
        self.train = train
        self.space = space
        self.model = model
        self.validation = validation
        self.seed = seed
        self.name = name
        self.device = device
        self.workers = workers
        self.timeout = timeout
        self.home = home
        self.progress = progress

    @property
    def result_(self) -> StudyResult:
        """The study on record. Raises StudyError if its folder is gone."""
        from harness.api.recorded import load

        check_is_fitted(self)
        return load(self.study_name_, home=self.home)

    def _fit(self, inputs: Array, targets: Array) -> None:
        """Run the study, and keep the champion's network. Raises ValueError."""
        arrays = {"x": np.asarray(inputs, np.float32), "y": targets}
        try:
            study = self._build_study(arrays)
            result = study.run(
                device=self.device,
                workers=self.workers,
                timeout=self.timeout,
                home=self.home,
                test=False,
                progress=self.progress,
            )
            self.study_name_ = study.name
            self._recorded: RecordedModel = result.load_recorded_model()
            if self.model is None:  # in float32, a row's result depends on the other rows
                self._recorded.module.double()
        except UserError as error:
            raise ValueError(str(error)) from None

    def _build_study(self, arrays: dict[str, Array]) -> Study:
        rows = len(arrays["y"])
        batch_size = max(1, min(BATCH_SIZE, rows - math.ceil(self.validation * rows)))
        has_space = self.space is not None or self.model is not None
        keys: dict[str, Any] = {
            "train": {**DEFAULT_TRAIN, "batch_size": batch_size, **(self.train or {})},
            "space": self.space if has_space else DEFAULT_SPACE,
            "model": self.model,
            "task": self._task,
            "trials": self.trials,
            "seed": self.seed,
            "split_seed": self.seed,
            "validation": self.validation,
            "test": 0,
            "confirm": {"seeds": 0},
        }
        sampled = (keys["space"] or {}).keys()
        keys["train"] = {
            key: value
            for key, value in keys["train"].items()
            if key not in sampled or key in (self.train or {})
        }
        name = self.name
        if name is None:
            content = [MemoryData(arrays=arrays).file_name, repr(keys), self.device, self.workers]
            name = "sweep-" + hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
        return Study(name, arrays, **keys)

    def _check_inputs(self, inputs: Any) -> Array:
        check_is_fitted(self)
        return np.asarray(validate_data(self, inputs, reset=False), np.float32)


class SweepClassifier(ClassifierMixin, _Sweep):  # type: ignore[misc]
    __doc__ = f"""{_Sweep.__doc__}    classes_: the labels, sorted.

    Examples:
        >>> from sklearn.model_selection import cross_val_score
        >>> cross_val_score(harness.SweepClassifier(trials=10), x, y, cv=5).mean()
    """
    _task = "classes"

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Sweep over the rows `X` [N, features] and their labels `y` [N].

        Raises ValueError for data that cannot be trained on.
        """
        inputs, labels = validate_data(self, X, y, ensure_min_samples=2)
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"one class, {self.classes_[0]!r}; a classifier needs two or more")
        self._fit(inputs, targets)
        return self

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return the probability of each class [N, classes], in the order of `classes_`."""
        inputs = self._check_inputs(X)
        rows = self._recorded.predict_probabilities(inputs)
        probabilities: Array = rows / rows.sum(1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the most probable label of each row [N]."""
        rows = self.predict_proba(X)
        labels: Array = self.classes_[rows.argmax(1)]
        return labels


class SweepRegressor(RegressorMixin, _Sweep):  # type: ignore[misc]
    __doc__ = f"""{_Sweep.__doc__}
    Examples:
        >>> harness.SweepRegressor(trials=10).fit(x, y).predict(x_new)
    """
    _task = "regression"

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Sweep over the rows `X` [N, features] and their numbers `y` [N].

        Raises ValueError for data that cannot be trained on.
        """
        inputs, targets = validate_data(self, X, y, y_numeric=True, ensure_min_samples=2)
        self._fit(inputs, targets)
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return a number for each row [N], in the units of `y`."""
        inputs = self._check_inputs(X)
        return self._recorded.compute_outputs(inputs)[:, 0]
