"""The result of a study: its numbers, plots and models."""

from __future__ import annotations

import copy
import textwrap
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis.fold_scores import FoldScores, read_fold_scores
from harness.analysis.front import compute_front
from harness.analysis.summary import Summary
from harness.data.types import Array
from harness.errors import ConfigError, StudyError, did_you_mean
from harness.system.terminal import align_labels
from harness.tracking.test_reading import TestReading
from harness.tracking.types import RunRecord
from harness.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from torch import nn

    from harness.api.ensemble import StudyEnsemble
    from harness.inference.recorded_model import RecordedModel
    from harness.reports.plots.base import Plot
    from harness.search.read_only import Study as OptunaStudy

TITLE_HEIGHT, HEIGHT = 40, 450
"""Pixels of a plot's title, and of a plot without a height of its own (Plotly's)."""


@dataclass(frozen=True, repr=False)
class StudyResult:
    """A finished study: the result of `run_study` and `load`.

    Examples:
        >>> result.champion.settings["hidden"]
        [64, 32]
        >>> result.plot("val-accuracy").show()
    """

    summary: Summary
    """Everything that is reported: `print(result.summary.text())`."""
    workspace: Workspace
    """The folder of the records."""
    tracking_uri: str
    """The MLflow store of the record."""

    @property
    def name(self) -> str:
        """The study's name."""
        return self.summary.study.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the model's outputs; empty for a regression."""
        return self.summary.study.classes

    @property
    def champion(self) -> RunRecord:
        """The trial that won: `champion.settings` is a dict, `champion.number` its number."""
        return self.summary.champion

    @property
    def front(self) -> list[RunRecord]:
        """The Pareto front by `objectives`, the best trial by the first objective first; empty for
        a study with one objective. `harness.predict("STUDY/12", ...)` uses one of its trials."""
        front = compute_front(self.summary.study)
        return [each.run for each in front.trials] if front else []

    @property
    def test(self) -> TestReading | None:
        """The results on the test set, such as `test.accuracy`; None if it was not read."""
        return self.summary.reading

    @property
    def ensemble(self) -> StudyEnsemble | None:
        """The ensemble of the study's trials, with `predict`; None without [ensemble]."""
        from harness.api.ensemble import StudyEnsemble

        record = self.summary.ensemble
        if record is None:
            return None
        return StudyEnsemble(record, self.summary, self.workspace, self.tracking_uri)

    @property
    def folds(self) -> FoldScores | None:
        """The champion's objective in each fold: `folds.values`, `folds.mean`, `folds.deviation`.

        None without `[data] folds`.
        """
        return read_fold_scores(self.summary.study, self.summary.model_run)

    @property
    def report(self) -> Path:
        """Path of the report's page; `open_report` opens it."""
        return self.summary.report_path

    @property
    def model(self) -> str:
        """URI of the champion's model, for `mlflow.pytorch.load_model`."""
        return self.summary.model_uri

    @property
    def mlflow_run_id(self) -> str:
        """The id of the study's run in MLflow; each trial is a child run."""
        return self.summary.study.run_id

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each trial, indexed by number: its settings, state and best epoch."""
        import pandas as pd

        rows = []
        for run in self.summary.study.trials:
            row: dict[str, Any] = {"number": run.number, "state": run.state, "reason": run.reason}
            if run.best is not None:
                row |= {f"best_{name}": value for name, value in run.best.to_dict().items()}
            row |= {"parameters": run.parameters}
            if (milliseconds := run.get_cost("milliseconds")) is not None:
                row["milliseconds"] = milliseconds
            rows.append(row | run.spec.to_dict())
        return pd.DataFrame(rows).set_index("number")

    @property
    def optuna_study(self) -> OptunaStudy:
        """A copy of the search in Optuna, for `optuna.visualization` and `optuna.importance`."""
        from harness.search.read_only import copy_optuna_study

        return copy_optuna_study(self.workspace.study_storage(self.tracking_uri), self.name)

    @cached_property
    def plots(self) -> tuple[str, ...]:
        """The names of the report's plots, which `plot` takes."""
        return tuple(self._plots)

    def plot(self, name: str) -> go.Figure:
        """Return a plot of the report as a Plotly figure. Raises ConfigError for another name.

        Args:
            name: one of `plots`, such as `"val-accuracy"`, or the name of a section of the
                report, such as `"curves"`, for its first plot.
        """
        from harness.reports.plots.registry import build_section_plots

        plot = self._plots.get(name) or next(iter(build_section_plots(name, self.summary)), None)
        if plot is not None:
            return _add_title(plot)
        raise ConfigError(f"no plot '{name}'{did_you_mean(name, self.plots)}")

    def load_model(self) -> nn.Module:
        """Return the champion's network in eval mode.

        It takes raw inputs [N, *shape], uint8 images or float32 features, and returns logits
        [N, classes], or for a regression numbers [N, 1] in the target's units. A custom model is
        its attribute `network`, which takes normalized inputs.
        """
        return self.load_recorded_model().module

    def load_recorded_model(self) -> RecordedModel:
        """Return the champion's network with its classes and the shape of its input."""
        from harness.inference.recorded_model import load_recorded_model

        return load_recorded_model(self.workspace, self.tracking_uri, self.name)

    def predict(self, inputs: Any, *, probabilities: bool = False, sets: bool = False) -> Array:
        """Return the champion's predictions for arrays, tensors, frames or image files.

        They are numbers for a regression, else classes: for the rows of a frame the values of the
        target, for arrays and images the names, which are text. `probabilities` returns the
        probability of each of `classes` instead, and `sets` the classes that hold the true one with
        a probability of 90 %, such as `cat|dog`. See `harness.predict`. Raises DataError.
        """
        from harness.api.predictions import predict_inputs

        return predict_inputs(
            self.workspace, self.tracking_uri, self.name, inputs, probabilities, sets
        )

    def open_report(self) -> None:
        """Open the report's page in a browser. Raises StudyError if it was not written."""
        if not self.report.exists():
            raise StudyError(f"{self.report} is not there; write it with: harness report")
        webbrowser.open(self.report.resolve().as_uri())

    def __repr__(self) -> str:
        # The summary's figures: validation is corrected for selection.
        facts = {fact.key: fact.short or fact.text for fact in self.summary.facts}
        run, study = self.champion, self.summary.study
        sealed = "sealed, not read" if study.has_test_set else "no test set"
        lines = [
            (
                "champion",
                f"trial {run.number}: {run.spec.describe(study.definition.get('space', ()))}",
            ),
            (f"{study.test_name} set", sealed),
            ("validation", facts["validation"]),
            ("report", str(self.report)),
        ]
        if self.test:
            lines[1] = (f"{study.test_name} {study.score.name}", facts["test"])
        return f"StudyResult '{self.name}'\n" + textwrap.indent(align_labels(lines), "  ")

    def _repr_html_(self) -> str:
        from harness.api.result_html import format_result

        return format_result(self.summary)

    @cached_property
    def _plots(self) -> dict[str, Plot]:
        from harness.reports.plots.registry import PLOT_KINDS

        plots: Sequence[Plot] = [plot for kind in PLOT_KINDS for plot in kind.build(self.summary)]
        return {plot.name: plot for plot in plots}


def _add_title(plot: Plot) -> go.Figure:
    """Return a plot's figure with its title, which the report shows above it."""
    top = (plot.figure.layout.margin.t or 0) + TITLE_HEIGHT
    height = (plot.figure.layout.height or HEIGHT) + TITLE_HEIGHT
    figure: go.Figure = copy.deepcopy(plot.figure)
    return figure.update_layout(title_text=plot.title, margin_t=top, height=height)
