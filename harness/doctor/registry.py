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

from harness.doctor import (
    check_best_trial,
    check_confirmation,
    check_files,
    check_metrics,
    check_runs,
    check_test_set,
    check_trial_counts,
)
from harness.doctor.findings import Finding
from harness.doctor.snapshot import Snapshot

Check = Callable[[Snapshot], Iterable[Finding]]
CHECKS: dict[int, tuple[str, tuple[Check, ...]]] = {
    1: ("runs", (check_runs.one_run_each, check_confirmation.one_run_each)),
    2: ("curves", (check_metrics.whole_curves, check_confirmation.whole_curves)),
    3: ("nothing left", (check_runs.nothing_running, check_confirmation.nothing_running)),
    4: ("counts", (check_trial_counts.all_accounted_for,)),
    5: ("best", (check_best_trial.settings_agree, check_confirmation.settings_agree)),
    6: ("test set", (check_test_set.read_once, check_test_set.in_the_ledger)),
    7: ("files", (check_files.files_are_whole,)),
    8: ("order", (check_trial_counts.in_order,)),
}
OF_THE_STORE = (1, 2, 5, 6)
"""Where the store was not asked, these say nothing."""


def check(evidence: Snapshot) -> list[Finding]:
    """Every breach of every invariant; the evidence alone is looked at."""
    return [found for _, finds in CHECKS.values() for find in finds for found in find(evidence)]
