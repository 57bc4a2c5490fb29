"""The summary of a study: which trial won, how certain that is, where the model is."""

from __future__ import annotations

import re
import shlex
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.calibration_record import CalibrationRecord, load_calibration
from harness.analysis.confirmation import ConfirmedSetting, find_model_run, rank_confirmed_settings
from harness.analysis.contenders import Contenders
from harness.analysis.corrected_score import CorrectedScore, compute_corrected_score
from harness.analysis.early_stop import EarlyStop, load_early_stop
from harness.analysis.ensemble_record import EnsembleRecord, load_ensemble
from harness.analysis.expected_best import ExpectedBest, compute_expected_best
from harness.analysis.fact import TEXT_ONLY, Fact
from harness.analysis.facts import list_facts
from harness.analysis.final_model import FinalModel, load_final_model
from harness.analysis.fold_score import FoldScore, compute_fold_score
from harness.analysis.misclassified import MISTAKES_FILE, Mistakes
from harness.analysis.paired_tests import (
    RunnerUp,
    Values,
    find_runner_up,
    read_regression_predictions,
)
from harness.analysis.race_record import RaceRecord, load_race
from harness.analysis.selection_bias import SelectionBias, compute_selection_bias
from harness.analysis.setting_differences import compare_recorded_settings
from harness.analysis.test_selection_bias import TestSelectionBias, compute_test_selection_bias
from harness.analysis.tied_trials import TiedTrials, find_tied_trials
from harness.models.baselines import BASELINES_FILE, Baselines
from harness.models.export import read_export_problem
from harness.system.terminal import align_labels
from harness.tracking.mlflow import saved_view
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord, StudyRun

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

DEFAULT_STORE = "sqlite:///mlruns/mlflow.db"
"""The tracking URI that commands use by default."""


@dataclass(frozen=True)
class Summary:
    """A finished study, with everything that its text, its JSON and its report page need."""

    study: StudyRun
    champion: RunRecord
    """The trial whose settings won."""
    reading: TestReading | None
    """The test set's result for the registered model."""
    report_path: Path
    store: str
    """The tracking URI, without a password."""
    model_uri: str
    """The model's address in the registry, if it was registered."""
    runner_up: RunnerUp | None = None
    tied_trials: TiedTrials | None = None
    mistakes: Mistakes | None = None
    """The registered model's mistakes on the validation set."""
    export_problem: str = ""
    """Why the model could not be registered; empty if it was. See harness.models.export."""
    baselines: Baselines | None = None
    """For a regression, and for classes of a table."""
    predictions: Mapping[str, Values] = field(default_factory=dict)
    """For a regression: true and predicted values [2, examples] by split."""
    test_selection_bias: TestSelectionBias | None = None
    """For a grid or list."""
    corrected_score: CorrectedScore | None = None
    """For a search that was confirmed on new splits."""
    setting_differences: Contenders | None = None
    """For a grid or list."""
    early_stop: EarlyStop | None = None
    """Why the search ended before its last trial; None if it did not."""
    race: RaceRecord | None = None
    """How the confirmation runs were spent, if the settings raced for them."""
    ensemble: EnsembleRecord | None = None
    """The study's ensemble, if it has one."""
    calibration: CalibrationRecord | None = None
    """For classes, apart from studies of earlier versions."""
    fold_score: FoldScore | None = None
    """For a search with folds, whose champion no confirmation run chose."""
    final_model: FinalModel | None = None
    """Of a study with folds whose model is trained again on all of their examples."""

    @property
    def ensemble_uri(self) -> str:
        """The ensemble's address in the registry."""
        return f"models:/{self.study.name}@ensemble"

    @property
    def model_run(self) -> RunRecord:
        """The run whose model is registered; see `find_model_run`."""
        return find_model_run(self.study, self.champion)

    @property
    def confirmation(self) -> ConfirmedSetting | None:
        """The champion's confirmation runs; None without any."""
        settings = rank_confirmed_settings(self.study)
        return next((each for each in settings if each.trial.uid == self.champion.uid), None)

    @property
    def selection_bias(self) -> SelectionBias | None:
        corrected = self.corrected_score or self.fold_score
        return compute_selection_bias(self.study, self.reading, corrected)

    @property
    def contenders(self) -> Contenders | None:
        """The settings that compete with the champion's; None if they were trained only once."""
        corrected = self.corrected_score
        return corrected.contenders if corrected else self.setting_differences

    @cached_property
    def expected_best(self) -> ExpectedBest | None:
        return compute_expected_best(self.study)

    @property
    def browse_command(self) -> str:
        """The command that opens the study in MLflow's UI, or its address on a server."""
        if self.store.startswith("http"):
            return self.store.rstrip("/") + saved_view.view_path(self.study.experiment_id)
        return f"harness ui {self.study.name}{self._store_option}"

    @property
    def test_command(self) -> str:
        """The command that opens the test set that --no-test left sealed."""
        return f"harness test {self.study.name}{self._store_option}"

    @property
    def _store_option(self) -> str:
        if self.store == DEFAULT_STORE:
            return ""
        return f" --tracking-uri {shlex.quote(self.store)}"

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """Everything that is reported, in order. Text, JSON, MLflow and the page render these."""
        return list_facts(self)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(label, text) pairs for a terminal."""
        return [line for fact in self.facts for line in fact.lines]

    def text(self, width: int | None = None) -> str:
        """Return the summary for people, one fact a line, wrapped to `width` columns."""
        return align_labels(self.lines, width)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain values, for --format json."""
        return {fact.key: fact.value for fact in self.facts if fact.value is not TEXT_ONLY}

    def markdown(self) -> str:
        """Return the MLflow description of run and experiment, whose first line MLflow shows."""
        name, score = self.study.name, self.study.score
        value = score.format_value(self.model_run.score)
        if (corrected := self.corrected_score or self.fold_score) is not None:
            value = corrected.format_value()
        elif self.confirmation is not None:
            value = str(self.confirmation.validation)
        elif self.study.folds:
            value += f" over {self.study.folds} folds"
        value = value if self.study.classes else f"{score.full_name} {value}"
        run = f"#/experiments/{self.study.experiment_id}/runs/{self.study.run_id}"
        mode = saved_view.MODE
        trials = saved_view.view_path(self.study.experiment_id).removeprefix("/")
        test = ""
        if self.reading is not None:
            test = f", {self.study.test_name} {score.format_value(self.reading.score)}"
        head = (
            f"**Trial {self.champion.number}: {self.champion.spec.describe()}** · "
            f"validation {value}{test} · [report]({run}/artifacts/report.html?{mode}) "
            f"· [study]({run}?{mode}) · [trials]({trials}) "
            f"· [model](#/models/{urllib.parse.quote(name)}?{mode})"
        )
        facts = [fact for fact in self.facts if fact.key not in ("report", "browse")]
        rows = "\n".join(
            f"| {label} | {_escape_markdown(text)} |"
            for fact in facts
            for label, text in fact.lines
        )
        return f"{head}\n\n| | |\n|---|---|\n{rows}\n"

    def metrics(self) -> dict[str, float]:
        """Return MLflow metrics of the study's run, apart from the champion's."""
        metrics = self.selection_bias.metrics() if self.selection_bias else {}
        if self.confirmation is not None:
            scores, name = self.confirmation.validation, self.study.score.field_name
            metrics["confirm/seeds"] = len(scores.values)
            metrics[f"confirm/{name}_mean"] = scores.mean
            if scores.std is not None:
                metrics[f"confirm/{name}_sd"] = scores.std
        sources = (
            self.corrected_score,
            self.fold_score,
            self.contenders,
            self.tied_trials,
            self.expected_best,
            self.test_selection_bias,
            self.baselines,
        )
        for source in sources:
            metrics |= source.metrics() if source is not None else {}
        if self.ensemble is not None:
            metrics |= self.ensemble.metrics(self.study.score.tested)
        if self.calibration is not None:
            metrics |= self.calibration.metrics(self.study.is_calibrated, self.reading)
        if self.reading is not None and self.reading.look:
            metrics["test/look"] = self.reading.look
        return metrics


def load_summary(
    study: StudyRun, champion: RunRecord, tracker: Tracker, report_path: Path, store: str
) -> Summary:
    """Build the summary of a study from the files that are recorded in `tracker`."""
    model_run = find_model_run(study, champion)
    baselines = tracker.read_file(study.run_id, BASELINES_FILE)
    return Summary(
        study,
        champion,
        study.find_reading(model_run),
        report_path,
        store,
        tracker.find_model(model_run.run_id) or f"models:/{study.name}@champion",
        find_runner_up(tracker, study, champion),
        find_tied_trials(tracker, study, champion),
        _load_mistakes(tracker, study, model_run),
        read_export_problem(tracker, study, model_run),
        Baselines.from_json(baselines) if baselines else None,
        {} if study.classes else read_regression_predictions(tracker, model_run, study.test_name),
        compute_test_selection_bias(tracker, study, champion),
        compute_corrected_score(tracker, study, champion),
        compare_recorded_settings(tracker, study),
        load_early_stop(tracker, study),
        load_race(tracker, study),
        load_ensemble(tracker, study, champion),
        load_calibration(tracker, study, model_run),
        compute_fold_score(tracker, study, champion),
        load_final_model(tracker, model_run) if study.is_retrained else None,
    )


def _load_mistakes(tracker: Tracker, study: StudyRun, model_run: RunRecord) -> Mistakes | None:
    """Return the recorded mistakes; None if they are those of an earlier champion's model."""
    content = tracker.read_file(study.run_id, MISTAKES_FILE)
    mistakes = Mistakes.from_file(content) if content else None
    if mistakes and (mistakes.run or f"{study.uid}/{mistakes.number}") == model_run.uid:
        return mistakes
    return None


def _escape_markdown(text: str) -> str:
    """Escape a text for one cell of a Markdown table."""
    return re.sub(r"([\\|<*`_])", r"\\\1", text)
