"""Invariant 7: files are as they were written, and the stores pass their own checks."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doctor.check_best_trial import kept
from harness.doctor.findings import Finding, MendJournal
from harness.doctor.snapshot import Snapshot
from harness.tracking.raw_types import DIGEST, DOCUMENT, REMADE, WEIGHTS, RawRun

COPY = "restore it from a copy"


def files_are_whole(evidence: Snapshot) -> Iterator[Finding]:
    """Invariant 7."""
    journal = evidence.journal
    if evidence.damage:
        what = f"fails SQLite's own check: {evidence.damage}"
        yield Finding(7, "mlflow.db", what, remedy=COPY)
    if journal is not None and journal.cut:
        what = "its last record is cut off"
        yield Finding(7, journal.path, what, MendJournal())
    if journal is not None and journal.damage:
        remedy = "restore it from a copy, or start over with --fresh"
        yield Finding(7, journal.path, journal.damage, remedy=remedy)
    if journal is not None and not journal.begun and not journal.cut and not journal.damage:
        what = "says nothing of a study"
        remedy = "restore it from a copy, or start over with --fresh"
        yield Finding(7, journal.path, what, remedy=remedy)
    if evidence.parent is not None:
        yield from _of_run("the study's", evidence.parent, set())
    needed = kept(evidence) if journal is not None and journal.begun else []
    for number, run in evidence.runs.items():
        assert journal is not None
        must = {WEIGHTS} if number in needed and REMADE not in run.tags else set()
        if journal.state(journal.trials[number]) in ("COMPLETE", "PRUNED"):
            must.add(DOCUMENT)
        yield from _of_run(f"trial {number}'s", run, must)
        file = run.files.get(DOCUMENT)
        if file is not None and not file.error and number not in evidence.documents:
            yield Finding(7, f"trial {number}'s {DOCUMENT}", "is damaged", remedy=COPY)


def undigested(evidence: Snapshot) -> int:
    """Files of which no digest is on record: none was kept of what was recorded earlier."""
    runs = [*evidence.runs.values(), *([evidence.parent] if evidence.parent else [])]
    return sum(f"{DIGEST}{name}" not in run.tags for run in runs for name in run.files)


def _of_run(whose: str, run: RawRun, must: set[str]) -> Iterator[Finding]:
    digests = {
        key.removeprefix(DIGEST): value for key, value in run.tags.items() if key.startswith(DIGEST)
    }
    for name in sorted(must | digests.keys() | run.files.keys()):
        file, where = run.files.get(name), f"{whose} {name}"
        if file is None:
            yield Finding(7, where, "is gone", remedy=COPY)
        elif file.error:
            yield Finding(7, where, f"cannot be read ({file.error})", remedy=COPY)
        elif name in digests and file.sha256 != digests[name]:
            what = f"its SHA-256 is {file.sha256[:12]}..., {digests[name][:12]}... was written"
            yield Finding(7, where, what, remedy=COPY)
