"""Grids and lists: every setting over its seeds, all read in one opening of the test set."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from harness.analysis.seed_variance import SeedScores, describe_setting, rank_settings
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.cli.studies_table import list_studies
from harness.errors import Interruption, StoreError, StudyError
from harness.inference.test_examples import read_test_predictions
from harness.results import count_correct
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.train_once import train_once
from harness.test_set.sealed import SealedTest
from harness.test_set.selection import Selection, freeze_selection
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.test_reading import TestReading
from harness.tracking.types import State, StudyRun
from harness.workspace import Workspace
from tests.support.list_study import LIST, write

NAMES = ["linear", "hidden = [24], batch_norm = before"]


def sweep(path: Path, **options: object) -> StudyResult:
    return run_study(path, home=path.parent / "mlruns", workers=0, device="cpu", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="module")
def study(path: Path) -> StudyRun:
    return sweep(path).summary.study


def test_every_setting_runs_with_a_seed_before_the_next_seed(study: StudyRun) -> None:
    ran = [(run.spec.hidden, run.spec.seed) for run in study.trials]
    assert ran == [(hidden, seed) for seed in (5, 6, 7) for hidden in ((), (24,))]
    assert [run.spec.batch_norm for run in study.trials[:2]] == ["none", "before"]
    assert {run.spec.epochs for run in study.trials} == {3}


def test_one_opening_covers_every_trial(study: StudyRun, path: Path) -> None:
    assert sorted(reading.number for reading in study.readings) == list(range(6))
    assert study.test_set_openings == 1
    assert {reading.selection for reading in study.readings} == {freeze_selection(study).hash}
    tracker = Workspace(path.parent / "mlruns").open_tracker(None, reading=True)
    for run in study.trials:
        reading, kept = (
            study.find_reading(run),
            tracker.read_file(run.run_id, TEST_PREDICTIONS_FILE),
        )
        assert reading is not None
        assert kept is not None
        predictions = TestPredictions.from_bytes(kept)
        assert count_correct(reading.confusion) == (
            int((predictions.true == predictions.predicted).sum()),
            360,
        )
        assert (
            predictions.probability.min() > 0.1
        )  # of ten classes, the one it says is the likeliest
        assert tracker.read_file(run.run_id, "weights.safetensors")


def test_settings_have_mean_and_standard_deviation(study: StudyRun) -> None:
    by_name = {setting.name: setting for setting in rank_settings(study)}
    assert sorted(by_name) == sorted(NAMES)
    deep = by_name[NAMES[1]]
    assert [run.number for run in deep.runs] == [1, 3, 5]
    values = [run.best.val_accuracy for run in study.trials[1::2] if run.best]
    assert deep.validation.values == tuple(values)
    assert deep.validation.mean == pytest.approx(np.mean(values))
    assert deep.validation.std == pytest.approx(np.std(values, ddof=1))
    assert deep.test is not None
    assert len(deep.test.values) == 3
    assert str(SeedScores((0.5, 0.6))) == "0.5500 ± 0.0707"
    assert str(SeedScores((0.5,))) == "0.5000"


def test_a_seed_gives_the_same_result_in_every_study(tmp_path: Path) -> None:
    """So that settings differ by what was set, not by their luck."""
    alone = sweep(write(tmp_path), overrides=["study.seeds=1", "study.seed=6"], trials=1)
    repeated = sweep(write(tmp_path), overrides=["study.name=two", "study.seed=5", "study.seeds=2"])
    one, two = alone.summary.study.trials[0], repeated.summary.study.trials[2]
    assert one.spec == two.spec
    assert one.best is not None
    assert two.best is not None
    assert one.best.val_loss == two.best.val_loss


def test_the_summary_says_that_nothing_was_selected(path: Path, study: StudyRun) -> None:
    summary = sweep(path).summary
    lines = dict(summary.lines)
    assert "one opening for all 6 trials; nothing is chosen by it" in lines["test"]
    best = rank_settings(study)[0]
    assert lines["by setting"] == "mean ± standard deviation over seeds"
    assert f"{best.name}" in summary.text()
    assert best.describe() in summary.text()
    champion = summary.champion
    assert champion.number in [run.number for run in best.runs]
    assert lines["settings"].startswith(f"{best.name} (seed {champion.spec.seed})")
    document = json.loads(json.dumps(summary.to_dict()))
    assert [setting["name"] for setting in document["settings"]] == [
        s.name for s in rank_settings(study)
    ]
    assert document["test"]["looks"] == 1


def test_a_finished_list_does_not_open_the_test_set_again(
    path: Path, study: StudyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SealedTest, "open", lambda *_: pytest.fail("opened again"))
    assert sweep(path).summary.study.readings == study.readings


@pytest.mark.slow
def test_more_seeds_resume_the_study_and_open_the_test_set_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = sweep(path, overrides=["study.seeds=1"]).summary.study
    after = sweep(path, overrides=["study.seeds=2"]).summary
    assert after.study.readings[:2] == before.readings
    assert sorted(reading.number for reading in after.study.readings) == [0, 1, 2, 3]
    assert after.study.test_set_openings == 2
    assert "2 openings for all 4 trials" in dict(after.lines)["test"]
    workspace = Workspace(path.parent / "mlruns")
    uri = workspace.local_uri
    client = MlflowClient(uri, registry_uri=uri)
    champion = freeze_selection(after.study).champion
    for run in after.study.trials:  # its own figures, on its own run
        reading = after.study.find_reading(run)
        assert reading is not None
        assert client.get_run(run.run_id).data.metrics["test/accuracy"] == reading.accuracy
        if run.uid == champion.uid:
            study = client.get_run(after.study.run_id).data
            assert study.metrics["test/accuracy"] == reading.accuracy


@pytest.mark.slow
def test_after_a_stop_before_the_test_set_the_next_run_reads_all_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)

    def stop(*_: object, **__: object) -> None:
        raise Interruption("interrupted")

    with monkeypatch.context() as patched:
        patched.setattr("harness.test_set.opening.read_test_set", stop)
        with pytest.raises(Interruption):
            sweep(path, overrides=["study.seeds=1"])
    study = sweep(path, overrides=["study.seeds=1"]).summary.study
    assert sorted(reading.number for reading in study.readings) == [0, 1]
    assert study.test_set_openings == 1


@pytest.mark.slow
def test_trials_read_before_a_crash_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log_test = write(tmp_path), MlflowTracker.log_test
    logged: list[int] = []

    def crash(self: MlflowTracker, uid: str, reading: TestReading, champion: bool = True) -> None:
        if len(logged) == 2:
            raise StoreError("the disk is full")
        logged.append(reading.number)
        log_test(self, uid, reading, champion)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowTracker, "log_test", crash)
        with pytest.raises(StoreError):
            sweep(path, overrides=["study.seeds=2"])
    study = sweep(path, overrides=["study.seeds=2"]).summary.study
    assert [reading.number for reading in study.readings][:2] == logged
    assert sorted(reading.number for reading in study.readings) == [0, 1, 2, 3]
    assert study.state == "RUNNING"  # as it was read; it is closed after that
    closed = sweep(path, overrides=["study.seeds=2"]).summary.study
    assert closed.state == "COMPLETE"


def test_missing_weights_are_an_error_before_the_test_set_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, LIST.replace("hidden = []", "hidden = []\nlearning_rate = 1e-6"))
    finish = MlflowTracker.finish_trial
    monkeypatch.setattr(
        MlflowTracker,
        "finish_trial",  # keeps those of all but the linear one, which is no champion at that rate
        lambda self, trial, state, *, keep, **more: finish(
            self, trial, state, keep=keep and trial.number > 0, **more
        ),
    )
    monkeypatch.setattr(SealedTest, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(StoreError, match=r"weights\.safetensors"):
        sweep(path, overrides=["study.seeds=1"])


def test_settings_cannot_change_their_order(tmp_path: Path) -> None:
    path = write(tmp_path)
    sweep(path, trials=1)
    head, first, second = LIST.split("[[trial]]")
    path.write_text("[[trial]]".join([head, f"{second}\n", first]))
    with pytest.raises(StudyError, match=r"\[trial\] order: linear, hidden = \[24\]"):
        sweep(path)


def test_a_setting_that_fails_is_named(tmp_path: Path) -> None:
    boom = '[[trial]]\nname = "boom"\noptimizer = "sgd"\nlearning_rate = 1e30\n'
    summary = sweep(write(tmp_path, LIST + boom), overrides=["study.seeds=1"]).summary
    assert re.search(r"boom +none of 1 trial complete", summary.text())


def test_markup_in_names_of_settings_is_escaped(tmp_path: Path) -> None:
    named = LIST.replace('"linear"', "'a\\|b **bold** <script>'")
    note = sweep(write(tmp_path, named), overrides=["study.seeds=1"]).summary.markdown()
    assert r"a\\\|b \*\*bold\*\* \<script>" in note


def test_settings_are_ranked_by_the_objective(tmp_path: Path) -> None:
    study = sweep(write(tmp_path), overrides=["study.objective=val/loss"]).summary.study
    losses = [
        np.mean([run.best.val_loss for run in setting.runs if run.best])
        for setting in rank_settings(study)
    ]
    assert losses == sorted(losses)


@pytest.mark.slow
def test_a_list_of_many_settings_is_recorded(tmp_path: Path) -> None:
    """Its definition is longer than a tag of MLflow's may be."""
    many = "".join(
        f'[[trial]]\nname = "{"long " * 15}{number}"\nhidden = [{number}]\n'
        for number in range(1, 121)
    )
    path = write(tmp_path, LIST.split("[[trial]]")[0].replace("seeds = 3", "") + many)
    sweep(path, trials=1)
    study = sweep(path, trials=2).summary.study
    assert len(study.definition["trial"]) == 120
    assert {setting.name.split()[-1] for setting in rank_settings(study)} == {"1", "2"}


def test_train_uses_the_shared_settings(path: Path) -> None:
    home = path.parent / "mlruns"
    plan = make_plan(
        path, RunOptions(home=home, workers=0, device="cpu", overrides=["train.hidden=[9]"])
    )
    result = train_once(plan, test=True, watcher=Silent())
    assert (result.spec.hidden, result.spec.batch_norm, result.spec.seed) == ((9,), "none", 5)
    tracker = Workspace(home).open_tracker(None, reading=True)
    (run_id,) = (
        run.info.run_id
        for run in MlflowClient(Workspace(home).local_uri).search_runs(
            [tracker.list_experiments()["list-train"]]
        )
    )
    study = tracker.read_run(run_id)
    assert study is not None
    assert not study.is_grid_or_list
    assert "trial" not in study.definition
    assert result.reading is not None
    predictions = read_test_predictions(Workspace(home), run_id, None, 360)
    assert predictions.right / predictions.total == result.reading.accuracy


def test_a_grid_repeats_over_seeds_too(tmp_path: Path) -> None:
    text = LIST.split("[[trial]]")[0].replace("seeds = 3", 'seeds = 2\nsampler = "grid"')
    path = write(tmp_path, text + '[space]\nhidden = [[], [8]]\nbatch_norm = ["none", "after"]\n')
    study = sweep(path).summary.study
    assert len(study.trials) == len(study.readings) == 8
    assert {setting.name for setting in rank_settings(study)} == {
        f"hidden = {hidden}, batch_norm = {norm}"
        for hidden in ("[]", "[8]")
        for norm in ("none", "after")
    }
    assert all([run.spec.seed for run in s.runs] == [5, 6] for s in rank_settings(study))


def test_the_champion_has_the_best_mean_setting_not_the_best_seed(study: StudyRun) -> None:
    """Made up: setting B leads by its mean, A has the best single trial."""
    scores = {0: 0.99, 2: 0.50, 4: 0.50, 1: 0.90, 3: 0.91, 5: 0.90}
    trials = [
        replace(
            run,
            best=replace(run.best, val_accuracy=scores[run.number]),
            metrics={"best/val_accuracy": scores[run.number]},
        )
        for run in study.trials
        if run.best
    ]
    assert freeze_selection(replace(study, trials=trials)).champion.number == 3
    one_seed = replace(study, trials=trials[:2])
    assert freeze_selection(one_seed).champion.number == 0


def test_a_setting_is_described_by_its_fields(study: StudyRun) -> None:
    assert describe_setting(study, study.trials[0]) == "linear (seed 5): hidden = []"
    assert describe_setting(study, study.trials[3]) == f"{NAMES[1]} (seed 6)"


def test_a_substitute_test_set_is_called_so(tmp_path: Path) -> None:
    path = write(tmp_path, LIST.replace("[train]", "own_test = false\n[train]"))
    summary = sweep(path, overrides=["study.seeds=1"]).summary
    lines = dict(summary.lines)
    assert "test" not in lines
    assert "1 openings" not in lines["substitute test"]
    assert lines["classes"].startswith("on substitute test: ")
    assert ", substitute test 0." in summary.text()
    assert (
        "substitute test images are right"
        in read_test_predictions(Workspace(path.parent / "mlruns"), "list", None, 1).summary
    )
    assert (
        "substitute test accuracy" in (path.parent / "mlruns/reports/list/index.html").read_text()
    )


@pytest.mark.slow
def test_a_champion_that_was_tested_earlier_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    before = sweep(path, overrides=["study.seeds=1"]).champion.number
    other = 1 - before  # leads by its mean, once there are more seeds; here by decree

    def decreed(study: StudyRun) -> Selection:
        trial = study.trials[other]
        return replace(freeze_selection(study), champion=trial, model_run=trial)

    monkeypatch.setattr("harness.sweep.finalize.freeze_selection", decreed)
    result = sweep(path, overrides=["study.seeds=2"])
    reading = result.summary.study.find_reading(result.summary.study.trials[other])
    assert reading is not None
    uri = Workspace(path.parent / "mlruns").local_uri
    client = MlflowClient(uri, registry_uri=uri)
    version = client.get_model_version_by_alias("list", "champion")
    assert version.tags["harness.trial"] == str(other)
    metrics = client.get_run(result.summary.study.run_id).data.metrics
    assert metrics["test/accuracy"] == reading.accuracy


def test_a_tested_study_that_was_not_closed_is_closed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, close = write(tmp_path), MlflowTracker.close_study

    def crash(self: MlflowTracker, uid: str, state: State, **more: Any) -> None:
        if state == "COMPLETE":
            raise StoreError("the disk is full")
        close(self, uid, state, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowTracker, "close_study", crash)
        with pytest.raises(StoreError):
            sweep(path, overrides=["study.seeds=1"])
    monkeypatch.setattr(SealedTest, "open", lambda *_: pytest.fail("opened again"))
    sweep(path, overrides=["study.seeds=1"])
    study = Workspace(path.parent / "mlruns").open_tracker(None, reading=True).read_study("list")
    assert study is not None
    assert study.state == "COMPLETE"


def test_the_studies_table_shows_the_champion(path: Path, study: StudyRun) -> None:
    (row,) = (
        row
        for row in list_studies(Workspace(path.parent / "mlruns"), None, pytest.fail)
        if row["name"] == "list"
    )
    champion = freeze_selection(study).champion
    reading = study.find_reading(champion)
    assert reading is not None
    assert champion.best is not None
    assert row["done"] == 6
    assert (row["best"], row["test"]) == (champion.best.val_accuracy, reading.accuracy)
