"""The answer in words: what won, by how much, what it cost, where everything lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.tracking import view
from harness.tracking.records import RunRecord, StudyRun, TestReading

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

    @classmethod
    def of(cls, study: StudyRun, champion: RunRecord, report: Path, store: str) -> Verdict:
        """The verdict on a study as it is on record."""
        reading = next((r for r in study.readings if r.number == champion.number), None)
        return cls(study, champion, reading, report, store)

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
                f"accuracy {best.val_accuracy:.4f}, loss {best.val_loss:.4f} "
                f"(epoch {best.epoch} of {self.champion.epochs[-1].epoch})",
            ),
        ]
        if reading is not None:
            looks = len(self.study.readings)
            read = "read once" if looks == 1 else f"look number {looks} at this test set"
            lines.append(
                (
                    "test",
                    f"accuracy {reading.accuracy:.4f}, loss {reading.loss:.4f} "
                    f"({reading.examples:,} examples, {read})",
                )
            )
            lines.append(("classes", ranked_classes(self.study.classes, reading.class_accuracy)))
        lines.append(("trials", self.trials))
        lines.append(("report", str(self.report)))
        lines.append(("model", f"{self.model} in {self.store}"))
        lines.append(("browse", self.browse))
        return lines

    @property
    def settings(self) -> str:
        """The champion's value of everything that was sampled."""
        sampled = {
            "hidden" if name in ("depth", "width") else name
            for name in self.study.definition.get("space", {})
        }
        values = self.champion.spec.to_dict()
        return ", ".join(f"{name} = {_short(values[name])}" for name in values if name in sampled)

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
        width = max(len(label) for label, _ in self.lines)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in self.lines)

    def markdown(self) -> str:
        """For MLflow's description of the run."""
        rows = "\n".join(f"| {label} | {text} |" for label, text in self.lines)
        return f"### {self.study.name}\n\n| | |\n|---|---|\n{rows}\n"

    def to_dict(self) -> dict[str, Any]:
        best, reading = self.champion.best, self.reading
        assert best is not None
        named = self.study.classes
        return {
            "study": self.study.name,
            "champion": {"trial": self.champion.number, "spec": self.champion.spec.to_dict()},
            "validation": {"accuracy": best.val_accuracy, "loss": best.val_loss},
            "test": reading
            and {
                "accuracy": reading.accuracy,
                "loss": reading.loss,
                "looks": len(self.study.readings),
                "class_accuracy": {
                    name: None if math.isnan(value) else value
                    for name, value in zip(named, reading.class_accuracy, strict=True)
                },
                "hardest_class": hardest(named, reading.class_accuracy),
            },
            "trials": {state.lower(): n for state, n in count_states(self.study).items()},
            "report": str(self.report),
            "store": self.store,
            "model": self.model,
            "browse": self.browse,
        }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ranked_classes(classes: Sequence[str], accuracy: Sequence[float]) -> str:
    """`Shirt 71.0 % (hardest), Coat 83.2 %, ...`: hardest first."""
    known = sorted(
        (value, name) for name, value in zip(classes, accuracy, strict=True) if value >= 0
    )
    parts = [f"{name} {value:.1%}".replace("%", " %") for value, name in known]
    return ", ".join([f"{parts[0]} (hardest)", *parts[1:]])


def hardest(classes: Sequence[str], accuracy: Sequence[float]) -> str:
    return min((value, name) for name, value in zip(classes, accuracy, strict=True) if value >= 0)[
        1
    ]


def count_states(study: StudyRun) -> dict[str, int]:
    states = [run.state for run in study.trials]
    return {state: states.count(state) for state in ("COMPLETE", "PRUNED", "FAILED", "INTERRUPTED")}


def busy_seconds(study: StudyRun) -> float:
    """Seconds in epochs, over all workers; time that trials shared counts once."""
    return sum(epoch.seconds for run in study.trials for epoch in run.epochs)


def duration(seconds: float) -> str:
    """`47 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
