"""The tracker that reads a local database without MLflow, which it opens for a write only."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.tracking.mlflow.local_store import LocalStore
from harness.tracking.mlflow.reads import MlflowReads

if TYPE_CHECKING:
    from harness.tracking.mlflow.tracker import MlflowTracker


class LocalTracker(MlflowReads):
    """Implements the Tracker protocol for a database that `local_store.can_read` accepts."""

    def __init__(self, uri: str, path: Path, artifacts: Path) -> None:
        super().__init__(LocalStore(uri, path))
        self._artifacts = artifacts

    @cached_property
    def _writer(self) -> MlflowTracker:
        from harness.tracking.mlflow.tracker import MlflowTracker

        return MlflowTracker(self._store.uri, self._artifacts)

    def __getattr__(self, name: str) -> Any:
        """Return a method that writes."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._writer, name)
