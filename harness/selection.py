"""Freeze the choice, then open the test set once.

The only file that opens a `SealedTest`. What was chosen, from which trials and by which rule is
written down and hashed before the test set is read; the reading carries that hash.

Of a search the champion alone is read. A grid or list was decided on before any result was known:
nothing is chosen, and one opening reads every trial of it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from harness.data.parts import SealedTest
from harness.engine.losses import of_examples, probabilities
from harness.errors import HarnessError
from harness.model import MLP
from harness.settings import champion_of
from harness.tracking.predictions import TestPredictions
from harness.tracking.records import RunRecord, StudyRun, TestReading
from harness.trial import Loss

BATCH = 2000
RULE = "best {objective} of a complete trial, the earlier of equals"
RULE_GIVEN = (
    "none: every complete trial of a grid or list is read; the model kept is the best by "
    "{objective} of the setting that is best by its mean"
)


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
    champion = champion_of(study)
    if champion is None:
        failed = [run.reason for run in study.trials if run.state == "FAILED"]
        why = f"; the last failure: {failed[-1]}" if failed else ""
        raise HarnessError(f"study '{study.name}' has no complete trial to choose from{why}")
    uids = tuple(sorted(run.uid for run in study.best_first()))
    rule = (RULE_GIVEN if study.given else RULE).format(objective=study.objective)
    return Selection(champion, rule, uids)


def unread(study: StudyRun) -> list[RunRecord]:
    """The trials that the test set is still to be read for, best first."""
    ranked = study.best_first()
    wanted = ranked if study.given else ranked[:1]
    return [run for run in wanted if study.reading_of(run.number) is None]


def read_test(
    selection: str, sealed: SealedTest, trained: Iterable[tuple[int, MLP, Loss]]
) -> Iterator[tuple[TestReading, TestPredictions]]:
    """Open the test set for the selection of that hash: (number, model, its loss) of each trial."""
    part = sealed.open()
    true = part.labels[part.rows]
    for number, model, trained_by in trained:
        losses, sure, predicted = [], [], []
        with torch.inference_mode():
            for rows in torch.split(part.rows, BATCH):
                logits = model(part.inputs[rows])
                losses.append(of_examples(trained_by, logits, part.labels[rows]))
                best = probabilities(trained_by, logits).max(1)
                sure.append(best.values)
                predicted.append(logits.argmax(1))
        said = torch.cat(predicted)
        classes = model.linears[-1].out_features
        assert isinstance(classes, int)
        cells = torch.bincount(true * classes + said, minlength=classes**2)
        reading = TestReading(
            selection=selection,
            number=number,
            time=time.time(),
            loss=torch.cat(losses).mean().item(),
            confusion=tuple(tuple(row) for row in cells.view(classes, classes).tolist()),
        )
        yield reading, TestPredictions(true.numpy(), said.numpy(), torch.cat(sure).numpy())
