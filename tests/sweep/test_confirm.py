"""Confirmation: a search's best settings on new splits; the best mean wins."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from harness.analysis.confirmation import (
    find_champion,
    find_model_run,
    find_small_candidate,
    list_missing_seeds,
    rank_confirmed_settings,
)
from harness.analysis.lookup import find_trial
from harness.analysis.selection_bias import compute_selection_bias
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.cli.studies_table import list_studies
from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.data.prepare import prepare
from harness.errors import ConfigError, StudyError
from harness.inference.test_examples import read_test_predictions
from harness.models.mlp import load_model
from harness.results import EpochMetrics
from harness.sweep.dry_run import dry_run, format_dry_run
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.test_set.selection import freeze_selection, hash_selection
from harness.tracking.epoch_predictions import EPOCH_PREDICTIONS_FILE, EpochPredictions
from harness.tracking.predictions import (
    PREDICTIONS_FILE,
    TEST_PREDICTIONS_FILE,
    Predictions,
    TestPredictions,
)
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.test_reading import TestReading
from harness.tracking.types import CONFIRM_FACT, RunRecord, StudyRun
from harness.trial import TrialSpec
from harness.workspace import Workspace
from tests.support.sealed_test_set import open_test_set

STUDY = """
[study]
trials = 6
pruner = "none"
sampler = "random"
[confirm]
top = 2
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
[space]
width = { low = 8, high = 32 }
depth = [1]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def written(folder: Path, text: str = STUDY) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def sweep(folder: Path, **options: object) -> StudyResult:
    defaults: dict[str, object] = {"home": folder / "mlruns", "workers": 0, "device": "cpu"}
    return run_study(folder / "tiny.toml", **defaults | options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("confirm")).parent


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return sweep(folder)


def test_the_best_settings_are_trained_over_seeds_that_the_search_did_not_use(
    result: StudyResult,
) -> None:
    study = result.summary.study
    best = [run.number for run in study.rank_trials()[:2]]
    assert sorted((r.number, r.spec.seed) for r in study.confirmation_runs) == sorted(
        (number, seed) for number in best for seed in (1, 2, 3)
    )
    for run in study.confirmation_runs:
        assert replace(run.spec, seed=0) == study.trials[run.number].spec
        assert run.state == "COMPLETE"
        assert len(run.epochs) == 3
    assert len(study.trials) == 6, "they do not count as trials"
    curves = {tuple(epoch.val_loss for epoch in run.epochs) for run in study.confirmation_runs}
    assert len(curves) == 6, "another seed is another training"


def test_each_seed_has_a_new_split(folder: Path, result: StudyResult) -> None:
    study = result.summary.study
    assert all(run.split == run.spec.seed for run in study.confirmation_runs)
    tracker = Workspace(folder / "mlruns").open_tracker()
    prepared = prepare(
        "digits", validation=0.2, test=0.2, split_seed=0, normalize=True, redrawn=3
    ).training
    labels = np.load(prepared.labels)
    rows = {split: np.load(prepared.select_split(split).validation_rows) for split in range(4)}
    for run in study.confirmation_runs:
        file = tracker.read_file(run.run_id, EPOCH_PREDICTIONS_FILE)
        assert file is not None
        predictions = EpochPredictions.from_bytes(file)
        assert predictions.true.tolist() == labels[rows[run.split]].tolist()
        assert predictions.epochs.tolist() == [1, 2, 3]
        right = (predictions.predicted == predictions.true).mean(1)
        assert right.tolist() == pytest.approx([epoch.val_accuracy for epoch in run.epochs])
        recorded = tracker.read_file(run.run_id, PREDICTIONS_FILE)
        assert recorded is not None
        best = Predictions.from_bytes(recorded)
        assert best is not None
        assert best.true == predictions.true.tobytes(), "its own labels, not the study's"
        assert run.best is not None
        assert best.predicted == predictions.predicted[run.best.epoch - 1].tobytes()
    seen = np.concatenate(list(rows.values()))
    assert len(set(seen.tolist())) == len(seen), "no example is validated on twice"


def test_a_confirmation_run_is_replayed_on_its_split(folder: Path, result: StudyResult) -> None:
    run = next(run for run in result.summary.study.confirmation_runs if run.split == 2)
    replayed = replay(
        Workspace(folder / "mlruns"), run.run_id, watcher=Silent(), device="cpu", inline=True
    )
    assert replayed.agreement == "bitwise"


def test_the_best_mean_wins_and_its_trial_is_the_kept_model(
    folder: Path, result: StudyResult
) -> None:
    study, summary = result.summary.study, result.summary
    scores: dict[int, list[float]] = {}
    for run in study.confirmation_runs:
        assert run.best is not None
        scores.setdefault(run.number, []).append(run.best.val_accuracy)
    means = {number: statistics.fmean(values) for number, values in scores.items()}
    assert means[summary.champion.number] == max(means.values())
    assert summary.model_run == summary.champion, "other splits cannot be compared with its own"
    tracker = Workspace(folder / "mlruns").open_tracker()
    weights = tracker.read_file(summary.model_run.run_id, WEIGHTS_FILE)
    assert weights is not None
    model = load_model(summary.model_run.spec, 10, weights)
    prepared = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    part = open_test_set(prepared)
    right = (model(part.inputs).argmax(1) == part.labels).float().mean().item()
    assert summary.reading is not None
    assert summary.reading.accuracy == pytest.approx(right)
    assert summary.reading.run == summary.model_run.uid


def test_the_summary_reports_the_confirmation(result: StudyResult) -> None:
    summary = result.summary
    setting = summary.confirmation
    assert setting is not None
    text = summary.text()
    corrected = summary.corrected_score
    assert corrected is not None
    assert corrected.interval is not None
    low, high = corrected.interval
    assert 0 < low < corrected.value < setting.validation.mean, "lower than the plain mean"
    spread = f"{setting.validation.mean:.4f} ± {setting.validation.std:.4f}"
    line = dict(summary.lines)["validation"]
    assert line.startswith(f"accuracy {corrected.value:.4f} (95 %: {low:.4f} to {high:.4f}), ")
    assert line.endswith(f"which is too good, is {spread}")
    assert f"the model of trial {summary.champion.number} in the search" in text
    first = summary.study.rank_trials()[0]
    assert first.best is not None
    assert f"the search's best was {first.best.val_accuracy:.4f} (trial {first.number})" in text
    document = json.loads(json.dumps(summary.to_dict()))
    assert document["confirmed"][0]["trial"] == summary.champion.number
    assert document["optimism"]["over_corrected"] == first.best.val_accuracy - corrected.value
    assert document["validation"]["corrected"]["value"] == corrected.value
    assert document["validation"]["corrected_interval"] == [low, high]
    assert document["validation"]["interval"] != [low, high], "that of the kept model alone"
    assert corrected.format_value() in summary.markdown()
    contenders = summary.contenders
    assert contenders is not None
    assert len(contenders.others) == 1
    assert contenders.probability + contenders.others[0].probability == pytest.approx(1)


def test_confirmation_runs_have_their_own_parent_run_in_mlflow(
    folder: Path, result: StudyResult
) -> None:
    uri = Workspace(folder / "mlruns").local_uri
    client, study = MlflowClient(uri, registry_uri=uri), result.summary.study
    for run in study.confirmation_runs:
        tags = client.get_run(run.run_id).data.tags
        assert tags["harness.kind"] == "confirm"
        above = client.get_run(tags["mlflow.parentRunId"])
        assert above.data.tags["harness.kind"] == "confirmation"
        assert above.data.tags["mlflow.parentRunId"] == study.run_id
        assert above.info.status == "FINISHED"
    metrics = client.get_run(study.run_id).data.metrics
    assert result.summary.confirmation is not None
    assert metrics["confirm/val_accuracy_mean"] == result.summary.confirmation.validation.mean
    assert metrics["confirm/seeds"] == 3
    assert metrics["test/look"] == 1
    corrected = result.summary.corrected_score
    assert corrected is not None
    assert metrics["confirm/val_accuracy_corrected"] == corrected.value
    assert metrics["optimism/over_corrected"] == metrics["optimism/reported"] - corrected.value
    starred = [
        run.info.run_id
        for run in client.search_runs([study.experiment_id])
        if str(run.info.run_name).startswith("★ ")
    ]
    assert starred == [result.champion.run_id]
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.tags["harness.trial_run"] == result.summary.model_run.run_id


def test_the_frozen_selection_names_the_confirmation_runs(
    folder: Path, result: StudyResult
) -> None:
    uri = Workspace(folder / "mlruns").local_uri
    client, study = MlflowClient(uri, registry_uri=uri), result.summary.study
    reading = result.test
    assert reading is not None
    path = client.download_artifacts(study.run_id, f"selection-{reading.selection[:12]}.json")
    document = json.loads(Path(path).read_text())
    assert document["confirming"] == sorted(run.uid for run in study.confirmation_runs)
    assert document["model"] == result.summary.model_run.uid
    assert hash_selection(document) == document["hash"] == reading.selection
    assert document["rule"].startswith("best mean val/accuracy over new splits")
    assert hash_selection(document | {"model": document["confirming"][0]}) != document["hash"]


def test_a_study_name_means_its_confirmed_model(folder: Path, result: StudyResult) -> None:
    workspace = Workspace(folder / "mlruns")
    study, run = find_trial(workspace.open_tracker(), "tiny")
    assert run.uid == result.summary.model_run.uid
    by_id, same = find_trial(workspace.open_tracker(), run.run_id)
    assert (by_id.name, same.uid) == (study.name, run.uid)
    content = workspace.open_tracker().read_file(run.run_id, TEST_PREDICTIONS_FILE)
    assert content is not None
    predictions = TestPredictions.from_bytes(content)
    assert (predictions.true == predictions.predicted).mean() == pytest.approx(
        result.summary.reading.accuracy
    )  # type: ignore[union-attr]
    assert read_test_predictions(workspace, "tiny", None, 1).total == len(predictions.true)
    other = next(run.number for run in study.trials if run.uid != result.champion.uid)
    with pytest.raises(StudyError, match=r"was not read for tiny/.*; it was for tiny"):
        read_test_predictions(workspace, f"tiny/{other}", None, 1)


def test_the_doctor_finds_nothing_wrong(folder: Path, result: StudyResult) -> None:
    report = check_studies(Workspace(folder / "mlruns"), "tiny", None)
    assert report.healthy, report.text()


def test_the_report_has_a_section_on_confirmation(result: StudyResult) -> None:
    page = result.report.read_text()
    assert "Confirmation on new splits" in page


def test_the_list_of_studies_shows_the_corrected_score(folder: Path, result: StudyResult) -> None:
    (row,) = list_studies(Workspace(folder / "mlruns"), None, pytest.fail)
    corrected = result.summary.corrected_score
    assert corrected is not None
    assert row["best"] == corrected.value


@pytest.mark.slow
def test_without_confirmation_the_best_score_wins_and_the_summary_says_so(tmp_path: Path) -> None:
    written(tmp_path)
    result = sweep(tmp_path, confirm=False)
    study = result.summary.study
    assert study.confirmation_runs == ()
    assert result.champion == result.summary.model_run == study.rank_trials()[0]
    assert "no: trained with one seed only" in dict(result.summary.lines)["confirmed"]
    assert result.test is not None
    assert result.test.run == result.champion.uid
    before = result.test.look
    later = sweep(tmp_path)
    assert len(later.summary.study.confirmation_runs) == 6
    assert later.test is not None
    is_another = later.champion.uid != result.champion.uid
    assert later.test.look == before + is_another, "the same model's test set is not opened again"
    report = check_studies(Workspace(tmp_path / "mlruns"), "tiny", None)
    assert report.healthy, report.text()


@pytest.mark.slow
def test_fresh_seeds_on_the_studys_own_split(tmp_path: Path) -> None:
    written(tmp_path)
    result = sweep(tmp_path, overrides=["confirm.resample=false"])
    study = result.summary.study
    assert {run.split for run in study.confirmation_runs} == {0}
    assert result.summary.corrected_score is None
    assert "over 3 fresh seeds" in dict(result.summary.lines)["validation"]
    assert result.summary.model_run in study.confirmation_runs, "the best seed is kept"
    more = sweep(tmp_path, overrides=["confirm.seeds=4"]).summary
    assert {run.split for run in more.study.confirmation_runs} == {0}, "it stays on its split"
    report = check_studies(Workspace(tmp_path / "mlruns"), "tiny", None)
    assert report.healthy, report.text()


@pytest.mark.slow
def test_confirmed_settings_are_not_trained_again(tmp_path: Path) -> None:
    written(tmp_path)
    first = sweep(tmp_path, trials=4).summary.study
    more = sweep(tmp_path, trials=6).summary.study
    before = {run.uid: run.started for run in first.confirmation_runs}
    after = {run.uid: run.started for run in more.confirmation_runs}
    assert after.items() >= before.items()
    best = {run.number for run in more.rank_trials()[:2]}
    assert {run.number for run in more.confirmation_runs} >= best
    again = sweep(tmp_path, trials=6).summary.study
    # The ranks of the trials were recorded after `more` was read.
    trials = [[replace(run, metrics={}) for run in each.trials] for each in (again, more)]
    assert trials[0] == trials[1]
    assert again.confirmation_runs == more.confirmation_runs
    assert again.readings == more.readings, "nothing is left to do"


def test_a_grid_has_its_own_seeds_instead(tmp_path: Path) -> None:
    text = STUDY.replace('sampler = "random"', 'sampler = "grid"').replace("trials = 6\n", "")
    text = text.replace("width = { low = 8, high = 32 }", "width = [8, 16]")
    text = text.replace("{ low = 1e-3, high = 1e-1, log = true }", "[1e-2]")
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=r"\[confirm\] top: .* repeat it over seeds with"):
        load(path)
    assert not load(written(tmp_path, text.replace("[confirm]\ntop = 2\n", ""))).has_confirmation


def test_the_study_file_sets_how_many_settings_and_seeds(tmp_path: Path) -> None:
    config: StudyConfig = load(written(tmp_path))
    assert (config.confirm.top, config.confirm.seeds, config.has_confirmation) == (2, 3, True)
    assert not load(written(tmp_path), ["confirm.seeds=0"]).has_confirmation
    with pytest.raises(ConfigError, match=r"\[confirm\] top: .*greater than or equal to 1, not 0"):
        load(written(tmp_path), ["confirm.top=0"])
    with pytest.raises(ConfigError, match=r"\[confirm\] sedes: unknown key; did you mean 'seeds'"):
        load(written(tmp_path), ["confirm.sedes=2"])
    assert (
        load(written(tmp_path)).definition()
        == load(written(tmp_path), ["confirm.top=5"]).definition()
    ), "[confirm] may change in a resumed study"


def record(number: int, accuracy: float, seed: int = 0, state: str = "COMPLETE") -> RunRecord:
    best = EpochMetrics(
        epoch=1, train_loss=1, train_accuracy=0, penalty=0, val_loss=1 - accuracy,
        val_accuracy=accuracy, learning_rate=1, seconds=1, time=0,
    )  # fmt: skip
    uid = f"s/confirm/{number}.{seed}" if seed else f"s/{number}"
    return RunRecord(
        uid=uid, run_id=uid, number=number, state=state,  # type: ignore[arg-type]
        spec=TrialSpec(hidden=(8 + number,), seed=seed), best=best,
        metrics={"best/val_accuracy": accuracy, "best/val_loss": 1 - accuracy},
    )  # fmt: skip


def study(trials: list[RunRecord], confirming: list[RunRecord], **more: object) -> StudyRun:
    plain = StudyRun(
        name="s", uid="s", run_id="s", experiment_id="1", facts={CONFIRM_FACT: "yes"}, classes=(),
        definition={"study": {"objective": "val/accuracy"}}, readings=(), started=0, ended=None,
        trials=trials, confirmation_runs=confirming,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]


def test_the_best_mean_beats_the_best_single_score() -> None:
    example = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.90, 1), record(0, 0.96, 2), record(1, 0.94, 1), record(1, 0.945, 2)],
    )
    champion = find_champion(example)
    assert champion is not None
    assert champion.number == 1
    assert find_model_run(example, champion).spec.seed == 2
    assert [each.trial.number for each in rank_confirmed_settings(example)] == [1, 0]
    assert find_champion(replace(example, facts={CONFIRM_FACT: "no"})) == example.trials[0]
    assert freeze_selection(example).rule.startswith("best mean val/accuracy over fresh seeds")


def test_new_splits_keep_the_champions_own_model() -> None:
    trials = [record(number, 0.99 - number / 100) for number in range(7)]
    runs = [record(number, 0.9 + number / 100, 1) for number in (0, 6)]
    example = study(trials, [replace(run, split=1) for run in runs])
    champion = find_champion(example)
    assert champion is not None
    assert champion.number == 6
    assert find_model_run(example, champion).uid == "s/confirm/6.1", "its weights are not kept"
    best = replace(example, confirmation_runs=example.confirmation_runs[:1])
    assert find_model_run(best, trials[0]) == trials[0]
    assert freeze_selection(example).rule.startswith("best mean val/accuracy over new splits")


@pytest.mark.parametrize(("examples", "smaller"), [(900, False), (1100, True)])
def test_the_smallest_near_network_is_confirmed_too(examples: int, smaller: bool) -> None:
    """If the examples can show that it is within the margin."""
    sizes = [1000, 900, 800, 10, 20, 5]
    scores = [0.9, 0.89, 0.88, 0.70, 0.87, 0.5]
    trials = [
        replace(record(number, score), parameters=size, confusion=build_confusion(score))
        for number, (score, size) in enumerate(zip(scores, sizes, strict=True))
    ]
    missing = list_missing_seeds(study(trials, []), 3, 1, examples)
    assert [run.number for run, _ in missing] == ([0, 1, 2, 4] if smaller else [0, 1, 2])
    near = find_small_candidate(study(trials[:3], []), 3)
    assert near is None, "it is one of the best already"


def build_confusion(score: float) -> tuple[tuple[int, ...], ...]:
    correct = round(100 * score)
    return ((correct, 100 - correct), (100 - correct, correct))


def test_a_study_on_one_split_stays_on_it() -> None:
    """As version 0.1.0 confirmed it."""
    example = study([record(0, 0.99)], [record(0, 0.9, 1)])
    assert not example.is_resampled
    assert study([record(0, 0.99)], []).is_resampled


def test_selection_bias_is_measured_against_fresh_seeds_and_the_test_set() -> None:
    example = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.90, 1), record(0, 0.96, 2), record(1, 0.94, 1), record(1, 0.945, 2)],
    )
    confusion = ((9, 1), (0, 10))
    reading = TestReading(selection="s", number=1, time=0, loss=1, confusion=confusion)
    bias = compute_selection_bias(example, reading)
    assert bias is not None
    assert bias.describe() == (
        "the search's best was 0.9900 (trial 0): 6.00 points above its mean over 2 fresh seeds"
    ), "the test set was read for another trial's model"
    same = replace(reading, number=0)
    tested = compute_selection_bias(replace(example, readings=(same,)), same)
    assert tested is not None
    assert tested.describe().endswith("fresh seeds, 4.00 points above the test accuracy")
    assert tested.metrics() == {
        "optimism/reported": 0.99,
        "optimism/over_fresh_seeds": pytest.approx(0.06),
        "optimism/over_test": pytest.approx(0.04),
    }


def test_a_smaller_loss_is_better() -> None:
    example = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.90, 1), record(1, 0.94, 1), record(1, 0.95, 2)],
        definition={"study": {"objective": "val/loss"}},
    )
    champion = find_champion(example)
    assert champion is not None
    assert (champion.number, find_model_run(example, champion).spec.seed) == (1, 2)


def test_a_setting_that_fails_with_a_seed_ranks_last() -> None:
    example = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.99, 1), record(0, 0.1, 2, "FAILED"), record(1, 0.9, 1), record(1, 0.9, 2)],
    )
    ranked = rank_confirmed_settings(example)
    assert [(each.trial.number, each.failed) for each in ranked] == [(1, 0), (0, 1)]
    assert list_missing_seeds(example, 2, 2) == [], "failed runs are not retried"


def test_if_all_confirmation_runs_failed_they_are_retried() -> None:
    failed = [record(0, 0.1, seed, "FAILED") for seed in (1, 2)]
    example = study([record(0, 0.99)], failed)
    assert [(run.number, seed) for run, seed in list_missing_seeds(example, 1, 2)] == [
        (0, 1), (0, 2)
    ]  # fmt: skip
    again = [replace(record(0, 0.9, 1), uid="s/confirm/0.1.2")]
    retried = replace(example, confirmation_runs=[*failed, *again])
    (setting,) = rank_confirmed_settings(retried)
    assert (len(setting.runs), setting.failed) == (1, 1), "seed 1 is complete now"
    assert list_missing_seeds(retried, 1, 2) == []


BREAKABLE = """
import os
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
        self.steps = 0

    def forward(self, x):
        self.steps += 1
        if self.training and self.steps > 5 and os.path.exists(os.environ["BREAK"]):
            raise RuntimeError("out of luck")
        return self.layers(x)
"""


@pytest.mark.slow
def test_a_confirmation_of_which_all_runs_failed_is_named_and_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breakable.py").write_text(BREAKABLE)
    switch = tmp_path / "break"
    monkeypatch.setenv("BREAK", str(switch))
    space = "learning_rate = { low = 1e-3, high = 1e-1, log = true }\n"
    train = '[train]\nmodel = "breakable:Net"\nepochs = 2\n[space]\n' + space
    written(tmp_path, STUDY.partition("[train]")[0] + train)
    sweep(tmp_path, trials=2, confirm=False)
    switch.touch()
    for _ in range(2):
        summary = sweep(tmp_path, trials=2).summary
        assert dict(summary.lines)["validation"].endswith(
            "6 confirmation runs failed; to retry, rerun"
        ), "each is counted once"
        report = check_studies(Workspace(tmp_path / "mlruns"), "tiny", None)
        assert "all of its runs failed (the last: RuntimeError: out of luck)" in report.text()
        assert "rerun the study to train them again" in report.text()
    sweep(tmp_path, trials=2, confirm=False)
    report = check_studies(Workspace(tmp_path / "mlruns"), "tiny", None)
    assert report.healthy, "accepted without a confirmation"
    switch.unlink()
    summary = sweep(tmp_path, trials=2).summary
    assert summary.corrected_score is not None
    assert summary.corrected_score.splits == 3
    report = check_studies(Workspace(tmp_path / "mlruns"), "tiny", None)
    assert report.healthy, report.text()


def test_equal_settings_count_once_and_interrupted_runs_are_retried() -> None:
    twin = replace(record(2, 0.97), spec=record(0, 0).spec)
    example = study(
        [record(0, 0.99), record(1, 0.95), twin, record(3, 0.98, state="PRUNED")],
        [record(0, 0.9, 1), record(1, 0.9, 1, "INTERRUPTED")],
    )
    wanted = [(run.number, seed) for run, seed in list_missing_seeds(example, 2, 2)]
    assert wanted == [(0, 2), (1, 1), (1, 2)]
    assert list_missing_seeds(example, 1, 1) == []


def test_a_dry_run_counts_the_confirmation_runs(tmp_path: Path) -> None:
    path = written(tmp_path)
    options = {"workers": 0, "device": "cpu", "home": tmp_path / "mlruns"}
    with_them = dry_run(make_plan(path, RunOptions(**options)))  # type: ignore[arg-type]
    without = dry_run(make_plan(path, RunOptions(**options, confirm=False)))  # type: ignore[arg-type]
    assert (with_them["confirming"], without["confirming"]) == (6, 0)
    text = format_dry_run(with_them)
    assert "up to 6 more runs, on new splits" in text
    assert with_them["split_hash"] not in text
    assert "as slow as the slowest of 8 random settings, timed now" in text
    assert 0 < with_them["free_share"] <= 1
    margin = RunOptions(**options, overrides=["confirm.margin=1"])  # type: ignore[arg-type]
    assert dry_run(make_plan(path, margin))["confirming"] == 9, "a smaller network may be shown"
    assert "confirm  no" in format_dry_run(without)


@pytest.mark.parametrize("task", ["classes", "regression"])
def test_groups_of_different_size_are_confirmed(tmp_path: Path, task: str) -> None:
    """Whole groups go into a split, so that the splits have different numbers of examples."""
    rng = np.random.default_rng(0)
    patients = rng.integers(60, size=400)
    x = rng.normal(size=400) + patients / 120
    y = x + 0.5 * rng.normal(size=400)
    shown = y if task == "regression" else np.where(y > 0.3, "ill", "well")
    rows = pd.DataFrame({"patient": patients, "x": x, "y": shown})
    rows.to_csv(tmp_path / "visits.csv", index=False)
    data = f'name = "{tmp_path}/visits.csv"\ntarget = "y"\ngroup = "patient"\ntask = "{task}"\n'
    written(tmp_path, STUDY.replace('name = "digits"\n', data))
    summary = sweep(tmp_path, test=False).summary
    sizes = {run.split: len(find_rows(tmp_path, run)) for run in summary.study.confirmation_runs}
    assert len(sizes) == 3
    assert len(set(sizes.values())) > 1
    corrected = summary.corrected_score
    assert corrected is not None
    assert corrected.examples == sum(sizes.values())
    assert corrected.interval is not None
    low, high = corrected.interval
    assert low < corrected.value < high


def find_rows(folder: Path, run: RunRecord) -> np.ndarray:
    """Return the validation targets of a confirmation run."""
    file = Workspace(folder / "mlruns").open_tracker().read_file(run.run_id, EPOCH_PREDICTIONS_FILE)
    assert file is not None
    return EpochPredictions.from_bytes(file).true
