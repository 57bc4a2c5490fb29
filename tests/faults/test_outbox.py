"""The outbox with an unavailable, slow or refusing store, and with a driver that dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Refused, StoreError, StudyError, Unavailable, Unsent
from harness.results import EpochMetrics, Outcome, TrialFailure, TrialResult
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.outbox import OutboxTracker
from harness.tracking.outbox.messages import (
    LogEpochs,
    LogFile,
    StartTrial,
    from_json,
    merge_epochs,
    to_json,
)
from harness.tracking.outbox.queue import HEADER_SIZE, Outbox
from harness.tracking.types import State, StudyRecord
from harness.trial import Trial, TrialSpec

RECORD = StudyRecord(
    name="tiny",
    uid="abc",
    text="[study]\n",
    definition={"study": {"objective": "val/accuracy"}},
    facts={},
    dataset="digits",
    dataset_digest="",
    dataset_source="",
    sizes={},
    classes=("a", "b"),
    validation_labels=b"\0\xff\n",
)


class UnreliableTracker(InMemoryTracker):
    """An in-memory store that can be made unavailable; records its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.unavailable, self.closed = threading.Event(), threading.Event()
        self.refused_study = ""
        """The uid of a study that the store does not take."""
        self.lost_study = ""
        """The uid of a study whose record is lost."""
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> object:
        value = super().__getattribute__(name)
        writes = (
            *("open_study", "start_trial", "log_epochs", "finish_trial"),
            *("log_file", "close_study", "read_study"),
        )
        if name in writes:
            self.calls.append(name)
            if self.unavailable.is_set():
                raise Unavailable("the store does not answer")
            if self.closed.is_set():
                raise StoreError("the store asks for a login")
        return value

    def open_study(self, record: StudyRecord, at: float | None = None) -> None:
        if record.uid == self.refused_study:
            raise Refused(f"the store does not take the study {record.uid}")
        if record.uid == self.lost_study:
            raise StudyError(f"the study {record.uid} is not in the store")
        super().open_study(record, at)

    def close_study(self, uid: str, state: State, **more: Any) -> None:
        if not any(record.uid == uid for record in self.records.values()):
            raise StudyError(f"the study {uid} is not in the store")
        super().close_study(uid, state, **more)


def epoch(number: int, accuracy: float = 0.5) -> EpochMetrics:
    return EpochMetrics(
        epoch=number,
        train_loss=0.1,
        train_accuracy=accuracy,
        penalty=0.0,
        val_loss=float("inf"),
        val_accuracy=accuracy,
        learning_rate=1e-3,
        seconds=0.5,
        time=1.7e9 + number,
    )


def trial(number: int) -> Trial:
    return Trial(number=number, uid=f"abc/{number}", spec=TrialSpec(hidden=(8,), augment=("flip",)))


def result(best: EpochMetrics) -> TrialResult:
    return TrialResult(
        best=best,
        epochs=1,
        stopped="finished",
        parameters=3,
        seconds=1.0,
        confusion=((1, 2), (3, 4)),
        predictions=b"\0\xff\n",
        weights=b"weights\n\xff",
    )


def write_all(tracker: OutboxTracker, trials: Sequence[int] = (0, 1)) -> None:
    for number in trials:
        tracker.start_trial(trial(number), at=1.7e9)
        for each in (epoch(1), epoch(2)):
            tracker.log_epochs(f"abc/{number}", [each])
        tracker.finish_trial(
            trial(number), "COMPLETE", epochs=(epoch(1),), outcome=result(epoch(1)), keep=True
        )


@pytest.fixture
def store() -> UnreliableTracker:
    return UnreliableTracker()


@pytest.fixture
def open_outbox(tmp_path: Path, store: UnreliableTracker) -> Iterator[Callable[..., OutboxTracker]]:
    """Open the outbox of one study; ends the previous driver, as if its process had been killed."""
    trackers: list[OutboxTracker] = []

    def open_next(**options: Callable[..., object]) -> OutboxTracker:
        for tracker in trackers:
            kill_driver(tracker)
        trackers.append(OutboxTracker(tmp_path / "spool", "tiny", lambda: store, **options))  # type: ignore[arg-type]
        return trackers[-1]

    yield open_next
    for tracker in trackers:
        kill_driver(tracker)


def kill_driver(tracker: OutboxTracker) -> None:
    """Stop like a killed process: nothing is sent or marked any more."""
    tracker._sender.stop(5)
    tracker._outbox.close()


def test_all_writes_are_sent_and_the_file_is_removed(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    with open_outbox() as tracker:
        tracker.ended_cleanly = True
        tracker.open_study(RECORD)
        write_all(tracker)
        tracker.close_study("abc", "COMPLETE")
    assert store.records["tiny"] == RECORD
    assert [run.epochs for run in store.runs.values()] == [(epoch(1), epoch(2))] * 2
    assert store.saved_weights == {"abc/0": b"weights\n\xff", "abc/1": b"weights\n\xff"}
    assert store.files["abc/0"]["predictions.npy"]
    assert store.end_states["abc"] == ("COMPLETE", "")
    assert not list(tmp_path.iterdir())


def test_the_driver_continues_while_the_store_is_unavailable_and_reports_it_once(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    messages: list[str] = []
    tracker = open_outbox(notify=messages.append)
    store.unavailable.set()
    tracker.open_study(RECORD)  # returns without an answer
    write_all(tracker)
    assert not store.runs
    assert len(messages) == 1
    assert "does not answer" in messages[0]
    assert "tiny.spool" in messages[0]
    store.unavailable.clear()
    tracker.flush()
    assert set(store.runs) == {"abc/0", "abc/1"}
    tracker.log_file("abc", "a", b"")
    assert messages[1:] == ["the tracking store answers again"]


def test_unsent_writes_are_reported_and_sent_by_the_next_command(
    tmp_path: Path,
    store: UnreliableTracker,
    open_outbox: Callable[..., OutboxTracker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.tracking.outbox.tracker.ANSWER_TIMEOUT", 0.2)
    store.unavailable.set()
    with open_outbox() as tracker:
        tracker.ended_cleanly = True
        tracker.open_study(RECORD)
        write_all(tracker)
        with pytest.raises(Unsent, match=r"writes not sent: 9 .* harness sync tiny"):
            tracker.flush()
        with pytest.raises(Unsent):
            tracker.read_study("tiny")
    store.unavailable.clear()
    assert open_outbox().send() == 9
    assert set(store.runs) == {"abc/0", "abc/1"}
    assert not list(tmp_path.iterdir())


def test_the_next_driver_sends_the_writes_of_a_dead_one_and_finds_its_finished_trials(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, [0])
    tracker.flush()  # sent, but still in the file
    store.unavailable.set()
    write_all(tracker, [1])
    tracker.start_trial(trial(2))
    tracker = open_outbox()  # the first driver is dead
    done = tracker.find_finish("abc/0"), tracker.find_finish("abc/1")
    assert [end and (end.state, end.outcome and end.outcome.epochs) for end in done] == [  # type: ignore[union-attr]
        ("COMPLETE", 1)
    ] * 2
    assert tracker.find_finish("abc/2") is None
    store.unavailable.clear()
    store.calls.clear()
    tracker.flush()
    assert store.calls[0] == "open_study"  # later writes need it
    assert (
        store.calls.count("start_trial") - store.calls.count("finish_trial") == 2
    )  # finish_trial calls start_trial too
    assert set(store.runs) == {"abc/0", "abc/1", "abc/2"}
    assert [run.epochs for run in store.runs.values()][:2] == [(epoch(1), epoch(2))] * 2


def test_sync_after_a_driver_died_keeps_the_file_for_the_next_driver(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker)
    kill_driver(tracker)
    open_outbox().send()
    assert set(store.runs) == {"abc/0", "abc/1"}
    assert open_outbox().find_finish("abc/1") is not None


def test_a_store_that_refuses_stops_the_next_write_and_nothing_is_lost(
    store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    store.closed.set()
    tracker.log_epochs("abc/7", [epoch(1)])
    with pytest.raises(StoreError, match="login"):
        tracker.flush()
    with pytest.raises(StoreError, match="login"):
        tracker.start_trial(trial(0))
    waiting = tracker.waiting
    assert waiting == 2
    assert open_outbox().waiting == waiting


def test_a_file_cut_at_any_byte_of_its_last_write_keeps_all_others(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    store.unavailable.set()
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, [0])
    before = tracker._outbox.size
    tracker.start_trial(trial(1))
    path = tmp_path / "spool" / "tiny.spool"
    kill_driver(tracker)
    content = path.read_bytes()
    for cut in range(before, len(content)):
        path.write_bytes(content[:cut])
        file = Outbox(path)
        writes = [write for write, _ in file.read()]
        assert len(writes) == file.waiting == 5
        file.append(StartTrial(trial=trial(9), at=1.0))
        file.close()
        file = Outbox(path)
        assert [write for write, _ in file.read()] == [*writes, StartTrial(trial=trial(9), at=1.0)]
        file.close()
        (backup,) = path.parent.glob("*.cut-*") if cut > before else [None]
        if backup is not None:
            assert backup.read_bytes() == content[before:cut]
            backup.unlink()


def test_a_file_cut_within_its_header_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "tiny.spool"
    for cut in range(HEADER_SIZE):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((b"harness-spool 1 open  " + b"0" * 18 + b"43\n")[:cut])
        file = Outbox(path)
        assert file.waiting == 0
        file.append(StartTrial(trial=trial(1), at=1.0))
        assert [write for write, _ in file.read()] == [StartTrial(trial=trial(1), at=1.0)]
        file.close(remove=True)


def test_damage_before_the_last_write_is_an_error_and_the_file_stays(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    store.unavailable.set()
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, [0])
    kill_driver(tracker)
    path = tmp_path / "spool" / "tiny.spool"
    content = bytearray(path.read_bytes())
    content[HEADER_SIZE + 40] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"tiny\.spool: line 2 is damaged"):
        Outbox(path)
    assert path.read_bytes() == content


def test_an_outbox_has_one_writer(tmp_path: Path) -> None:
    file = Outbox(tmp_path / "tiny.spool")
    with pytest.raises(StudyError, match="another process is writing"):
        Outbox(tmp_path / "tiny.spool")
    file.close()
    Outbox(tmp_path / "tiny.spool").close(remove=True)


def test_compaction_drops_sent_writes_and_keeps_the_open_study(
    tmp_path: Path,
    store: UnreliableTracker,
    open_outbox: Callable[..., OutboxTracker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.tracking.outbox.tracker.COMPACT_BYTES", 1000)
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, [0])
    tracker.flush()
    large = tracker._outbox.size
    tracker.start_trial(trial(1))
    assert tracker._outbox.size < large
    with pytest.raises(StudyError):
        Outbox(tmp_path / "spool" / "tiny.spool")  # the new file is locked too
    tracker.flush()
    store.unavailable.set()
    tracker.log_epochs("abc/1", [epoch(1)])
    store.unavailable.clear()
    store.calls.clear()
    tracker = open_outbox()
    tracker.flush()
    assert store.calls[0] == "open_study"
    assert store.runs["abc/1"].epochs == (epoch(1),)


def test_exit_does_not_wait_for_a_store_that_hangs(
    tmp_path: Path,
    store: UnreliableTracker,
    open_outbox: Callable[..., OutboxTracker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.tracking.outbox.tracker.EXIT_TIMEOUT", 0.2)
    hanging, leave = threading.Event(), False

    class Hanging(InMemoryTracker):
        def start_trial(self, trial: Trial, at: float | None = None) -> None:
            hanging.wait(30)

    tracker = OutboxTracker(tmp_path, "slow", Hanging, is_leaving=lambda: leave)
    tracker.open_study(RECORD)
    tracker.start_trial(trial(0))
    leave, begun = True, time.monotonic()
    with pytest.raises(Unsent, match="there was no time"):
        tracker.flush()
    tracker.__exit__(None, None, None)
    assert time.monotonic() - begun < 10
    hanging.set()


def test_a_new_study_is_written_to_disk_while_the_store_s_client_is_imported(
    tmp_path: Path, store: UnreliableTracker
) -> None:
    loaded = threading.Event()
    tracker = OutboxTracker(tmp_path, "tiny", lambda: store, load=lambda: loaded.wait(30))
    tracker.waits_for_store = False
    tracker.open_study(RECORD)
    write_all(tracker)
    assert store.calls == []
    assert tracker.waiting == 9
    assert (tmp_path / "tiny.spool").read_bytes().count(b"\n") == 10  # a header and 9 writes
    loaded.set()
    tracker.flush()
    assert store.runs["abc/1"].state == "COMPLETE"
    kill_driver(tracker)


def test_a_study_that_waits_does_not_count_the_import(
    tmp_path: Path, store: UnreliableTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tracking.outbox.tracker.OPEN_TIMEOUT", 0.1)
    store.lost_study = "abc"
    tracker = OutboxTracker(tmp_path, "tiny", lambda: store, load=lambda: time.sleep(0.5))
    with pytest.raises(StudyError, match="not in the store"):
        tracker.open_study(RECORD)
    kill_driver(tracker)


def test_exit_sends_what_waits_for_the_import(
    tmp_path: Path, store: UnreliableTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.tracking.outbox.tracker.EXIT_TIMEOUT", 0.2)
    with OutboxTracker(
        tmp_path,
        "tiny",
        lambda: store,
        is_leaving=lambda: True,
        load=lambda: time.sleep(0.6),
    ) as tracker:
        tracker.waits_for_store = False
        tracker.open_study(RECORD)
        write_all(tracker)
    assert tracker.waiting == 0
    assert store.runs["abc/1"].state == "COMPLETE"


def test_writes_of_trials_that_run_at_once_are_sent_together(
    store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    tracker.start_trial(trial(0))
    tracker.start_trial(trial(1))
    for number in range(1, 4):
        tracker.log_epochs("abc/0", [epoch(number)])
        tracker.log_epochs("abc/1", [epoch(number)])
        tracker.start_trial(trial(number + 1))
    tracker.finish_trial(trial(0), "COMPLETE", epochs=(epoch(1),), outcome=result(epoch(1)))
    tracker.flush()
    assert store.calls.count("log_epochs") == 2
    assert [len(store.runs[f"abc/{n}"].epochs) for n in (0, 1)] == [3, 3]
    assert store.runs["abc/0"].state == "COMPLETE"


def test_a_store_that_fails_again_and_again_gets_every_write(
    store: UnreliableTracker,
    open_outbox: Callable[..., OutboxTracker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was sent together is repeated one by one, so that each attempt gets further."""
    monkeypatch.setattr("harness.tracking.outbox.sender.MIN_PAUSE", 0.01)
    monkeypatch.setattr("harness.tracking.outbox.sender.MAX_PAUSE", 0.01)
    start, calls = InMemoryTracker.start_trial, list[str]()

    def fail_each_third_time(self: InMemoryTracker, trial: Trial, at: float | None = None) -> None:
        calls.append(trial.uid)
        if len(calls) % 3 == 0:
            raise Unavailable("the store does not answer")
        start(self, trial, at)

    monkeypatch.setattr(InMemoryTracker, "start_trial", fail_each_third_time)
    tracker = open_outbox()
    tracker.open_study(RECORD)
    write_all(tracker, range(20))
    tracker.flush()
    assert {run.state for run in store.runs.values()} == {"COMPLETE"}
    assert len(store.runs) == 20
    assert len(calls) < 80  # also the end of a trial starts it


STATES: list[tuple[State, Outcome | None]] = [
    ("COMPLETE", result(epoch(1))),
    ("FAILED", TrialFailure(reason="diverged: \0 <script> \n ü")),
    ("INTERRUPTED", None),
]


@pytest.mark.parametrize(("state", "outcome"), STATES)
def test_the_end_of_a_trial_reads_back_as_written(
    store: UnreliableTracker,
    open_outbox: Callable[..., OutboxTracker],
    state: State,
    outcome: Outcome | None,
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    reason = getattr(outcome, "reason", "")
    tracker.finish_trial(
        trial(0), state, epochs=(epoch(1),), outcome=outcome, reason=reason, successor=4
    )
    done = tracker.find_finish("abc/0")
    assert done is not None
    assert (done.trial, done.state, done.reason, done.successor) == (trial(0), state, reason, 4)
    bare = (
        replace(outcome, predictions=b"", weights=b"")
        if isinstance(outcome, TrialResult)
        else outcome
    )
    assert done.outcome == bare
    assert from_json(to_json(done)) == done


def test_epochs_of_a_trial_are_merged_unless_a_write_of_it_is_between_them() -> None:
    points = [LogEpochs(uid=f"abc/{n % 2}", metrics=(epoch(n),)) for n in range(4)]
    start = StartTrial(trial=trial(1), at=1.0)
    file = LogFile(uid="abc", name="a", content=b"")
    assert merge_epochs([*points, start, points[0], points[1], file, points[0]]) == [
        LogEpochs(uid="abc/0", metrics=(epoch(0), epoch(2), epoch(0))),
        LogEpochs(uid="abc/1", metrics=(epoch(1), epoch(3))),
        start,
        points[1],
        file,
        points[0],
    ]


def test_the_end_of_a_trial_is_written_even_if_the_store_refuses(
    store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    tracker = open_outbox()
    tracker.open_study(RECORD)
    tracker.start_trial(trial(0))
    tracker.flush()
    store.closed.set()
    tracker.log_epochs("abc/0", [epoch(1)])
    with pytest.raises(StoreError):
        tracker.flush()
    tracker.finish_trial(trial(0), "COMPLETE", epochs=(epoch(1),), outcome=result(epoch(1)))
    tracker.close_study("abc", "FAILED")
    done = tracker.find_finish("abc/0")
    assert done is not None
    assert done.state == "COMPLETE"


def test_sync_closes_a_run_of_train_whose_driver_died(
    tmp_path: Path, store: UnreliableTracker, open_outbox: Callable[..., OutboxTracker]
) -> None:
    tracker = open_outbox()
    tracker.open_study(replace(RECORD, kind="train"))
    tracker.start_trial(trial(0))
    open_outbox().send()
    assert store.runs["abc/0"].state == "INTERRUPTED"
    assert not (tmp_path / "spool").exists()
