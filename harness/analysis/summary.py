"""The answer in words: what won, by how much, what it cost, where everything lies."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.analysis import test_selection_bias
from harness.analysis.confirmation import ConfirmedSetting, find_model_run, rank_confirmed_settings
from harness.analysis.data_quality import describe_data_quality
from harness.analysis.expected_best import compute_expected_best
from harness.analysis.formatting import (
    align_labels,
    format_class_accuracies,
    format_duration,
    format_ordinal,
)
from harness.analysis.misclassified import MISTAKES_FILE as MISTAKES
from harness.analysis.misclassified import Mistakes
from harness.analysis.paired_tests import (
    RunnerUp,
    Values,
    find_runner_up,
    read_regression_predictions,
)
from harness.analysis.seed_variance import describe_setting, format_settings
from harness.analysis.selection_bias import SelectionBias
from harness.analysis.tied_trials import TiedTrials, find_tied_trials
from harness.config.schema import find_varied_fields
from harness.models import export
from harness.models.baselines import BASELINES_FILE as BASELINES
from harness.models.baselines import Baselines
from harness.tracking.mlflow import saved_view
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.types import RunRecord, StudyRun, TestReading

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

DEFAULT_STORE = "sqlite:///mlruns/mlflow.db"
"""The store that commands use where they are not told of another."""


@dataclass(frozen=True)
class Summary:
    """What a sweep found. `lines` are (label, text) pairs, for a terminal or a page."""

    study: StudyRun
    champion: RunRecord
    """The trial whose settings won."""
    reading: TestReading | None
    """Of the model that is kept."""
    report_path: Path
    store: str
    """The tracking URI, without a password."""
    runner_up: RunnerUp | None = None
    tied_trials: TiedTrials | None = None
    """The trials that cannot be told from the champion."""
    mistakes: Mistakes | None = None
    """The champion's on the validation part."""
    export_problem: str = ""
    """Why there is no registered model; see harness.exported."""
    baselines: Baselines | None = None
    """Of a regression, as `predicted`: by part [2, examples], true and predicted."""
    predictions: Mapping[str, Values] = field(default_factory=dict)
    test_selection_bias: test_selection_bias.TestSelectionBias | None = None
    """Of a grid or list: what choosing on the test set would have done."""

    @classmethod
    def of(
        cls, study: StudyRun, champion: RunRecord, tracker: Tracker, report: Path, store: str
    ) -> Summary:
        """The verdict on a study as it is on record in `tracker`."""
        kept = find_model_run(study, champion)
        reading = study.find_reading(kept)
        content = tracker.read_file(study.run_id, MISTAKES)
        mistakes = Mistakes.from_file(content) if content else None
        if mistakes and (mistakes.run or f"{study.uid}/{mistakes.number}") != kept.uid:
            mistakes = None  # an earlier champion's
        content = None if study.classes else tracker.read_file(study.run_id, BASELINES)
        return cls(
            study,
            champion,
            reading,
            report,
            store,
            find_runner_up(tracker, study, champion),
            find_tied_trials(tracker, study, champion),
            mistakes,
            export.read_export_problem(tracker, study, kept),
            Baselines.from_json(content) if content else None,
            {} if study.classes else read_regression_predictions(tracker, kept, study.test_name),
            test_selection_bias.compute_test_selection_bias(tracker, study, champion),
        )

    @property
    def model_run(self) -> RunRecord:
        """The run whose model is kept: the champion, or the best of those that confirm it."""
        return find_model_run(self.study, self.champion)

    @property
    def confirmation(self) -> ConfirmedSetting | None:
        """What the champion came to over fresh seeds."""
        found = (c for c in rank_confirmed_settings(self.study) if c.trial.uid == self.champion.uid)
        return next(found, None)

    @property
    def selection_bias(self) -> SelectionBias | None:
        return SelectionBias.of(self.study, self.reading)

    @property
    def model_uri(self) -> str:
        """The champion's address in the store's registry, if it was exported."""
        return f"models:/{self.study.name}@champion"

    @property
    def browse_command(self) -> str:
        """A command, or an address where the store is a server."""
        if self.store.startswith("http"):
            return self.store.rstrip("/") + saved_view.view_path(self.study.experiment_id)
        elsewhere = "" if self.store == DEFAULT_STORE else f" --tracking-uri {self.store}"
        return f"harness ui {self.study.name}{elsewhere}"

    @property
    def lines(self) -> list[tuple[str, str]]:
        reading, score = self.reading, self.study.score
        lines = [
            ("champion", f"trial {self.champion.number}: {self.champion.spec.describe()}"),
            ("settings", self.champion_settings),
            *self._validated(),
        ]
        if reading is not None:
            lines.append(
                (
                    self.study.test_name,
                    f"{score.format_score(reading)}, "
                    f"{score.format_other_metrics(reading.loss, reading.mae, reading.r2)} "
                    f"({reading.examples:,} examples, {self.describe_test_reading})",
                )
            )
        if reading is not None and self.study.classes:
            ranked = format_class_accuracies(self.study.classes, reading.confusion)
            lines.append(("classes", f"on {self.study.test_name}: {ranked}"))
        if self.baselines is not None:
            lines.append(("baselines", self._beaten(self.baselines)))
        if self.selection_bias is not None:
            lines.append(("optimism", self.selection_bias.describe(self.study.test_name)))
        if self.runner_up is not None:
            lines.append(("runner-up", self.rivalry))
        if self.tied_trials is not None:
            lines.append(("ties", self.tied_trials.describe))
        if (found := compute_expected_best(self.study)) is not None:
            lines.append(("best of n", found.describe))
        if self.test_selection_bias is not None:
            lines.append(("luck", self.test_selection_bias.describe(self.study.test_name)))
        for place, line in enumerate(format_settings(self.study)):
            lines.append(("" if place else "by setting", line))
        if data := describe_data_quality(self.study):
            lines.append(("data", data))
        lines.append(("trials", self.trials))
        lines.append(("report", str(self.report_path)))
        kept = (
            f"not exported ({self.export_problem}); {WEIGHTS_FILE} of run {self.model_run.run_id}"
        )
        lines.append(
            ("model", kept if self.export_problem else f"{self.model_uri} in {self.store}")
        )
        lines.append(("browse", self.browse_command))
        return lines

    def _validated(self) -> list[tuple[str, str]]:
        kept, again = self.model_run, self.confirmation
        assert kept.best is not None
        score = self.study.score
        at = f"(epoch {kept.best.epoch} of {kept.epochs[-1].epoch})"
        own = (
            f"{score.format_score(kept, full=again is None)}, {score.format_epoch(kept.best)} {at}"
        )
        if again is None:
            why = "no: trained with one seed alone"
            return [
                ("validation", own),
                *([] if self.study.is_grid_or_list else [("confirmed", why)]),
            ]
        n = len(again.runs)
        failed = f"; with {again.failed} more it could not be trained" if again.failed else ""
        over = f"{n} fresh seeds (mean ± standard deviation)" if n > 1 else "one fresh seed"
        return [
            ("validation", f"{score.full_name} {again.validation} over {over}{failed}"),
            ("kept", f"the model of seed {kept.spec.seed}: {own}"),
        ]

    def metrics(self) -> dict[str, float]:
        """For the study's run, beside the champion's own."""
        found = self.selection_bias.metrics() if self.selection_bias else {}
        if self.confirmation is not None:
            over = self.confirmation.validation
            found["confirm/seeds"] = len(over.values)
            found[f"confirm/{self.study.score.field_name}_mean"] = over.mean
            if over.std is not None:
                found[f"confirm/{self.study.score.field_name}_sd"] = over.std
        for more in (
            self.tied_trials,
            compute_expected_best(self.study),
            self.test_selection_bias,
            self.baselines,
        ):
            found |= more.metrics() if more is not None else {}
        if self.reading is not None and self.reading.look:
            found["test/look"] = self.reading.look
        return found

    @property
    def champion_settings(self) -> str:
        """The champion's value of everything that was varied."""
        if self.study.is_grid_or_list:
            return describe_setting(self.study, self.champion)
        varied, values = find_varied_fields(self.study.definition), self.champion.spec.to_dict()
        parts = [f"{name} = {_format_value(values[name])}" for name in values if name in varied]
        return ", ".join(parts) or "nothing was sampled"

    @property
    def describe_test_reading(self) -> str:
        """How the test set was read."""
        looks, read = self.study.test_set_openings, len(self.study.readings)
        look = max(looks, *(reading.look for reading in self.study.readings), 0)
        if not self.study.is_grid_or_list:
            known = self.reading is not None and self.reading.look
            return (
                f"{format_ordinal(look)} look at this test set"
                if known or look > 1
                else "read once"
            )
        complete = len(self.study.rank_trials())
        of = f"all {read}" if read == complete else f"{read} of {complete}"
        opened = "one opening" if looks == 1 else f"{looks} openings"
        told = f"{opened} for {of} trials; nothing is chosen by it"
        return (
            told if look <= looks else f"{told}; the {format_ordinal(look)} look at this test set"
        )

    @property
    def rivalry(self) -> str:
        """The runner-up, and whether it and the champion differ by more than chance."""
        assert self.runner_up is not None
        run, found = self.runner_up.run, self.runner_up.test
        said = f"trial {run.number}, {self.study.score.format_score(run)}"
        if found is None:
            return said
        shows = "no difference that shows"
        if found.is_significant:  # by another objective, the runner-up may be the more accurate one
            ahead = "runner-up" if found.is_second_better else "champion"
            shows = f"a difference that shows, in the {ahead}'s favour,"
        return f"{said}: {shows} on {found.examples:,} examples ({found.test_name} p = {found.p_value:.2g})"

    def _beaten(self, found: Baselines) -> str:
        """What simpler models came to, on the test part where that was read."""
        part, score = ("test" if self.reading else "validation"), self.study.score
        ranked = sorted(found.of_split(part).items(), key=lambda each: each[1].rmse)
        told = [f"{name} {score.format_score(each)}" for name, each in ranked]
        return f"on {self.study.test_name if self.reading else part}: {', '.join(told)}"

    @property
    def trials(self) -> str:
        counts = count_states(self.study)
        named = {"COMPLETE": "complete", "PRUNED": "pruned", "FAILED": "failed"}
        parts = [f"{counts[state]} {name}" for state, name in named.items() if counts[state]]
        total = sum(counts[state] for state in named)
        extra = counts["INTERRUPTED"]
        again = f", {extra} interrupted and tried again" if extra else ""
        busy = compute_busy_seconds(self.study)
        spent = format_duration(busy) if busy >= 1 else "less than 1 s"
        device = self.study.facts.get("device", "")
        return f"{total}: {', '.join(parts)}{again}; {spent} of training on {device}"

    def text(self) -> str:
        return align_labels(self.lines)

    def markdown(self) -> str:
        """For MLflow's description of the run and the experiment, which shows its first line."""
        name, again = self.study.name, self.confirmation
        score = self.study.score
        value = str(again.validation) if again else score.format_value(self.model_run.score)
        value = value if self.study.classes else f"{score.full_name} {value}"
        run = f"#/experiments/{self.study.experiment_id}/runs/{self.study.run_id}"
        tested = (
            f", {self.study.test_name} {score.format_value(self.reading.score)}"
            if self.reading is not None
            else ""
        )
        head = (
            f"**Trial {self.champion.number}: {self.champion.spec.describe()}** · "
            f"validation {value}{tested} · [report]({run}/artifacts/report.html) "
            f"· [study]({run}) · [model](#/models/{urllib.parse.quote(name)})"
        )
        shown = [line for line in self.lines if line[0] not in ("report", "browse")]
        rows = "\n".join(f"| {label} | {_escape_markdown(text)} |" for label, text in shown)
        return f"{head}\n\n| | |\n|---|---|\n{rows}\n"


def _escape_markdown(text: str) -> str:
    """As it is: no markup, one cell of a table."""
    return re.sub(r"([\\|<*`_])", r"\\\1", text)


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def count_states(study: StudyRun) -> dict[str, int]:
    states = [run.state for run in study.trials]
    return {state: states.count(state) for state in ("COMPLETE", "PRUNED", "FAILED", "INTERRUPTED")}


def compute_busy_seconds(study: StudyRun) -> float:
    """Seconds in epochs, over all workers; time that trials shared counts once."""
    return sum(epoch.seconds for run in study.trials for epoch in run.epochs)
