"""Settings that a study found, to be trained again with other seeds: what confirms its winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.results import Objective
from harness.search.fixed_trials import FixedSearch
from harness.tracking.types import CONFIRM_INFIX
from harness.trial import Trial, TrialSpec


@dataclass(frozen=True)
class Again:
    """One training that is wanted."""

    number: int
    """The trial of the study whose settings these are."""
    spec: TrialSpec
    """With the fresh seed."""
    begun: int
    """Attempts at it on record, none of which ended for good."""


class ConfirmingSearch(FixedSearch):
    """Each in order; the uids are `STUDY/confirm/NUMBER.SEED`, and `.ATTEMPT` after the first."""

    def __init__(self, study_uid: str, wanted: Sequence[Again], objective: Objective) -> None:
        super().__init__(study_uid, [each.spec for each in wanted], objective=objective)
        self._alone, self._wanted = False, wanted

    def ask(self) -> Trial:
        trial = super().ask()
        return replace(trial, confirms=self._wanted[self._asked[trial.number][0]].number)

    def trial_uid(self, number: int) -> str:
        first, spec, attempt = self._asked[number]
        wanted = self._wanted[first]
        place = wanted.begun + attempt
        again = f".{place}" if place > 1 else ""
        return f"{self.uid}{CONFIRM_INFIX}{wanted.number}.{spec.seed}{again}"
