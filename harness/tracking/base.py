"""The Tracker protocol: how studies and trials are recorded and read back.

tests/tracking/test_contract.py tests every implementation against it.

A run is addressed by its uid: the trial's, or the study's for the parent run. Only the driver's
process writes. Writing the same twice changes nothing: a run is looked up by its uid before it is
created, and a file replaces an older one of its name. `at` is the Unix time of an event that is
written later. Every method raises StoreError if the store cannot be read or written; the subclass
Unavailable means that a retry may succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from harness.results import EpochMetrics, Outcome
from harness.tracking.name_holder import NameHolder
from harness.tracking.test_reading import TestReading
from harness.tracking.types import Curve, RunRecord, State, StudyRecord, StudyRun
from harness.trial import Trial

TEMPERATURE = "temperature"
"""The key of the metadata of a calibrated model."""
NO_FILES: Mapping[str, str] = MappingProxyType({})


def ignore(name: str, reason: str) -> None:
    """Leave out a study that cannot be read without a word."""


class Tracker(Protocol):
    """Records studies and trials, and reads them back."""

    def open_study(self, record: StudyRecord, at: float | None = None) -> None:
        """Create or find the experiment and the parent run.

        Raises StudyError if another study has the name.
        """

    def attach_study(self, record: StudyRecord) -> None:
        """Find the study for later writes, and change nothing. Raises StudyError if there is none.

        `open_study` would record it as running.
        """

    def start_trial(self, trial: Trial, at: float | None = None) -> None:
        """Create or find the trial's run, and record its settings."""

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        """Add points to a trial's learning curves."""

    def finish_trial(
        self,
        trial: Trial,
        state: State,
        *,
        worker: str = "",
        epochs: Sequence[EpochMetrics] = (),
        outcome: Outcome | None = None,
        reason: str = "",
        successor: int | None = None,
        keep: bool = False,
        displaced: str = "",
        at: float | None = None,
    ) -> None:
        """End a trial's run.

        Args:
            epochs: All epochs of the trial; they are stored in one file.
            keep: Whether to keep the weights of `outcome`.
            displaced: The uid of the trial whose weights are deleted instead.
        """

    def load_weights(self, uid: str) -> bytes:
        """Return the kept weights of a trial as a safetensors file."""

    def find_run_id(self, uid: str) -> str:
        """Return the store's id of a run."""

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        """Record a frozen selection, before the test set is opened for it."""

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        """Record a trial's result on the test set in a file of the study's run `uid`.

        The metrics are recorded on the trial's run; the `champion`'s also on `uid` and its model.
        """

    def log_replay(
        self, run_id: str, outcome: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        """Record the result of a replay on the trial's run, in the place of an older one.

        Args:
            run_id: The store's id of the run.
            outcome: The result in one word.
            metrics: By their names in MLflow.
        """

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
        """Store the best model, register it as `name`, and return the address that loads it.

        `metadata` is stored with the model. `scoring`: the files of `harness.scoring.champion` for
        a model of a table, which then takes raw rows.
        """

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
        """Store an ensemble, register it as `name`, and return the address that loads it.

        `digest` identifies the ensemble; a model with it that is registered is used again. The
        other arguments are those of `log_champion`.
        """

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        """Store a file of a run, in the place of an older one of that name."""

    def close_study(
        self,
        uid: str,
        state: State,
        *,
        reason: str = "",
        note: str = "",
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Curve] | None = None,
        trial_metrics: Mapping[str, Mapping[str, float]] | None = None,
        at: float | None = None,
    ) -> None:
        """End the parent run.

        Args:
            note: Its description in markdown.
            curves: Metrics with steps.
            trial_metrics: Metrics of trials by their uid; they replace older values.
        """

    def check_name(self, record: StudyRecord) -> NameHolder:
        """Return who holds the study's name. Raises StudyError if `open_study` would."""

    def read_study(self, name: str, uid: str = "") -> StudyRun | None:
        """Return a study with all its trials; None if there is none.

        Several studies may have the same name, so a driver passes the `uid` of its study. Raises
        StudyError if several studies have the name and no `uid` is passed.
        """

    def read_run(self, run_id: str) -> StudyRun | None:
        """Return the study of a run with that trial only, or with all trials for a parent run.

        A run of `train` is returned as a study with a single trial. None for an unknown id.
        """

    def read_file(self, run_id: str, name: str) -> bytes | None:
        """Return a file of a run; None if the run has no file of that name."""

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        """Return a file of many runs of one study by run id, without those that have none."""

    def find_model(self, run_id: str) -> str | None:
        """Return the address of the registered model with the weights of a run, if there is one.

        It is models:/NAME@champion for a study's champion, else models:/NAME/VERSION.
        """

    def find_model_run(self, address: str) -> str | None:
        """Return the id of the run whose weights a registered model has.

        None if there is no such model, or harness did not register it. `address` is
        models:/NAME@ALIAS, models:/NAME/VERSION or models:/ID.
        """

    def find_ensemble(self, address: str) -> tuple[str, str] | None:
        """Return the study's name and the digest of a registered ensemble.

        None if no ensemble has this address, which is written as for `find_model_run`.
        """

    def list_experiments(self) -> dict[str, str]:
        """Return the ids of all experiments of harness by name, the one used last first."""

    def list_studies(self, skip: Callable[[str, str], None] = ignore) -> list[StudyRun]:
        """Return every study that can be read, without its trials' curves.

        `skip` is called with the name of each other study, and the reason.
        """
