"""The eight invariants of a study, each with the functions that check it.

To add a check, write `check_<name>(snapshot)` in a `check_*.py` and name it in CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.checks import (
    check_best_trial,
    check_calibration,
    check_confirmation,
    check_ensemble,
    check_files,
    check_final_model,
    check_metrics,
    check_race,
    check_runs,
    check_settings,
    check_tags,
    check_test_set,
    check_trial_counts,
)
from harness.checks.findings import Finding
from harness.checks.snapshot import Snapshot

Check = Callable[[Snapshot], Iterable[Finding]]
CHECKS: dict[int, tuple[str, tuple[Check, ...]]] = {
    1: ("runs", (check_runs.check_one_run_per_trial, check_confirmation.check_one_run_per_uid)),
    2: ("curves", (check_metrics.check_curves, check_confirmation.check_curves)),
    3: (
        "nothing left",
        (check_runs.check_nothing_running, check_confirmation.check_nothing_running),
    ),
    4: ("counts", (check_trial_counts.check_trial_counts,)),
    5: (
        "best",
        (
            check_settings.check_settings,
            check_best_trial.check_best_trial,
            check_confirmation.check_settings,
            check_confirmation.check_any_complete,
            check_race.check_race,
            check_calibration.check_calibration,
            check_ensemble.check_ensemble,
            check_final_model.check_final_models,
        ),
    ),
    6: (
        "test set",
        (
            check_test_set.check_readings,
            check_test_set.check_log,
            check_ensemble.check_ensemble_reading,
        ),
    ),
    7: (
        "files",
        (
            check_files.check_files,
            check_tags.check_tags,
            check_final_model.check_confirmation_files,
        ),
    ),
    8: ("order", (check_trial_counts.check_ordinals,)),
}
STORE_CHECKS = (1, 2, 5, 6)
"""Invariants that cannot be checked without reading the tracking store."""


def run_checks(snapshot: Snapshot) -> list[Finding]:
    """Return every violation of every invariant in a snapshot."""
    return [
        finding for _, checks in CHECKS.values() for check in checks for finding in check(snapshot)
    ]
