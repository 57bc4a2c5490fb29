"""The writes of the tracker that register a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.entities import Run

from harness.tracking.base import NO_FILES, TEMPERATURE
from harness.tracking.mlflow import model_lookup, model_registry
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.model_lookup import TEMPERATURE_TAG
from harness.tracking.mlflow.reads import MlflowReads
from harness.tracking.types import RunRecord


class ModelWrites(MlflowReads):
    """The methods of Tracker that log the champion and the ensemble."""

    _store: Store

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._classes: tuple[str, ...] = ()
        self._parent = ""
        """The study's run id; empty for `train`, whose run has no parent."""

    def log_champion(
        self,
        name: str,
        model: Any,
        example: Any,
        run: RunRecord,
        note: str,
        metadata: Mapping[str, Any],
        scoring: Mapping[str, str] = NO_FILES,
    ) -> str:
        tags = {"harness.trial": str(run.number), "harness.trial_run": run.run_id}
        if TEMPERATURE in metadata:
            tags[TEMPERATURE_TAG] = repr(metadata[TEMPERATURE])
        outputs, parent = len(self._classes) or 1, self._parent
        with self._store.map_errors():
            return model_registry.log_champion(
                self._store, parent, name, model, example, outputs, note, tags, dict(metadata),
                scoring,
            )  # fmt: skip

    def log_ensemble(
        self,
        name: str,
        model: Any,
        example: Any,
        digest: str,
        note: str,
        metadata: Mapping[str, Any],
        scoring: Mapping[str, str] = NO_FILES,
    ) -> str:
        outputs, parent = len(self._classes) or 1, self._parent
        with self._store.map_errors():
            return model_registry.log_ensemble(
                self._store, parent, name, model, example, outputs, note, digest, dict(metadata),
                scoring,
            )  # fmt: skip

    def find_champion_model(self, run: Run) -> str | None:
        """Return the id of the champion's model that was logged last on a study's run."""
        return model_lookup.latest_model_id(self._store, run)
