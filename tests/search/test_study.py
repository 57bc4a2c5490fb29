"""A study's search on a real journal: retries, counts, crashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.config.schema import StudyConfig
from harness.search.open_study import open_search
from tests.search.tiny_study import make_metrics, make_result, requeue, run_trials


def test_a_study_killed_twice_samples_the_same_trials_as_an_undisturbed_one(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path / "expected") as search:
        expected = run_trials(search, 20)
    with open_search(config, tmp_path / "interrupted") as search:
        interrupted = run_trials(search, 12)
        search.ask()  # and the driver dies
    with open_search(config, tmp_path / "interrupted") as search:
        assert search.stale == [12]
        assert requeue(search, 12) == 13
        interrupted += run_trials(search, 3)
        search.ask()
    with open_search(config, tmp_path / "interrupted") as search:
        for number in search.stale:
            requeue(search, number)
        interrupted += run_trials(search, 5)
        assert search.counts.done == 20
    assert interrupted == expected


def test_interrupted_trials_are_retried_in_the_order_in_which_they_were_sampled(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        specs = [search.ask().spec for _ in range(3)]
        assert [requeue(search, number) for number in (1, 0, 2)] == [3, 4, 5]
        assert search.ask().number == 4  # the first that was sampled
        assert requeue(search, 4) == 6
        retries = [search.ask() for _ in range(3)]
    assert [trial.number for trial in retries] == [6, 3, 5]
    assert [trial.spec for trial in retries] == specs


def test_the_pruner_does_not_see_interrupted_trials(config: StudyConfig, tmp_path: Path) -> None:
    """The best of three trials continues; of six, the second best would continue too."""
    study = config.study.model_copy(update={"pruner": "successive-halving"})
    with open_search(replace(config, study=study), tmp_path) as search:
        best = search.ask()
        assert search.report(best.number, make_metrics(0.9))
        worse = search.ask().number
        for _ in range(4):
            assert not search.report(worse, make_metrics(0.5))
            successor = requeue(search, worse)
            worse = search.ask().number
            assert worse == successor
        assert not search.report(worse, make_metrics(0.5))


def test_a_user_may_interrupt_a_trial_any_number_of_times(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        first = search.ask()
        number = first.number
        for _ in range(7):
            successor = requeue(search, number)
            retry = search.ask()
            assert (retry.number, retry.spec, retry.attempt) == (successor, first.spec, 1)
            number = retry.number
        assert search.counts.done == 0


def test_a_crash_while_a_trial_is_requeued_enqueues_it_once(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        number = search.ask().number
        successor = search.requeue(number, "interrupted", blamed=False)  # and the driver dies
    with open_search(config, tmp_path) as search:
        assert search.stale == [number]
        assert requeue(search, number) == successor
        assert search.ask().number == successor
        assert search.ask().number == successor + 1


def test_a_trial_fails_after_its_worker_died_three_times(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        first = search.ask()
        attempts = [(first.number, first.attempt)]
        for _ in range(3):
            successor = requeue(search, attempts[-1][0], blamed=True)
            if successor is not None:
                retry = search.ask()
                assert (retry.number, retry.spec) == (successor, first.spec)
                attempts.append((retry.number, retry.attempt))
        assert attempts == [(0, 1), (1, 2), (2, 3)]
        assert successor is None
        assert search.counts.failed == 1
    with open_search(config, tmp_path) as search:
        assert search.counts.failed == 1


def test_counts_and_ranking_survive_reopening(config: StudyConfig, tmp_path: Path) -> None:
    with open_search(config, tmp_path) as search:
        for value, stopped in ((0.5, "finished"), (0.9, "pruned"), (0.7, "early"), (0.7, "early")):
            search.tell_result(search.ask().number, make_result(value, stopped))  # type: ignore[arg-type]
        search.tell_failure(search.ask().number, "diverged")
    with open_search(config, tmp_path) as search:
        assert (search.counts.complete, search.counts.pruned, search.counts.failed) == (3, 1, 1)
        assert search.ranking == [(-0.7, 2), (-0.7, 3), (-0.5, 0)]
        assert search.ask().number == 5


def test_a_loss_is_minimized(config: StudyConfig, tmp_path: Path) -> None:
    study = config.study.model_copy(update={"objective": "val/loss"})
    with open_search(replace(config, study=study), tmp_path) as search:
        for value in (0.5, 0.9):
            search.tell_result(search.ask().number, make_result(value))
        assert [number for _, number in search.ranking] == [1, 0]


def test_a_driver_may_die_after_any_line_of_the_journal(
    config: StudyConfig, tmp_path: Path
) -> None:
    """Also between the start of a retry and the recording of its parameters."""
    with open_search(config, tmp_path / "expected") as search:
        first = search.ask()
        assert requeue(search, first.number) == 1
        expected = run_trials(search, 3)
    journal = (tmp_path / "expected" / "tiny.journal").read_bytes().splitlines(keepends=True)
    first_line = next(i for i, line in enumerate(journal) if b"requested" in line) + 1
    for count in range(first_line, len(journal) + 1):
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / "tiny.journal").write_bytes(b"".join(journal[:count]))
        with open_search(config, folder) as search:
            for number in list(search.stale):
                assert search.get_trial(number).spec
                requeue(search, number)
            specs = run_trials(search, 3 - search.counts.done)
            assert specs == expected[len(expected) - len(specs) :]
            assert search.has_ended_all
