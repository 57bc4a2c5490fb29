"""Freeze the choice, then open the test set once.

The only file that opens a `SealedTest`. What was chosen, from which trials and by which rule is
written down and hashed before the test set is read; the reading carries that hash.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import torch

from harness.data.parts import SealedTest
from harness.engine.losses import of_examples
from harness.errors import HarnessError
from harness.model import MLP
from harness.tracking.records import RunRecord, StudyRun, TestReading
from harness.trial import Loss

RULE = "best {objective} of a complete trial, the earlier of equals"


@dataclass(frozen=True)
class Selection:
    """What was chosen, frozen."""

    champion: RunRecord
    rule: str
    candidates: tuple[str, ...]
    """uids of the trials it was chosen from."""

    @property
    def hash(self) -> str:
        """SHA-256 of the choice: the trial, the rule and the candidates."""
        frozen = [self.champion.uid, self.rule, *self.candidates]
        return hashlib.sha256(json.dumps(frozen).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """What is written down before the test set is opened; `hash` can be checked against it."""
        return {
            "hash": self.hash,
            "champion": self.champion.uid,
            "rule": self.rule,
            "candidates": list(self.candidates),
        }


def freeze(study: StudyRun) -> Selection:
    """Choose the champion by validation alone. Raises HarnessError where no trial is complete."""
    ranked = study.best_first()
    if not ranked:
        failed = [run.reason for run in study.trials if run.state == "FAILED"]
        why = f"; the last failure: {failed[-1]}" if failed else ""
        raise HarnessError(f"study '{study.name}' has no complete trial to choose from{why}")
    uids = tuple(sorted(run.uid for run in ranked))
    return Selection(ranked[0], RULE.format(objective=study.objective), uids)


def read_test(
    selection: str, number: int, model: MLP, sealed: SealedTest, trained_by: Loss = "cross-entropy"
) -> TestReading:
    """Open the test set for `model`, trial `number`, chosen by the selection of that hash."""
    part = sealed.open()
    classes = model.linears[-1].out_features
    assert isinstance(classes, int)
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    loss = 0.0
    with torch.inference_mode():
        for start in range(0, len(part), 2000):
            rows = part.rows[start : start + 2000]
            y = part.labels[rows]
            logits = model(part.inputs[rows])
            loss += of_examples(trained_by, logits, y).sum().item()
            cells = torch.bincount(y * classes + logits.argmax(1), minlength=classes**2)
            confusion += cells.view(classes, classes)
    return TestReading(
        selection=selection,
        number=number,
        time=time.time(),
        loss=loss / len(part),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )
