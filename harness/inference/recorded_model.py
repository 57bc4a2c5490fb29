"""A recorded model, and its predictions for arrays, frames and image files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.analysis.calibration_record import CalibrationRecord, load_calibration
from harness.analysis.confirmation import find_model_run, require_champion
from harness.analysis.ensemble_record import EnsembleRecord, load_ensemble
from harness.analysis.lookup import ENSEMBLE_NAME, MODEL_URI_PREFIX, find_study, find_trial
from harness.data.types import Array
from harness.errors import DataError, StudyError
from harness.stats.conformal import COVERAGE
from harness.tracking.raw_types import FINAL_WEIGHTS_FILE, WEIGHTS_FILE
from harness.tracking.types import CONFIRM_INFIX, MODEL_FOLDER_FACT, RunRecord, StudyRun
from harness.trial import Loss
from harness.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

    from harness.models.custom import CustomModel
    from harness.models.ensemble import Ensemble
    from harness.models.mlp import MLP
    from harness.tracking.base import Tracker

BATCH_SIZE = 1000
"""Examples that go through the network together."""


@dataclass(frozen=True)
class RecordedModel:
    """A network with its recorded weights, in eval mode."""

    study: StudyRun
    run: RunRecord
    module: nn.Module
    """Takes raw inputs [N, *shape]; returns logits [N, classes] or numbers [N, 1]."""
    ensemble: EnsembleRecord | None = None
    """If it is an ensemble; `run` is then its first member."""
    calibration: CalibrationRecord | None = None
    """If it is a champion whose calibration was measured."""

    @property
    def name(self) -> str:
        """`STUDY/12`, or `STUDY@ensemble`."""
        if self.ensemble is not None:
            return f"{self.study.name}{ENSEMBLE_NAME}"
        seed = f" (seed {self.run.spec.seed})" if CONFIRM_INFIX in self.run.uid else ""
        return f"{self.study.name}/{self.run.number}{seed}"

    @property
    def run_id(self) -> str:
        """The id of the MLflow run with its files: an ensemble's is the study's."""
        return self.run.run_id if self.ensemble is None else self.study.run_id

    @property
    def loss(self) -> Loss:
        """The loss whose logits its outputs are."""
        if self.ensemble is not None or self.is_calibrated:
            return "cross-entropy"
        from harness.models.ensemble import get_output_loss

        return get_output_loss(self.module, self.run.spec.loss)

    @property
    def is_calibrated(self) -> bool:
        """Whether a temperature scales its probabilities."""
        return self.calibration is not None and self.study.is_calibrated

    def get_set_threshold(self) -> float:
        """Return the least probability of a class in a 90 % set. Raises StudyError."""
        study, name = self.study, self.name
        if not study.classes:
            raise StudyError(
                f"'{study.name}' predicts a number; it has an interval (low, high), and no sets"
            )
        if self.calibration is None:
            if study.folds and not study.is_retrained:
                raise StudyError(
                    f"'{study.name}' has no sets: its model is the mean of the folds' networks, "
                    'whose sets cannot be measured; for sets, use [final] model = "retrained" in '
                    "another study"
                )
            champion = require_champion(study) if len(study.trials) > 1 else None
            if self.ensemble is None and champion and find_model_run(study, champion) is self.run:
                raise StudyError(
                    f"'{study.name}' finished before harness recorded what sets need; run it again "
                    "with: --set study.calibrated=true"
                )
            raise StudyError(
                f"'{name}' has no sets: they are measured for the registered champion only; give "
                f"{study.name}"
            )
        threshold = self.calibration.get_threshold(study.is_calibrated)
        if threshold is None:
            raise StudyError(
                f"'{name}' has no sets: {COVERAGE:.0%} need 9 validation examples, and there are "
                f"{self.calibration.plain.examples}"
            )
        return threshold

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        _, _, shape = self.study.facts.get("input", "").partition(" ")
        return tuple(json.loads(shape)) if shape else tuple(self.module.mean.shape)  # type: ignore[arg-type]

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes images as uint8, not float32 features."""
        return self.study.facts.get("input", "").startswith("uint8")

    def compute_outputs(self, inputs: Any) -> npt.NDArray[np.floating[Any]]:
        """Return the network's outputs [N, classes] for raw inputs. Raises DataError."""
        import torch

        examples = self._check_inputs(inputs)
        parts = []
        with torch.no_grad():
            for start in range(0, len(examples), BATCH_SIZE):
                batch = np.require(examples[start : start + BATCH_SIZE], requirements="W")
                parts.append(self.module(torch.from_numpy(batch)).numpy())
        outputs = len(self.study.classes) or 1
        return np.concatenate(parts) if parts else np.zeros((0, outputs), np.float32)

    def predict(self, inputs: Any) -> Array:
        """Return the class names [N], or the numbers [N] of a regression. Raises DataError."""
        outputs = self.compute_outputs(inputs)
        if not self.study.classes:
            return outputs[:, 0]
        names: Array = np.array(self.study.classes)
        chosen: Array = names[outputs.argmax(1)]
        return chosen

    def predict_probabilities(self, inputs: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class [N, classes]. Raises StudyError for a regression."""
        if not self.study.classes:
            raise StudyError(f"'{self.study.name}' predicts a number, which has no probabilities")
        import torch

        from harness.engine.losses import compute_probabilities

        logits = torch.from_numpy(self.compute_outputs(inputs)).double()
        return compute_probabilities(self.loss, logits).numpy()

    def _check_inputs(self, inputs: Any) -> Array:
        """Return inputs as an array of examples. Raises DataError."""
        if callable(getattr(inputs, "detach", None)):
            inputs = inputs.detach().cpu().numpy()
        array: Array = np.asarray(inputs)
        name, shape = self.study.name, self.shape
        if self.study.definition["data"].get("target") and array.ndim < 2:
            raise DataError(
                f"inputs are one {type(inputs).__name__}; '{name}' takes a DataFrame of rows, such "
                "as frame.iloc[[0]]"
            )
        if array.dtype.kind not in "buif":
            raise DataError(f"inputs are of type {array.dtype}; '{name}' takes numbers")
        if len(shape) == 3 and array.shape[1:] == (*shape[1:], shape[0]):
            array = np.moveaxis(array, -1, 1)  # channels last
        if math.prod(array.shape[1:]) != math.prod(shape) or array.ndim < 2:
            wanted = ", ".join(map(str, shape))
            raise DataError(f"inputs are {list(array.shape)}; '{name}' takes [N, {wanted}]")
        array = array.reshape(-1, *shape)
        if not self.takes_bytes:
            return np.require(array, np.float32, ["C", "W"])
        pixels = array.astype(np.uint8)
        if (pixels != array).any():
            raise DataError(f"inputs are not whole numbers from 0 to 255, which '{name}' takes")
        return np.ascontiguousarray(pixels)


def load_recorded_model(workspace: Workspace, tracking_uri: str | None, name: str) -> RecordedModel:
    """Load the model of a study, a trial `STUDY/12`, a run id or `models:/NAME@champion`.

    `STUDY@ensemble`, `models:/NAME@ensemble` and the version of an ensemble, `models:/NAME/3`, are
    a study's ensemble. Raises StudyError, StoreError.
    """
    return read_model(workspace.open_tracker(tracking_uri, reading=True), name)


def read_model(tracker: Tracker, name: str) -> RecordedModel:
    """Load the model that a name means, see `load_recorded_model`."""
    title, digest = name.removeprefix(MODEL_URI_PREFIX), None
    if name.endswith(ENSEMBLE_NAME):
        title = title.removesuffix(ENSEMBLE_NAME)
    else:
        version = tracker.find_ensemble(name) if name.startswith(MODEL_URI_PREFIX) else None
        if version is None:
            study, run = find_trial(tracker, name)
            model = RecordedModel(study, run, load_network(tracker, study, run))
            return _calibrate(tracker, model)
        title, digest = version
    study = find_study(tracker, title)
    record = load_ensemble(tracker, study, require_champion(study))
    if record is None and study.ensemble_rule:
        raise StudyError(
            f"the ensemble of '{study.name}' is not of its present trials; rerun the command that "
            "started the study"
        )
    if record is None:
        raise StudyError(
            f"'{study.name}' has no ensemble; run it again with: --set ensemble.size=16"
        )
    if digest not in (None, record.digest):
        raise StudyError(
            f"{name} is an earlier ensemble of '{study.name}', of other trials; use "
            f'{MODEL_URI_PREFIX}{study.name}{ENSEMBLE_NAME}, or mlflow.pyfunc.load_model("{name}")'
        )
    run = next(run for run in study.trials if run.uid == record.members[0].uid)
    return RecordedModel(study, run, load_ensemble_network(tracker, study, record), record)


def _calibrate(tracker: Tracker, model: RecordedModel) -> RecordedModel:
    """Add the calibration of a champion, which scales its outputs if the study is calibrated."""
    record = load_calibration(tracker, model.study, model.run)
    if record is None or not model.study.is_calibrated:
        return replace(model, calibration=record)
    from harness.models.calibrated import CalibratedModel

    module = CalibratedModel(model.module, model.run.spec.loss, record.temperature).eval()
    return replace(model, calibration=record, module=module)


def load_network(tracker: Tracker, study: StudyRun, run: RunRecord) -> MLP | CustomModel | Ensemble:
    """Load a run's network; a custom model is imported from where the study imported it.

    With folds it is the final model, or the mean of the folds' networks. Raises ConfigError,
    StudyError.
    """
    from harness.models.mlp import load_model
    from harness.models.user_code import importable_from

    folder = Path(study.facts.get(MODEL_FOLDER_FACT, "."))
    with importable_from(folder, Path.cwd()):
        return load_model(run.spec, len(study.classes) or 1, read_weights(tracker, study, run))


def load_ensemble_network(tracker: Tracker, study: StudyRun, record: EnsembleRecord) -> Ensemble:
    """Load an ensemble from the recorded weights of its members. Raises StudyError."""
    from harness.models.ensemble import Ensemble
    from harness.models.normalization import NormalizedModel

    runs = {run.uid: run for run in study.trials}
    members = [runs[member.uid] for member in record.members]
    networks = [load_network(tracker, study, run) for run in members]
    return Ensemble(
        [each for each in networks if isinstance(each, NormalizedModel)],
        [run.spec.loss for run in members],
        [member.weight for member in record.members],
    ).eval()


def read_weights(tracker: Tracker, study: StudyRun, run: RunRecord) -> bytes:
    """Read a run's recorded weights. Raises StudyError if they were not kept."""
    if study.is_retrained:
        final = tracker.read_file(run.run_id, FINAL_WEIGHTS_FILE)
        if final is not None:
            return final
        if study.definition["data"].get("target"):
            advice = f"use {study.name} for the champion's"
            if run.uid == study.uid:  # a single run
                advice = "train it again with --set data.folds=0"
            elif study.state != "COMPLETE":
                advice = "the champion's is trained at the study's end; rerun the study's command"
            raise StudyError(
                f"{study.name}/{run.number} has a network for each fold, and no final model; "
                f"{advice}"
            )
    weights = tracker.read_file(run.run_id, WEIGHTS_FILE)
    if weights is not None:
        return weights
    files = tracker.read_files([each.run_id for each in study.trials], WEIGHTS_FILE)
    numbers = [str(each.number) for each in study.trials if each.run_id in files]
    known = f"; kept are those of the trials {', '.join(numbers[:8])}" if numbers else ""
    raise StudyError(f"the weights of {study.name}/{run.number} were not kept{known}")
