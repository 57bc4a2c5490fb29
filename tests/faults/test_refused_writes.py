"""Writes that the store can never take are moved away with the reason; the others are sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import HarnessError, Refused, StoreError, StudyError
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.outbox import OutboxTracker, read_refused
from harness.tracking.outbox.messages import CloseStudy, LogEpochs, LogFile, from_json, to_json
from harness.tracking.outbox.queue import Outbox
from harness.workspace import Workspace
from tests.faults.test_outbox import (
    RECORD,
    UnreliableTracker,
    epoch,
    open_outbox,
    store,
    trial,
    write_all,
)

__all__ = ["open_outbox", "store"]

OpenOutbox = Callable[..., OutboxTracker]


def test_a_refused_write_is_moved_away_and_the_others_are_sent(
    tmp_path: Path, store: UnreliableTracker, open_outbox: OpenOutbox
) -> None:
    reported: list[str] = []
    with open_outbox(notify=reported.append) as tracker:
        tracker.ended_cleanly = True
        tracker.open_study(RECORD)
        write_all(tracker, [0])
        tracker.log_epochs("abc/0", [epoch(3)])
        tracker.log_epochs("abc/7", [epoch(1)])  # of a run that was never started
        tracker.log_epochs("abc/7", [epoch(2)])
        tracker.log_epochs("abc/0", [epoch(4)])
        write_all(tracker, [1])
        tracker.close_study("abc", "COMPLETE")
    assert {uid: len(run.epochs) for uid, run in store.runs.items()} == {"abc/0": 4, "abc/1": 2}
    assert store.end_states["abc"] == ("COMPLETE", "")
    (line,) = reported
    file = tmp_path / "spool" / "tiny.spool.refused"
    assert "refused 2 writes (no run for trial abc/7)" in line
    assert str(file) in line
    assert list(file.parent.iterdir()) == [file]
    lines = [json.loads(each) for each in file.read_text().splitlines()]
    kept = [each for each in lines if "write" in each]
    writes = [from_json(json.dumps(each["write"]).encode()) for each in kept]
    assert writes == [LogEpochs(uid="abc/7", metrics=(epoch(number),)) for number in (1, 2)]
    (refused,) = read_refused(tmp_path / "spool" / "tiny.spool")
    assert (refused.path, refused.count) == (file, 2)
    assert refused.reason == "no run for trial abc/7"


def test_a_refused_write_is_tried_again_with_a_new_connection(
    tmp_path: Path, store: UnreliableTracker
) -> None:
    """A run that was deleted during the study is known to the old connection alone."""
    connections = []

    def connect() -> InMemoryTracker:
        connections.append(1)
        if len(connections) == 2:
            store.runs["abc/7"] = replace(store.runs["abc/0"], uid="abc/7")
        return store

    with OutboxTracker(tmp_path, "tiny", connect) as tracker:
        tracker.open_study(RECORD)
        tracker.start_trial(trial(0))
        tracker.log_epochs("abc/7", [epoch(1)])
        tracker.flush()
        assert tracker.refused is None
    assert len(store.runs["abc/7"].epochs) == 1


def test_a_failed_connection_moves_nothing_away(tmp_path: Path) -> None:
    def connect() -> InMemoryTracker:
        raise TypeError("a bug")

    tracker = OutboxTracker(tmp_path, "tiny", connect)
    with suppress(HarnessError):  # raised here too, if the connection failed by then
        tracker.log_file("abc", "a", b"")
    with pytest.raises(Exception, match="a bug"):
        tracker.flush()
    assert tracker.waiting == 1
    with pytest.raises(Exception, match="a bug"):
        tracker.__exit__(None, None, None)


def test_the_writes_of_a_refused_study_are_moved_away_and_none_reaches_another_study(
    tmp_path: Path, store: UnreliableTracker, open_outbox: OpenOutbox
) -> None:
    store.refused_study = "new"
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, [0])
    tracker.flush()
    with pytest.raises(Refused, match="does not take the study new"):
        tracker.open_study(replace(RECORD, uid="new"))
    with pytest.raises(Refused, match="does not take the study new"):
        tracker.start_trial(replace(trial(1), uid="new/1"))
    tracker.finish_trial(replace(trial(1), uid="new/1"), "FAILED")
    tracker.close_study("new", "FAILED")
    tracker.flush()
    assert set(store.runs) == {"abc/0"}
    tracker = open_outbox()  # the next driver dies before it opens a study
    tracker.finish_trial(replace(trial(2), uid="new/2"), "FAILED")
    tracker.flush()
    assert set(store.runs) == {"abc/0"}
    store.refused_study = ""
    with open_outbox() as tracker:
        tracker.open_study(replace(RECORD, uid="new", set_aside="older", set_aside_uid="abc"))
        tracker.close_study("new", "FAILED")
    assert store.end_states["new"] == ("FAILED", "")
    (refused,) = read_refused(tmp_path / "spool" / "tiny.spool")
    assert refused.count == 5


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_fresh_study_gets_past_the_writes_of_the_old_one(
    tmp_path: Path, store: UnreliableTracker, open_outbox: OpenOutbox, is_opened: bool
) -> None:
    store.lost_study = "abc"
    tracker = open_outbox()
    if is_opened:
        with pytest.raises(StudyError, match="not in the store"):
            tracker.open_study(RECORD)
    tracker.close_study("abc", "FAILED")
    tracker = open_outbox()
    tracker.open_study(replace(RECORD, uid="new", set_aside="20260101-120000"))
    tracker.flush()
    assert store.records["tiny"].uid == "new"
    (refused,) = read_refused(tmp_path / "spool" / "tiny.spool")
    assert refused.count == 1 + is_opened


def test_a_fresh_study_that_is_lost_too_is_reported(
    store: UnreliableTracker, open_outbox: OpenOutbox
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    store.lost_study = "new"
    with pytest.raises(StudyError, match="new is not in the store"):
        tracker.open_study(replace(RECORD, uid="new", set_aside="20260101-120000"))


def test_doctor_moves_the_writes_of_a_lost_study_away_and_sync_keeps_them(
    store: UnreliableTracker, open_outbox: OpenOutbox
) -> None:
    store.lost_study = "abc"
    tracker = open_outbox()
    with pytest.raises(StudyError, match="not in the store"):
        tracker.open_study(RECORD)
    tracker.close_study("abc", "FAILED")
    with pytest.raises(StudyError, match="not in the store"):
        open_outbox().send()
    tracker = open_outbox()
    with pytest.raises(StudyError, match="not in the store"):
        tracker.send(refuse_lost_study=True)
    assert tracker.waiting == 0
    assert tracker.refused is not None
    assert tracker.refused.count == 2


def test_a_write_without_its_study_does_not_block_the_outbox(tmp_path: Path) -> None:
    """As version 0.1.0 left it when a study was refused before it was opened."""
    workspace = Workspace(tmp_path / "mlruns")
    outbox = Outbox(workspace.outbox_folder(workspace.local_uri) / "tiny.spool")
    outbox.append(CloseStudy(uid="abc", state="FAILED", reason="wrong", note="", at=1.7e9))
    outbox.close()
    tracker = workspace.open_outbox("tiny")
    assert tracker.send() == 0
    assert tracker.refused is not None
    assert "Invalid experiment ID" in tracker.refused.reason
    with workspace.open_outbox("tiny") as tracker:
        tracker.ended_cleanly = True
        tracker.open_study(RECORD)
    study = workspace.open_tracker(reading=True).read_study("tiny")
    assert study is not None
    assert study.uid == "abc"


def test_refused_writes_are_sent_again_once(
    tmp_path: Path, store: UnreliableTracker, open_outbox: OpenOutbox
) -> None:
    outbox = tmp_path / "spool" / "tiny.spool"
    with open_outbox() as tracker:
        tracker.ended_cleanly = True
        tracker.open_study(RECORD)
        write_all(tracker, [0])
        tracker.log_epochs("abc/7", [epoch(1)])
        tracker.log_epochs("abc/8", [epoch(1)])
        tracker.close_study("abc", "COMPLETE")
    assert not outbox.exists()
    for sent in (0, 1):
        if sent:
            store.runs["abc/7"] = replace(store.runs["abc/0"], uid="abc/7")  # the cause is mended
        store.calls.clear()
        tracker = open_outbox()
        assert tracker.send(refused=True) == sent
        assert "open_study" not in store.calls  # it would be recorded as running
        assert store.end_states["abc"] == ("COMPLETE", "")
        (refused,) = read_refused(outbox)
        assert refused.count == 2 - sent
        assert refused.reason == "no run for trial abc/8"
        assert not outbox.exists()
    store.runs["abc/8"] = replace(store.runs["abc/0"], uid="abc/8")
    assert open_outbox().send(refused=True) == 1
    assert list(outbox.parent.glob("*")) == []


def test_a_whole_study_that_was_refused_is_sent_again(
    tmp_path: Path, store: UnreliableTracker, open_outbox: OpenOutbox
) -> None:
    store.refused_study = "abc"
    with suppress(Refused), open_outbox() as tracker:
        tracker.ended_cleanly = True
        with suppress(Refused):
            tracker.open_study(RECORD)
        tracker.finish_trial(trial(0), "FAILED")
        tracker.close_study("abc", "FAILED")
    (before,) = read_refused(tmp_path / "spool" / "tiny.spool")
    with suppress(Refused):
        open_outbox().send(refused=True)
    (after,) = read_refused(tmp_path / "spool" / "tiny.spool")
    assert (before.count, before.reason) == (after.count, after.reason)
    store.refused_study = ""
    assert open_outbox().send(refused=True) == before.count
    assert store.end_states["abc"] == ("FAILED", "")
    assert list(store.runs) == ["abc/0"]


@pytest.mark.parametrize("format", ["0.1.0", "without its study"])
def test_refused_writes_of_earlier_versions(
    tmp_path: Path, store: UnreliableTracker, open_outbox: OpenOutbox, format: str
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, [0])
    tracker.flush()
    outbox = tmp_path / "spool" / "tiny.spool"
    content = outbox.read_bytes()
    tracker.ended_cleanly = True
    tracker.__exit__(None, None, None)
    store.runs.clear()
    count = len(content.splitlines()) - 1
    if format == "0.1.0":
        outbox.parent.mkdir(exist_ok=True)
        Path(f"{outbox}.refused-1700000000").write_bytes(content)
        assert open_outbox().send(refused=True) == count
        assert list(store.runs) == ["abc/0"]
        return
    write = json.loads(to_json(LogFile(uid="abc", name="a", content=b"")))
    line = json.dumps({"reason": "", "write": write})
    outbox.parent.mkdir(exist_ok=True)
    path = Path(f"{outbox}.refused")
    path.write_text(f"{line}\n")
    with pytest.raises(StoreError, match="an earlier version kept it without its study"):
        open_outbox().send(refused=True)
    assert path.read_text() == f"{line}\n"
