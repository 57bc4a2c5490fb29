"""The eight invariants of a study, each with the function that finds its breaches.

agreement  1 and 3: the two stores against one another, what is left running
curves     2: points, against trial.json and the journal
counts     4 and 8: the journal by itself
choice     5: settings, weights, the best trial
testset    6: readings, selections, the ledger
confirming 1, 2, 3 and 5 of the runs that confirm the best trials
stored     7: files and the stores themselves
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.doctor import agreement, choice, confirming, counts, curves, stored, testset
from harness.doctor.evidence import Evidence
from harness.doctor.finding import Finding

Check = Callable[[Evidence], Iterable[Finding]]
CHECKS: dict[int, tuple[str, tuple[Check, ...]]] = {
    1: ("runs", (agreement.one_run_each, confirming.one_run_each)),
    2: ("curves", (curves.whole_curves, confirming.whole_curves)),
    3: ("nothing left", (agreement.nothing_running, confirming.nothing_running)),
    4: ("counts", (counts.all_accounted_for,)),
    5: ("best", (choice.settings_agree, confirming.settings_agree)),
    6: ("test set", (testset.read_once, testset.in_the_ledger)),
    7: ("files", (stored.files_are_whole,)),
    8: ("order", (counts.in_order,)),
}
OF_THE_STORE = (1, 2, 5, 6)
"""Where the store was not asked, these say nothing."""


def check(evidence: Evidence) -> list[Finding]:
    """Every breach of every invariant; the evidence alone is looked at."""
    return [found for _, finds in CHECKS.values() for find in finds for found in find(evidence)]
