"""Invariant 7: files have their recorded SHA-256, and the stores are intact."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.checks.check_best_trial import find_trials_with_weights
from harness.checks.findings import Finding, TruncateJournal, UpdateLocations
from harness.checks.snapshot import Snapshot
from harness.tracking.raw_types import DIGEST_TAG, DOCUMENT_FILE, REBUILT_TAG, WEIGHTS_FILE, RawRun

RESTORE = "restore it from a backup"


def check_files(snapshot: Snapshot) -> Iterator[Finding]:
    """Check invariant 7."""
    journal = snapshot.journal
    if snapshot.damage:
        before = snapshot.misplaced_database
        remedy = f"move {before} there, where an earlier version wrote it" if before else RESTORE
        yield Finding(7, "mlflow.db", snapshot.damage, remedy=remedy)
    for folder in snapshot.moved_from:
        problem = f"records its files in {folder}; they were moved or copied from there"
        yield Finding(7, "mlflow.db", problem, UpdateLocations())
    for path in snapshot.unread_journals:
        problem = "is not read; an earlier version made it for another spelling of the address"
        remedy = "rename it to keep it as another study, or remove it"
        yield Finding(7, str(path), problem, remedy=remedy)
    if journal is not None and journal.is_truncated:
        problem = "its last record is incomplete"
        yield Finding(7, journal.path, problem, TruncateJournal())
    if journal is not None and journal.damage:
        remedy = "restore it from a backup, or start over with --fresh"
        yield Finding(7, journal.path, journal.damage, remedy=remedy)
    if (
        journal is not None
        and not journal.is_started
        and not journal.is_truncated
        and not journal.damage
    ):
        problem = "does not hold a study"
        remedy = "restore it from a backup, or start over with --fresh"
        yield Finding(7, journal.path, problem, remedy=remedy)
    if snapshot.study_run is not None:
        yield from check_run_files("the study's", snapshot.study_run, set())
    needed = (
        find_trials_with_weights(snapshot) if journal is not None and journal.is_started else []
    )
    for number, run in snapshot.runs.items():
        assert journal is not None
        must = {WEIGHTS_FILE} if number in needed and REBUILT_TAG not in run.tags else set()
        if journal.get_state(journal.trials[number]) in ("COMPLETE", "PRUNED"):
            must.add(DOCUMENT_FILE)
        yield from check_run_files(f"trial {number}'s", run, must)
        file = run.files.get(DOCUMENT_FILE)
        if file is not None and not file.error and number not in snapshot.documents:
            yield Finding(7, f"trial {number}'s {DOCUMENT_FILE}", "is damaged", remedy=RESTORE)


def count_files_without_digest(snapshot: Snapshot) -> int:
    """Count the files without a recorded digest, which early versions did not keep."""
    runs = [*snapshot.runs.values(), *([snapshot.study_run] if snapshot.study_run else [])]
    return sum(f"{DIGEST_TAG}{name}" not in run.tags for run in runs for name in run.files)


def check_run_files(
    whose: str, run: RawRun, must: set[str], only: Collection[str] = ()
) -> Iterator[Finding]:
    """Check the files of a run, or `only` some: `must` names those that it needs."""
    digests = {
        key.removeprefix(DIGEST_TAG): value
        for key, value in run.tags.items()
        if key.startswith(DIGEST_TAG)
    }
    names = must | digests.keys() | run.files.keys()
    for name in sorted(names & set(only) if only else names):
        file, location = run.files.get(name), f"{whose} {name}"
        if file is None:
            yield Finding(7, location, "is missing", remedy=RESTORE)
        elif file.error:
            yield Finding(7, location, f"cannot be read ({file.error})", remedy=RESTORE)
        elif name in digests and file.sha256 != digests[name]:
            problem = f"its SHA-256 is {file.sha256[:12]}..., {digests[name][:12]}... was written"
            yield Finding(7, location, problem, remedy=RESTORE)
