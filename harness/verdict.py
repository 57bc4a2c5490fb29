"""The answer in words: what won, by how much, what it cost, where everything lies."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import luck
from harness.config import varied_fields
from harness.expected import expected
from harness.mistakes import FILE as MISTAKES
from harness.mistakes import Mistakes
from harness.paired import Rival, runner_up
from harness.quoted import aligned, duration, hardest, in_json, interval, ranked_classes
from harness.settings import in_lines, settings, told
from harness.ties import Ties, ties
from harness.tracking import view
from harness.tracking.records import RunRecord, StudyRun, TestReading

if TYPE_CHECKING:
    from harness.tracking.base import Tracker

LOCAL = "sqlite:///mlruns/mlflow.db"
"""The store that commands use where they are not told of another."""


@dataclass(frozen=True)
class Verdict:
    """What a sweep found. `lines` are (label, text) pairs, for a terminal or a page."""

    study: StudyRun
    champion: RunRecord
    reading: TestReading | None
    report: Path
    store: str
    """The tracking URI, without a password."""
    runner_up: Rival | None = None
    ties: Ties | None = None
    """The trials that cannot be told from the champion."""
    mistakes: Mistakes | None = None
    """The champion's on the validation part."""
    luck: luck.Luck | None = None
    """Of a grid or list: what choosing on the test set would have done."""

    @classmethod
    def of(
        cls, study: StudyRun, champion: RunRecord, tracker: Tracker, report: Path, store: str
    ) -> Verdict:
        """The verdict on a study as it is on record in `tracker`."""
        reading = next((r for r in study.readings if r.number == champion.number), None)
        content = tracker.read_file(study.run_id, MISTAKES)
        mistakes = Mistakes.from_file(content) if content else None
        if mistakes is not None and mistakes.number != champion.number:
            mistakes = None  # an earlier champion's
        return cls(
            study,
            champion,
            reading,
            report,
            store,
            runner_up(tracker, study, champion),
            ties(tracker, study, champion),
            mistakes,
            luck.find(tracker, study, champion),
        )

    @property
    def model(self) -> str:
        """The champion's address in the store's registry."""
        return f"models:/{self.study.name}@champion"

    @property
    def browse(self) -> str:
        """A command, or an address where the store is a server."""
        if self.store.startswith("http"):
            return self.store.rstrip("/") + view.address(self.study.experiment_id)
        elsewhere = "" if self.store == LOCAL else f" --tracking-uri {self.store}"
        return f"harness ui {self.study.name}{elsewhere}"

    @property
    def lines(self) -> list[tuple[str, str]]:
        best, reading = self.champion.best, self.reading
        assert best is not None
        lines = [
            ("champion", f"trial {self.champion.number}: {self.champion.spec.describe()}"),
            ("settings", self.settings),
            (
                "validation",
                f"accuracy {best.val_accuracy:.4f}{interval(self.champion.confusion)}, "
                f"loss {best.val_loss:.4f} "
                f"(epoch {best.epoch} of {self.champion.epochs[-1].epoch})",
            ),
        ]
        if reading is not None:
            lines.append(
                (
                    self.study.test_name,
                    f"accuracy {reading.accuracy:.4f}{interval(reading.confusion)}, "
                    f"loss {reading.loss:.4f} ({reading.examples:,} examples, {self.looked})",
                )
            )
            ranked = ranked_classes(self.study.classes, reading.confusion)
            lines.append(("classes", f"on {self.study.test_name}: {ranked}"))
        if self.runner_up is not None:
            lines.append(("runner-up", self.rivalry))
        if self.ties is not None:
            lines.append(("ties", self.ties.text))
        if (found := expected(self.study)) is not None:
            lines.append(("best of n", found.text))
        for place, line in enumerate(in_lines(self.study)):
            lines.append(("" if place else "by setting", line))
        lines.append(("trials", self.trials))
        lines.append(("report", str(self.report)))
        lines.append(("model", f"{self.model} in {self.store}"))
        lines.append(("browse", self.browse))
        return lines

    @property
    def settings(self) -> str:
        """The champion's value of everything that was varied."""
        if self.study.given:
            return told(self.study, self.champion)
        varied, values = varied_fields(self.study.definition), self.champion.spec.to_dict()
        parts = [f"{name} = {_short(values[name])}" for name in values if name in varied]
        return ", ".join(parts) or "nothing was sampled"

    @property
    def looked(self) -> str:
        """How the test set was read."""
        looks, read = self.study.looks, len(self.study.readings)
        if not self.study.given:
            return "read once" if looks == 1 else f"look number {looks} at this test set"
        complete = len(self.study.best_first())
        of = f"all {read}" if read == complete else f"{read} of {complete}"
        opened = "one opening" if looks == 1 else f"{looks} openings"
        return f"{opened} for {of} trials; nothing is chosen by it"

    @property
    def rivalry(self) -> str:
        """The runner-up, and whether it and the champion differ by more than chance."""
        assert self.runner_up is not None
        run, found = self.runner_up.run, self.runner_up.paired
        assert run.best is not None
        said = f"trial {run.number}, accuracy {run.best.val_accuracy:.4f}{interval(run.confusion)}"
        if found is None:
            return said
        shows = "no difference that shows"
        if found.shows:  # by another objective, the runner-up may be the more accurate one
            ahead = "runner-up" if found.only_second > found.only_first else "champion"
            shows = f"a difference that shows, in the {ahead}'s favour,"
        return f"{said}: {shows} on {found.examples:,} examples (McNemar p = {found.p:.2g})"

    @property
    def trials(self) -> str:
        counts = count_states(self.study)
        named = {"COMPLETE": "complete", "PRUNED": "pruned", "FAILED": "failed"}
        parts = [f"{counts[state]} {name}" for state, name in named.items() if counts[state]]
        total = sum(counts[state] for state in named)
        extra = counts["INTERRUPTED"]
        again = f", {extra} interrupted and tried again" if extra else ""
        busy = busy_seconds(self.study)
        spent = duration(busy) if busy >= 1 else "less than 1 s"
        device = self.study.facts.get("device", "")
        return f"{total}: {', '.join(parts)}{again}; {spent} of training on {device}"

    def text(self) -> str:
        return aligned(self.lines)

    def markdown(self) -> str:
        """For MLflow's description of the run and the experiment, which shows its first line."""
        best, name = self.champion.best, self.study.name
        assert best is not None
        run = f"#/experiments/{self.study.experiment_id}/runs/{self.study.run_id}"
        tested = (
            f", {self.study.test_name} {self.reading.accuracy:.4f}"
            if self.reading is not None
            else ""
        )
        head = (
            f"**Trial {self.champion.number}: {self.champion.spec.describe()}** · "
            f"validation {best.val_accuracy:.4f}{tested} · [report]({run}/artifacts/report.html) "
            f"· [study]({run}) · [model](#/models/{urllib.parse.quote(name)})"
        )
        shown = [line for line in self.lines if line[0] not in ("report", "browse")]
        rows = "\n".join(f"| {label} | {_in_markdown(text)} |" for label, text in shown)
        return f"{head}\n\n| | |\n|---|---|\n{rows}\n"

    def to_dict(self) -> dict[str, Any]:
        best, reading = self.champion.best, self.reading
        assert best is not None
        named = self.study.classes
        return {
            "study": self.study.name,
            "champion": {"trial": self.champion.number, "spec": self.champion.spec.to_dict()},
            "validation": {
                **in_json(named, self.champion.confusion),
                "accuracy": best.val_accuracy,
                "loss": best.val_loss,
            },
            "test": reading
            and {
                "of": self.study.test_name,
                **in_json(named, reading.confusion),
                "loss": reading.loss,
                "looks": self.study.looks,
                "hardest_class": hardest(named, reading.class_accuracy),
            },
            "ties": self.ties and self.ties.to_dict(),
            "expected_best": found.to_dict() if (found := expected(self.study)) else None,
            "settings": [
                {
                    "name": setting.name,
                    "trials": [run.number for run in setting.runs],
                    "validation": setting.validation.values,
                    "test": setting.test and setting.test.values,
                }
                for setting in settings(self.study)
            ],
            "trials": {state.lower(): n for state, n in count_states(self.study).items()},
            "report": str(self.report),
            "store": self.store,
            "model": self.model,
            "browse": self.browse,
        }


def _in_markdown(text: str) -> str:
    """As it is: no markup, one cell of a table."""
    return re.sub(r"([\\|<*`_])", r"\\\1", text)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def count_states(study: StudyRun) -> dict[str, int]:
    states = [run.state for run in study.trials]
    return {state: states.count(state) for state in ("COMPLETE", "PRUNED", "FAILED", "INTERRUPTED")}


def busy_seconds(study: StudyRun) -> float:
    """Seconds in epochs, over all workers; time that trials shared counts once."""
    return sum(epoch.seconds for run in study.trials for epoch in run.epochs)
