"""The study's record on a real journal: what is asked again, what is counted, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.search_space import IntersectionSearchSpace

from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.errors import ConfigError, StoreError, StudyError
from harness.results import EpochMetrics, StopReason, TrialResult
from harness.search.open_study import open_search
from harness.search.storage.journal_file import mend
from harness.search.study import Search
from harness.trial import TrialSpec

STUDY = """
[study]
trials = 8
pruner = "none"
[data]
name = "digits"
[space]
depth = { low = 1, high = 3 }
width = { low = 8, high = 64, log = true }
learning_rate = { low = 1e-4, high = 1e-1, log = true }
l1 = { low = 1e-6, high = 1e-3, log = true, zero = 0.5 }
"""


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return load(path)


def metrics(value: float, epoch: int = 1) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=1 - value,
        train_accuracy=value,
        penalty=0.0,
        val_loss=1 - value,
        val_accuracy=value,
        learning_rate=1e-3,
        seconds=0.1,
        time=1.7e9 + epoch,
    )


def result(value: float, stopped: StopReason = "finished") -> TrialResult:
    return TrialResult(
        best=metrics(value),
        epochs=1,
        stopped=stopped,
        parameters=10,
        seconds=0.1,
        confusion=((1, 0), (0, 1)),
        predictions=b"\0\1",
        weights=b"",
    )


def score(spec: TrialSpec) -> float:
    """Any function of the settings: the sampler must see the same history each time."""
    return 1 / (1 + spec.learning_rate * spec.hidden[0])


def run(search: Search, trials: int) -> list[TrialSpec]:
    specs = []
    for _ in range(trials):
        trial = search.ask()
        search.tell_result(trial.number, result(score(trial.spec)))
        specs.append(trial.spec)
    return specs


def test_a_study_killed_twice_asks_what_an_undisturbed_one_asks(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path / "whole") as search:
        whole = run(search, 20)
    with open_search(config, tmp_path / "torn") as search:
        torn = run(search, 12)
        search.ask()  # and the driver dies
    with open_search(config, tmp_path / "torn") as search:
        assert search.stale == [12]
        assert requeued(search, 12) == 13
        torn += run(search, 3)
        search.ask()
    with open_search(config, tmp_path / "torn") as search:
        for number in search.stale:
            requeued(search, number)
        torn += run(search, 5)
        assert search.counts.done == 20
    assert torn == whole


def requeued(search: Search, number: int, blamed: bool = False) -> int | None:
    successor = search.requeue(number, "interrupted", blamed)
    search.tell_interrupted(number, successor)
    return successor


def test_what_was_interrupted_comes_again_in_the_order_in_which_it_was_drawn(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        drawn = [search.ask().spec for _ in range(3)]
        assert [requeued(search, number) for number in (1, 0, 2)] == [3, 4, 5]
        assert search.ask().number == 4  # the first that was drawn
        assert requeued(search, 4) == 6
        again = [search.ask() for _ in range(3)]
    assert [trial.number for trial in again] == [6, 3, 5]
    assert [trial.spec for trial in again] == drawn


def test_an_interrupted_attempt_is_no_rival_before_the_pruner(
    config: StudyConfig, tmp_path: Path
) -> None:
    """Of three the best goes on, of six the second best too."""
    study = config.study.model_copy(update={"pruner": "successive-halving"})
    with open_search(replace(config, study=study), tmp_path) as search:
        best = search.ask()
        assert search.report(best.number, metrics(0.9))
        worse = search.ask().number
        for _ in range(4):
            assert not search.report(worse, metrics(0.5))
            successor = requeued(search, worse)
            worse = search.ask().number
            assert worse == successor
        assert not search.report(worse, metrics(0.5))


def test_what_the_samplers_remember_of_the_space_changes_no_draw(
    config: StudyConfig, tmp_path: Path
) -> None:
    drawn = []
    for forgetful in (False, True):
        with open_search(config, tmp_path / str(forgetful)) as search:
            specs, running = [], []
            for _ in range(40):
                if forgetful:
                    search._space = IntersectionSearchSpace(include_pruned=True)
                running.append(search.ask())
                specs.append(running[-1].spec)
                if len(running) == 4:  # which end in another order than they began
                    ended = running.pop(len(specs) % 4)
                    # Only pruned trials have one layer: they count as well.
                    stopped: StopReason = "pruned" if len(ended.spec.hidden) == 1 else "finished"
                    if len(specs) % 7:
                        search.tell_result(ended.number, result(score(ended.spec), stopped))
                    else:
                        requeued(search, ended.number)
        drawn.append(specs)
    assert drawn[0] == drawn[1]


def test_a_user_may_interrupt_a_trial_any_number_of_times(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        first = search.ask()
        number = first.number
        for _ in range(7):
            successor = requeued(search, number)
            again = search.ask()
            assert (again.number, again.spec, again.attempt) == (successor, first.spec, 1)
            number = again.number
        assert search.counts.done == 0


def test_dying_while_closing_an_attempt_queues_it_once(config: StudyConfig, tmp_path: Path) -> None:
    with open_search(config, tmp_path) as search:
        number = search.ask().number
        successor = search.requeue(number, "interrupted", blamed=False)  # and the driver dies
    with open_search(config, tmp_path) as search:
        assert search.stale == [number]
        assert requeued(search, number) == successor
        assert search.ask().number == successor
        assert search.ask().number == successor + 1


def test_a_third_death_of_its_worker_is_final(config: StudyConfig, tmp_path: Path) -> None:
    with open_search(config, tmp_path) as search:
        first = search.ask()
        attempts = [(first.number, first.attempt)]
        for _ in range(3):
            successor = requeued(search, attempts[-1][0], blamed=True)
            if successor is not None:
                again = search.ask()
                assert (again.number, again.spec) == (successor, first.spec)
                attempts.append((again.number, again.attempt))
        assert attempts == [(0, 1), (1, 2), (2, 3)]
        assert successor is None
        assert search.counts.failed == 1
    with open_search(config, tmp_path) as search:
        assert search.counts.failed == 1


def test_counts_and_best_survive_reopening(config: StudyConfig, tmp_path: Path) -> None:
    with open_search(config, tmp_path) as search:
        for value, stopped in ((0.5, "finished"), (0.9, "pruned"), (0.7, "early"), (0.7, "early")):
            search.tell_result(search.ask().number, result(value, stopped))  # type: ignore[arg-type]
        search.tell_failure(search.ask().number, "diverged")
    with open_search(config, tmp_path) as search:
        assert (search.counts.complete, search.counts.pruned, search.counts.failed) == (3, 1, 1)
        assert search.ranking == [(-0.7, 2), (-0.7, 3), (-0.5, 0)]
        assert search.ask().number == 5


def test_minimises_a_loss(config: StudyConfig, tmp_path: Path) -> None:
    study = config.study.model_copy(update={"objective": "val/loss"})
    with open_search(replace(config, study=study), tmp_path) as search:
        for value in (0.5, 0.9):
            search.tell_result(search.ask().number, result(value))
        assert [number for _, number in search.ranking] == [1, 0]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_samplers_stay_in_the_space_and_bound_what_is_in_flight(
    config: StudyConfig, tmp_path: Path, sampler: str
) -> None:
    study = config.study.model_copy(update={"sampler": sampler})
    with open_search(replace(config, study=study), tmp_path) as search:
        assert search.in_flight_limit is None
        specs = run(search, 16)
        assert search.in_flight_limit == (2 if sampler == "tpe" else None)
    assert len(set(specs)) == 16
    for spec in specs:
        assert 1 <= len(spec.hidden) <= 3
        assert all(8 <= width <= 64 for width in spec.hidden)
        assert 1e-4 <= spec.learning_rate <= 1e-1
        assert spec.l1 == 0 or 1e-6 <= spec.l1 <= 1e-3
    assert any(spec.l1 == 0 for spec in specs)
    assert any(spec.l1 for spec in specs)


@pytest.mark.parametrize("pruner", ["none", "median", "successive-halving", "hyperband"])
def test_pruners_stop_the_hopeless_and_none_stops_nobody(
    config: StudyConfig, tmp_path: Path, pruner: str
) -> None:
    study = config.study.model_copy(update={"pruner": pruner, "trials": 100})
    stopped = 0
    with open_search(replace(config, study=study), tmp_path) as search:
        for number in range(30):
            trial, value = search.ask(), 0.9 if number < 10 else 0.9 - 0.02 * number
            kept = True
            for epoch in range(1, 11):
                kept = kept and search.report(trial.number, metrics(value, epoch))
            stopped += not kept
            search.tell_result(trial.number, result(value, "finished" if kept else "pruned"))
        assert search.counts.pruned == stopped
    assert (stopped == 0) == (pruner == "none")


@pytest.mark.parametrize(("epochs", "free"), [(2, 1), (12, 3)])
def test_the_median_pruner_leaves_a_quarter_of_the_epochs_alone(
    config: StudyConfig, tmp_path: Path, epochs: int, free: int
) -> None:
    study = config.study.model_copy(update={"pruner": "median", "trials": 100})
    config = replace(config, study=study, train=config.train | {"epochs": epochs})
    with open_search(config, tmp_path) as search:
        for _ in range(6):
            trial = search.ask()
            for epoch in range(1, epochs + 1):
                assert search.report(trial.number, metrics(0.9, epoch))
            search.tell_result(trial.number, result(0.9))
        bad = search.ask()
        kept = [search.report(bad.number, metrics(0.1, e)) for e in range(1, epochs + 1)]
        assert kept == [True] * free + [False] * (epochs - free)


def test_a_changed_study_is_refused_with_the_difference(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        run(search, 2)
    changed = load(config.source, ["train.epochs=3", "space.depth={low=1,high=4}"])
    with (
        pytest.raises(
            StudyError,
            match=r"\[train\] epochs: nothing -> 3; \[space\] depth: .*3.* -> .*4.*--fresh",
        ),
        open_search(changed, tmp_path),
    ):
        pass
    longer = load(config.source, ["study.trials=20"])
    with open_search(longer, tmp_path) as search:
        assert search.counts.done == 2
    with open_search(changed, tmp_path, fresh=True) as search:
        assert search.counts.done == 0
        assert search.set_aside
    assert len(list(tmp_path.glob("tiny.*.journal"))) == 1


def test_a_second_driver_is_told_who_holds_the_study(config: StudyConfig, tmp_path: Path) -> None:
    with (
        open_search(config, tmp_path),
        pytest.raises(StudyError, match=r"'tiny' is being driven by process \d+ on \S+; wait"),
        open_search(config, tmp_path),
    ):
        pass


def test_settings_that_no_trial_can_have_are_the_files_mistake(
    config: StudyConfig, tmp_path: Path
) -> None:
    wrong = load(config.source, ["train.batch_norm=after", "space.batch_size=[1]"])
    with (
        open_search(wrong, tmp_path) as search,
        pytest.raises(ConfigError, match=r"tiny.toml: \[space\] draws .* batch_size: BatchNorm"),
    ):
        search.ask()


def test_a_torn_journal_is_mended_at_every_byte(config: StudyConfig, tmp_path: Path) -> None:
    with open_search(config, tmp_path) as search:
        run(search, 2)
    journal = tmp_path / "tiny.journal"
    whole = journal.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last + 1, len(whole)):
        journal.write_bytes(whole[:cut])
        Path(f"{journal}.lock").symlink_to(journal)
        mend(journal)
        assert journal.read_bytes() == whole[:last]
        assert not Path(f"{journal}.lock").is_symlink()
    journal.write_bytes(whole[: len(whole) - 1])
    with open_search(config, tmp_path) as search:
        for number in search.stale:
            requeued(search, number)
        run(search, 1)
    for line in journal.read_bytes().splitlines():
        json.loads(line)


def test_a_journal_damaged_in_the_middle_is_refused_and_left_alone(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        run(search, 1)
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


def test_a_grid_is_run_through_once_whatever_is_interrupted(tmp_path: Path) -> None:
    text = STUDY.partition("[space]")[0].replace("trials = 8\n", 'sampler = "grid"\n')
    space = "[space]\nhidden = [[8], [16, 8]]\nlearning_rate = [1e-3, 1e-2, 1e-1]\n"
    (tmp_path / "grid.toml").write_text(text + space)
    config = load(tmp_path / "grid.toml")
    assert config.study.trials == 6
    with open_search(config, tmp_path) as search:
        assert not search.learns
        assert search.in_flight_limit is None
        specs = [search.ask().spec, search.ask().spec]
        search.tell_result(0, result(0.5))
        successor = search.requeue(1, "its worker died", blamed=True)
        search.tell_interrupted(1, successor)
    with open_search(config, tmp_path) as search:  # as after an interruption
        again = search.ask()
        assert again.spec == specs[1]
        search.tell_result(again.number, result(0.5))
        specs += run(search, 4)
        assert search.counts.done == 6
    expected = [(hidden, rate) for hidden in ((8,), (16, 8)) for rate in (1e-3, 1e-2, 1e-1)]
    assert [(spec.hidden, spec.learning_rate) for spec in specs] == expected


def test_a_driver_may_die_after_any_record_of_the_journal(
    config: StudyConfig, tmp_path: Path
) -> None:
    """Also while a retry is asked for: its settings are given, its parameters not drawn yet."""
    with open_search(config, tmp_path / "whole") as search:
        first = search.ask()
        assert requeued(search, first.number) == 1
        whole = run(search, 3)
    journal = (tmp_path / "whole" / "tiny.journal").read_bytes().splitlines(keepends=True)
    begun = next(place for place, line in enumerate(journal) if b"requested" in line) + 1
    for place in range(begun, len(journal) + 1):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / "tiny.journal").write_bytes(b"".join(journal[:place]))
        with open_search(config, folder) as search:
            for number in list(search.stale):
                assert search.trial(number).spec
                requeued(search, number)
            specs = run(search, 3 - search.counts.done)
            assert specs == whole[len(whole) - len(specs) :]
            assert search.settled
