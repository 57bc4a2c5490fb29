"""The frozen selection: what was chosen, from which trials, by which rule, and the hash of that.

It is recorded before the test set is read, and the reading carries its hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.confirmation import find_model_run, rank_confirmed_settings, require_champion
from harness.tracking.types import RunRecord, StudyRun

# The rules are part of the hash. With other words, a study that continues would count as another
# selection, and open its test set again.
RULE = "best {objective} of a complete trial, the earlier of equals"
RULE_SEVERAL = (
    "best {objective} of a complete trial, of equals the better by the next objective, then the "
    "earlier"
)
RULE_CONFIRMED = (
    "best mean {objective} over fresh seeds, of the best settings of a search; the model kept is "
    "the best of these by {objective}"
)
RULE_RESAMPLED = (
    "best mean {objective} over new splits, of the best settings of a search; the model kept is "
    "that of the trial with these settings"
)
RULE_RACED = (
    "best mean {objective} on the new splits that two settings share, of the best settings of a "
    "search; the model kept is that of the trial with these settings"
)
RULE_GRID_OR_LIST = (
    "none: every complete trial of a grid or list is read; the model kept is the best by "
    "{objective} of the setting that is best by its mean"
)


@dataclass(frozen=True)
class Selection:
    """What was chosen, before the test set is read."""

    champion: RunRecord
    """The trial whose settings won."""
    model_run: RunRecord
    """The run whose model is registered; see `find_model_run`."""
    rule: str
    candidates: tuple[str, ...]
    """uids of the trials that it was chosen from."""
    confirmation_runs: tuple[str, ...] = ()
    """uids of the confirmation runs."""
    ensemble_rule: str = ""
    """How an ensemble is chosen from the candidates, which determines it; empty for none."""

    @property
    def hash(self) -> str:
        return hash_selection(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return what is recorded before the test set is opened, together with the hash."""
        document: dict[str, Any] = {
            "champion": self.champion.uid,
            "rule": self.rule,
            "candidates": list(self.candidates),
        }
        if self.confirmation_runs:
            document |= {"model": self.model_run.uid, "confirming": list(self.confirmation_runs)}
        if self.ensemble_rule:
            document["ensemble"] = self.ensemble_rule
        return document


def hash_selection(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a recorded selection. Raises KeyError or TypeError if it is none."""
    values = [document["champion"], document["rule"], *document["candidates"]]
    if "model" in document:
        values += [document["model"], *document["confirming"]]
    if "ensemble" in document:
        values.append(document["ensemble"])
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def freeze_selection(study: StudyRun) -> Selection:
    """Choose the champion by validation alone. Raises HarnessError if no trial is complete."""
    champion = require_champion(study)
    candidates = tuple(sorted(run.uid for run in study.rank_trials()))
    settings = rank_confirmed_settings(study)
    confirmation_runs = tuple(sorted(run.uid for setting in settings for run in setting.runs))
    rule = RULE_SEVERAL if len(study.objectives) > 1 else RULE
    if study.is_grid_or_list:
        rule = RULE_GRID_OR_LIST
    elif confirmation_runs:
        rule = RULE_RESAMPLED if study.is_resampled else RULE_CONFIRMED
        rule = RULE_RACED if study.is_raced else rule
    return Selection(
        champion,
        find_model_run(study, champion),
        rule.format(objective=study.objective),
        candidates,
        confirmation_runs,
        study.ensemble_rule,
    )


def list_tested_runs(study: StudyRun, model_run: RunRecord) -> list[RunRecord]:
    """Return the runs for whose models the test set is read, the best first: those of all trials of
    a grid or list, else that of the selection's `model_run` alone.
    """
    return study.rank_trials() if study.is_grid_or_list else [model_run]


def list_unread_runs(study: StudyRun, selection: Selection) -> list[RunRecord]:
    """Return the runs for whose models the test set is still to be read, the best first."""
    runs = list_tested_runs(study, selection.model_run)
    return [run for run in runs if study.find_reading(run) is None]
