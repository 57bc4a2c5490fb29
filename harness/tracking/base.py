"""What every tracker promises; held by tests/contracts/test_trackers.py.

Runs are named by uid: a trial's, or the study's for its parent run. All writes come from the
driver's process alone, and writing the same again changes nothing: a run is found by its uid
before one is made, a file takes the place of an older one. `at` is when it happened, as Unix time,
for what is written later than that. Every method raises StoreError where the store cannot be read
or written, and of these Unavailable where it may answer later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from harness.results import EpochMetrics, Outcome
from harness.tracking.types import Curve, RunRecord, State, StudyRecord, StudyRun, TestReading
from harness.trial import Trial


class Tracker(Protocol):
    def open(self, record: StudyRecord, at: float | None = None) -> None:
        """Make or find the experiment and the parent run."""

    def start(self, trial: Trial, at: float | None = None) -> None:
        """Make the trial's run, its settings in it, or find it."""

    def log_epochs(self, uid: str, metrics: Sequence[EpochMetrics]) -> None:
        """Add points to a trial's curves."""

    def finish(
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
        """End a trial's run. `epochs` are all of its epochs; they go into one file.

        `keep` keeps the outcome's weights too; `displaced` is the trial, by uid, whose weights
        make room for them.
        """

    def weights(self, uid: str) -> bytes: ...

    def run_id(self, uid: str) -> str:
        """The store's own name of a run."""

    def log_selection(self, uid: str, selection: Mapping[str, Any]) -> None:
        """Write a frozen selection down, before the test set is opened for it."""

    def log_test(self, uid: str, reading: TestReading, champion: bool = True) -> None:
        """Record on the run `uid` what the test set showed of a trial.

        Its figures go to the trial's own run, and the `champion`'s to `uid` and its model too.
        """

    def log_replay(
        self, run_id: str, found: str, metrics: Mapping[str, float], at: float | None = None
    ) -> None:
        """Record on a trial's run, which the store calls `run_id`, what training it again gave: in
        a word, and in figures by their names in MLflow. A later replay's take their place."""

    def log_champion(
        self,
        name: str,
        model: Any,
        example: Any,
        run: RunRecord,
        note: str,
        metadata: Mapping[str, Any],
    ) -> str:
        """Keep and register the best model as `name`; returns the address it loads from.

        `metadata` stands beside it, for whoever loads it.
        """

    def log_file(self, uid: str, name: str, content: bytes) -> None:
        """Keep a file beside the run, in the place of an older one of that name."""

    def close(
        self,
        uid: str,
        state: State,
        *,
        reason: str = "",
        note: str = "",
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Curve] | None = None,
        at: float | None = None,
    ) -> None:
        """End the parent run; `note` describes it in markdown, `curves` are metrics with steps."""

    def read(self, name: str) -> StudyRun | None:
        """A study with all its trials; None where there is none of that name."""

    def read_run(self, run_id: str) -> StudyRun | None:
        """The study that a run belongs to, with that trial alone; a study's own run gives all.

        A run of `train`, which has no study, stands for one with a single trial.
        """

    def read_file(self, run_id: str, name: str) -> bytes | None:
        """A file of a run; None where it has none of that name."""

    def read_files(self, run_ids: Sequence[str], name: str) -> dict[str, bytes]:
        """That file of many runs of one study, by run id, but of those that have none."""

    def model_run(self, address: str) -> str | None:
        """The run whose weights a registered model has, by the store's name of it; None where
        there is no such model, or it is none of ours. `address` is models:/NAME@ALIAS,
        models:/NAME/VERSION or models:/ID."""

    def experiments(self) -> dict[str, str]:
        """Ids by name of all experiments that hold our runs, the one used last first."""

    def studies(self) -> list[StudyRun]:
        """Every study, without its trials' curves."""
