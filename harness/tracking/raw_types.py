"""Everything that a store holds of a study, unchecked, for `harness doctor`.

A tracker reads only what a report needs. These types also hold duplicate and deleted runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from harness.tracking.name_holder import NameHolder
from harness.trial import WHOLE

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
"""The state of a run in the store."""

DIGEST_TAG = "harness.sha256."
"""The tag `harness.sha256.<file name>` holds the SHA-256 of the file as it was written."""
REBUILT_TAG = "harness.remade"
"""The tag of a run that `doctor --repair` rebuilt from the Optuna record of the trial."""
READINGS_FILE = "test_readings.json"
SELECTION_PREFIX = "selection-"
STUDY_FILE = "study.toml"
DOCUMENT_FILE = "trial.json"
CONFUSION_FILE = "confusion.csv"
WEIGHTS_FILE = "weights.safetensors"
FINAL_WEIGHTS_FILE = "final.safetensors"
"""On the run of a folded study's champion, or of each trial of a grid or list: the weights of the
final model, trained on all folds."""
WEIGHTS_FILES = (WEIGHTS_FILE, FINAL_WEIGHTS_FILE)
FINAL_FILE = "final.json"
"""On the same run: the epochs, examples, seconds and training loss of the final model."""
ENSEMBLE_FILE = "ensemble.json"
"""On a study's run: the members of its ensemble, and its results."""
ENSEMBLE_PREDICTIONS_FILE = "ensemble-test-predictions.npz"
"""On a study's run: the ensemble's predictions on the test set, as `predictions` stores them."""
CALIBRATION_FILE = "calibration.json"
"""On a study's run: the calibration of its champion's probabilities."""
RACE_FILE = "race.json"
"""The file of a study's run on the race's decisions; see `analysis.race_record`."""
STOP_FILE = "stop.json"
"""The file of a study's run on why its search ended early; see `search.stop_rule.Stop`."""
TABLE_FILE = "table.json"
"""On a study's run: the target and the labels of its table."""


def transform_file(split: int) -> str:
    """Return the name of the file with the features of a table, as fitted for that split."""
    if split == WHOLE:
        return "transform-final.json"
    return f"transform-{split}.json" if split else "transform.json"


def selection_file(digest: str) -> str:
    """Return the name of the file of a frozen selection with this hash."""
    return f"{SELECTION_PREFIX}{digest[:12]}.json"


@dataclass(frozen=True, order=True)
class Point:
    """One point of a metric."""

    key: str
    step: int
    value: float
    time: int
    """Unix time in milliseconds."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a run."""

    sha256: str
    """In hex; empty if the file could not be read."""
    error: str = ""
    """Why it could not be read."""
    content: bytes | None = None
    """The content of JSON files, of the table of confusions and of the predictions on the test set;
    None for other files."""
    shapes: Mapping[str, tuple[int, ...]] | None = None
    """The tensors of a safetensors file by name; None for other files and for a damaged one."""


@dataclass(frozen=True, kw_only=True)
class RawRun:
    """A run with its tags, parameters, metrics and files."""

    run_id: str
    name: str
    status: Status
    deleted: bool
    started: int
    """Unix time in milliseconds."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each metric, as the store shows it."""
    points: tuple[Point, ...] = ()
    """Every point of the learning curves; the last point of other metrics."""
    files: Mapping[str, StoredFile] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return self.tags.get("harness.uid", "")

    @property
    def kind(self) -> str:
        return self.tags.get("harness.kind", "")

    @property
    def state(self) -> str:
        return self.tags.get("harness.state", "")

    def file_content(self, name: str) -> bytes | None:
        return self.files[name].content if name in self.files else None


@dataclass(frozen=True)
class RawVersion:
    """A version of the registered model that has the study's name."""

    version: str
    run_id: str
    """The study's run that it was registered from."""
    champion: bool
    """Whether the alias `champion` points to it."""
    tags: Mapping[str, str]
    problem: str = ""
    """What is wrong with the model's files; empty if nothing is."""
    is_ensemble: bool = False
    """Whether the alias `ensemble` points to it."""
    ensemble_digest: str = ""
    """The digest of the ensemble that it is; empty for a trial."""


@dataclass(frozen=True)
class RawStudy:
    """One experiment with all its runs."""

    name: str
    experiment_id: str
    deleted: bool
    runs: tuple[RawRun, ...]
    versions: tuple[RawVersion, ...]

    def find_runs(self, uid: str, deleted: bool = False) -> list[RawRun]:
        """Return the runs with a uid, the oldest first."""
        return [run for run in self._by_uid.get(uid, ()) if run.deleted == deleted]

    @cached_property
    def _by_uid(self) -> dict[str, list[RawRun]]:
        groups: dict[str, list[RawRun]] = {}
        for run in self.runs:
            groups.setdefault(run.uid, []).append(run)
        return groups


class RawReader(Protocol):
    """Reads everything of a study, and repairs it if it was opened for writing.

    Every method raises StoreError if the store cannot be read or written.
    """

    def read_study(self, name: str, uid: str, model: str) -> RawStudy | None:
        """Return the study `uid`, searched under `name` first, and the versions of the
        registered model `model`; None if there is no such study."""

    def read_holders(self) -> dict[str, NameHolder]:
        """Return who holds the name of each study in the store."""

    def restore_study(self, experiment_id: str) -> None:
        """Undo the deletion of an experiment."""

    def restore_run(self, run_id: str) -> None:
        """Undo the deletion of a run."""

    def delete_run(self, run_id: str) -> None:
        """Delete a run so that it can be restored."""

    def create_run(
        self,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        started: int,
    ) -> str:
        """Create a run in the state RUNNING and return its id; `started` in milliseconds."""

    def end_run(
        self, run_id: str, status: Status | None, tags: Mapping[str, str], ended: int | None = None
    ) -> None:
        """Set a run's tags and, unless None, its state; `ended` in milliseconds."""

    def add_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points to a run's metrics."""

    def write_file(self, run_id: str, name: str, content: bytes) -> None:
        """Write a file of a run, and its digest as a tag."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias of the registered model to a version."""
