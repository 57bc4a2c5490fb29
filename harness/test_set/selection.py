"""The choice, frozen: what was chosen, from which trials, by which rule, and the hash of that.

It is written down before the test set is read; the reading carries the hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.confirmation import rank_confirmed_settings, find_model_run, require_champion
from harness.tracking.types import RunRecord, StudyRun

RULE = "best {objective} of a complete trial, the earlier of equals"
RULE_CONFIRMED = (
    "best mean {objective} over fresh seeds, of the best settings of a search; the model kept is "
    "the best of these by {objective}"
)
RULE_GRID_OR_LIST = (
    "none: every complete trial of a grid or list is read; the model kept is the best by "
    "{objective} of the setting that is best by its mean"
)


@dataclass(frozen=True)
class Selection:
    """What was chosen, frozen."""

    champion: RunRecord
    """The trial whose settings won."""
    model_run: RunRecord
    """The run whose model is kept: the champion itself, or the best of those that confirm it."""
    rule: str
    candidates: tuple[str, ...]
    """uids of the trials it was chosen from."""
    confirmation_runs: tuple[str, ...] = ()
    """uids of the runs that confirmed the best of them."""

    @property
    def hash(self) -> str:
        return hash_selection(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """What is written down before the test set is opened, beside its `hash`."""
        told: dict[str, Any] = {
            "champion": self.champion.uid,
            "rule": self.rule,
            "candidates": list(self.candidates),
        }
        if self.confirmation_runs:
            told |= {"model": self.model_run.uid, "confirming": list(self.confirmation_runs)}
        return told


def hash_selection(told: Mapping[str, Any]) -> str:
    """SHA-256 of a choice as it is written down. Raises KeyError, TypeError for what is none."""
    frozen = [told["champion"], told["rule"], *told["candidates"]]
    if "model" in told:
        frozen += [told["model"], *told["confirming"]]
    return hashlib.sha256(json.dumps(frozen).encode()).hexdigest()


def freeze_selection(study: StudyRun) -> Selection:
    """Choose the champion by validation alone. Raises HarnessError where no trial is complete."""
    champion = require_champion(study)
    uids = tuple(sorted(run.uid for run in study.rank_trials()))
    again = tuple(sorted(run.uid for each in rank_confirmed_settings(study) for run in each.runs))
    rule = RULE_GRID_OR_LIST if study.is_grid_or_list else RULE_CONFIRMED if again else RULE
    rule = rule.format(objective=study.objective)
    return Selection(champion, find_model_run(study, champion), rule, uids, again)


def list_unread_runs(study: StudyRun, selection: Selection) -> list[RunRecord]:
    """The runs whose models the test set is still to be read for, best first."""
    wanted = study.rank_trials() if study.is_grid_or_list else [selection.model_run]
    return [run for run in wanted if study.find_reading(run) is None]
