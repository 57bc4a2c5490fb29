"""Journal files: their lock, and the repair of damaged ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.config.schema import StudyConfig
from harness.errors import StoreError, StudyError
from harness.search.open_study import open_search
from harness.search.storage.journal import repair_journal
from tests.search.tiny_study import make_metrics, requeue, run_trials


def test_a_second_driver_gets_an_error_with_the_first_ones_process(
    config: StudyConfig, tmp_path: Path
) -> None:
    with (
        open_search(config, tmp_path),
        pytest.raises(StudyError, match=r"'tiny' is being driven by process \d+ on \S+; wait"),
        open_search(config, tmp_path),
    ):
        pass


def test_a_journal_cut_at_any_byte_of_its_last_line_is_repaired(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        run_trials(search, 2)
    journal = tmp_path / "tiny.journal"
    complete = journal.read_bytes()
    last = complete.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last + 1, len(complete)):
        journal.write_bytes(complete[:cut])
        Path(f"{journal}.lock").symlink_to(journal)
        repair_journal(journal)
        assert journal.read_bytes() == complete[:last]
        assert not Path(f"{journal}.lock").is_symlink()
    journal.write_bytes(complete[: len(complete) - 1])
    with open_search(config, tmp_path) as search:
        for number in search.stale:
            requeue(search, number)
        run_trials(search, 1)
    for line in journal.read_bytes().splitlines():
        json.loads(line)


def test_a_journal_damaged_before_its_last_line_is_rejected_and_not_changed(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        run_trials(search, 1)
    journal = tmp_path / "tiny.journal"
    lines = journal.read_bytes().split(b"\n")
    lines[2] = b"\0garbage"
    journal.write_bytes(b"\n".join(lines))
    before = journal.read_bytes()
    with (
        pytest.raises(StoreError, match=r"tiny.journal: line 3 is damaged"),
        open_search(config, tmp_path),
    ):
        pass
    assert journal.read_bytes() == before


def test_the_disk_has_a_trial_before_it_starts_and_its_end_before_the_next(
    config: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs need no fsync of their own: a running trial is trained again after a power failure."""
    journal, synced = tmp_path / "tiny.journal", list[int]()
    sync = os.fsync

    def fsync(file: int) -> None:
        sync(file)
        synced.append(os.fstat(file).st_size)

    with open_search(config, tmp_path) as search:
        monkeypatch.setattr(os, "fsync", fsync)
        trial = search.ask()
        assert synced[-1] == journal.stat().st_size
        before = len(synced)
        for epoch in (1, 2):
            search.report(trial.number, make_metrics(0.5, epoch))
        assert len(synced) == before
        search.tell_failure(trial.number, "diverged")
        assert synced[-1] == journal.stat().st_size
        assert len(synced) == before + 2, "the reason, and the end"
