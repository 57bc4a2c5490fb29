"""A search's winner is trained again over fresh seeds; its mean decides, its best seed is kept."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.analysis.confirmation import champion_of, confirmed, kept_of, waiting
from harness.analysis.lookup import find_trial
from harness.analysis.selection_bias import SelectionBias
from harness.analysis.summary_json import to_dict
from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.data.prepare import prepare
from harness.data.torch_datasets import SealedTest
from harness.doctor.report import check_studies
from harness.errors import ConfigError, StudyError
from harness.inference.test_examples import read_test_predictions
from harness.models.mlp import load_model
from harness.results import EpochMetrics
from harness.sweep.dry_run import dry_run, format_dry_run
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.run import StudyResult, run_study
from harness.test_set.selection import freeze, hash_of
from harness.tracking.predictions import TEST_PREDICTIONS_FILE, TestPredictions
from harness.tracking.raw_types import WEIGHTS_FILE
from harness.tracking.types import CONFIRM_FACT, RunRecord, StudyRun, TestReading
from harness.trial import TrialSpec
from harness.workspace import Workspace

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
    asked: dict[str, object] = {"home": folder / "mlruns", "workers": 0, "device": "cpu"}
    return run_study(folder / "tiny.toml", **asked | options)  # type: ignore[arg-type]


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
    assert len(study.trials) == 6, "they count as no trials"
    curves = {tuple(epoch.val_loss for epoch in run.epochs) for run in study.confirmation_runs}
    assert len(curves) == 6, "another seed is another training"


def test_the_best_mean_wins_and_the_best_seed_of_it_is_kept(
    folder: Path, result: StudyResult
) -> None:
    study, verdict = result.summary.study, result.summary
    scores: dict[int, list[float]] = {}
    for run in study.confirmation_runs:
        assert run.best is not None
        scores.setdefault(run.number, []).append(run.best.val_accuracy)
    means = {number: statistics.fmean(values) for number, values in scores.items()}
    assert means[verdict.champion.number] == max(means.values())
    assert verdict.kept.best is not None
    assert verdict.kept.best.val_accuracy == max(scores[verdict.champion.number])
    assert verdict.kept in study.confirmation_runs
    tracker = Workspace(folder / "mlruns").open_tracker()
    weights = tracker.read_file(verdict.kept.run_id, WEIGHTS_FILE)
    assert weights is not None
    model = load_model(verdict.kept.spec, 10, weights)
    prepared = prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    part = SealedTest.of(prepared).open()
    right = (model(part.inputs).argmax(1) == part.labels).float().mean().item()
    assert verdict.reading is not None
    assert verdict.reading.accuracy == pytest.approx(right)
    assert verdict.reading.run == verdict.kept.uid


def test_the_verdict_tells_of_it(result: StudyResult) -> None:
    verdict = result.summary
    again = verdict.confirmed
    assert again is not None
    said = verdict.text()
    spread = f"{again.validation.mean:.4f} ± {again.validation.deviation:.4f}"
    assert f"validation  accuracy {spread} over 3 fresh seeds" in said
    assert f"the model of seed {verdict.kept.spec.seed}" in said
    first = verdict.study.rank_trials()[0]
    assert first.best is not None
    assert f"the search's best was {first.best.val_accuracy:.4f} (trial {first.number})" in said
    told = json.loads(json.dumps(to_dict(verdict)))
    assert told["confirmed"][0]["trial"] == verdict.champion.number
    assert told["optimism"]["over_test"] == pytest.approx(
        first.best.val_accuracy - told["test"]["accuracy"]
    )
    assert spread in verdict.markdown()


def test_in_mlflow_they_stand_under_a_run_of_their_own(folder: Path, result: StudyResult) -> None:
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
    assert result.summary.confirmed is not None
    assert metrics["confirm/val_accuracy_mean"] == result.summary.confirmed.validation.mean
    assert metrics["confirm/seeds"] == 3
    assert metrics["test/look"] == 1
    assert "optimism/over_test" in metrics
    starred = [
        run.info.run_id
        for run in client.search_runs([study.experiment_id])
        if str(run.info.run_name).startswith("★ ")
    ]
    assert sorted(starred) == sorted([result.champion.run_id, result.summary.kept.run_id])
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.tags["harness.trial_run"] == result.summary.kept.run_id


def test_what_was_frozen_names_them(folder: Path, result: StudyResult) -> None:
    uri = Workspace(folder / "mlruns").local_uri
    client, study = MlflowClient(uri, registry_uri=uri), result.summary.study
    reading = result.test
    assert reading is not None
    path = client.download_artifacts(study.run_id, f"selection-{reading.selection[:12]}.json")
    told = json.loads(Path(path).read_text())
    assert told["confirming"] == sorted(run.uid for run in study.confirmation_runs)
    assert told["model"] == result.summary.kept.uid
    assert hash_of(told) == told["hash"] == reading.selection
    assert hash_of(told | {"model": told["champion"]}) != told["hash"]


def test_the_model_is_what_commands_mean_by_the_study(folder: Path, result: StudyResult) -> None:
    workspace = Workspace(folder / "mlruns")
    study, run = find_trial(workspace.open_tracker(), "tiny")
    assert run.uid == result.summary.kept.uid
    by_id, same = find_trial(workspace.open_tracker(), run.run_id)
    assert (by_id.name, same.uid) == (study.name, run.uid)
    content = workspace.open_tracker().read_file(run.run_id, TEST_PREDICTIONS_FILE)
    assert content is not None
    said = TestPredictions.from_bytes(content)
    assert (said.true == said.predicted).mean() == pytest.approx(result.summary.reading.accuracy)  # type: ignore[union-attr]
    assert read_test_predictions(workspace, "tiny", None, 1).total == len(said.true)
    with pytest.raises(StudyError, match=r"was not read for tiny/.*; it was for tiny"):
        read_test_predictions(workspace, f"tiny/{result.champion.number}", None, 1)


def test_the_doctor_finds_nothing_wrong(folder: Path, result: StudyResult) -> None:
    found = check_studies(Workspace(folder / "mlruns"), "tiny", None)
    assert found.healthy, found.text()


def test_the_page_has_a_section_of_it(result: StudyResult) -> None:
    page = result.report.read_text()
    assert "Confirmed over fresh seeds" in page


@pytest.mark.slow
def test_without_it_the_best_score_wins_and_the_verdict_says_so(tmp_path: Path) -> None:
    written(tmp_path)
    result = sweep(tmp_path, confirm=False)
    study = result.summary.study
    assert study.confirmation_runs == ()
    assert result.champion == result.summary.kept == study.rank_trials()[0]
    assert "no: trained with one seed alone" in dict(result.summary.lines)["confirmed"]
    assert result.test is not None
    assert result.test.run == result.champion.uid
    before = result.test.look
    # Confirmed later, another model is chosen: that is another look.
    later = sweep(tmp_path)
    assert len(later.summary.study.confirmation_runs) == 6
    assert later.test is not None
    assert later.test.look == before + 1
    assert len(later.summary.study.readings) == 2
    found = check_studies(Workspace(tmp_path / "mlruns"), "tiny", None)
    assert found.healthy, found.text()


@pytest.mark.slow
def test_what_was_confirmed_is_not_trained_again(tmp_path: Path) -> None:
    written(tmp_path)
    first = sweep(tmp_path, trials=4).summary.study
    more = sweep(tmp_path, trials=6).summary.study
    before = {run.uid: run.started for run in first.confirmation_runs}
    after = {run.uid: run.started for run in more.confirmation_runs}
    assert after.items() >= before.items()
    best = {run.number for run in more.rank_trials()[:2]}
    assert {run.number for run in more.confirmation_runs} >= best
    again = sweep(tmp_path, trials=6).summary.study
    assert (again.trials, again.confirmation_runs) == (more.trials, more.confirmation_runs)
    assert again.readings == more.readings, "nothing is left to do"


def test_a_grid_has_seeds_of_its_own(tmp_path: Path) -> None:
    text = STUDY.replace('sampler = "random"', 'sampler = "grid"').replace("trials = 6\n", "")
    text = text.replace("width = { low = 8, high = 32 }", "width = [8, 16]")
    text = text.replace("{ low = 1e-3, high = 1e-1, log = true }", "[1e-2]")
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=r"\[confirm\] top: .* repeat it over seeds by"):
        load(path)
    assert not load(written(tmp_path, text.replace("[confirm]\ntop = 2\n", ""))).has_confirmation


def test_a_study_file_says_how_many(tmp_path: Path) -> None:
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
    ), "it is no part of what makes it this study"


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


def test_the_lucky_one_loses() -> None:
    made = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.90, 1), record(0, 0.96, 2), record(1, 0.94, 1), record(1, 0.945, 2)],
    )
    champion = champion_of(made)
    assert champion is not None
    assert champion.number == 1
    assert kept_of(made, champion).spec.seed == 2
    assert [each.trial.number for each in confirmed(made)] == [1, 0]
    assert champion_of(replace(made, facts={CONFIRM_FACT: "no"})) == made.trials[0]
    assert freeze(made).rule.startswith("best mean val/accuracy over fresh seeds")


def test_how_far_the_best_score_flatters() -> None:
    made = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.90, 1), record(0, 0.96, 2), record(1, 0.94, 1), record(1, 0.945, 2)],
    )
    confusion = ((9, 1), (0, 10))
    read = TestReading(selection="s", number=1, time=0, loss=1, confusion=confusion)
    found = SelectionBias.of(made, read)
    assert found is not None
    assert found.text() == (
        "the search's best was 0.9900 (trial 0): 6.00 points above its mean over 2 fresh seeds, "
        "4.00 points above the test accuracy"
    )
    assert found.metrics() == {
        "optimism/reported": 0.99,
        "optimism/over_fresh_seeds": pytest.approx(0.06),
        "optimism/over_test": pytest.approx(0.04),
    }


def test_a_loss_is_better_the_smaller_it_is() -> None:
    made = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.90, 1), record(1, 0.94, 1), record(1, 0.95, 2)],
        definition={"study": {"objective": "val/loss"}},
    )
    champion = champion_of(made)
    assert champion is not None
    assert (champion.number, kept_of(made, champion).spec.seed) == (1, 2)


def test_who_fails_with_a_seed_comes_after_those_who_do_not() -> None:
    made = study(
        [record(0, 0.99), record(1, 0.95)],
        [record(0, 0.99, 1), record(0, 0.1, 2, "FAILED"), record(1, 0.9, 1), record(1, 0.9, 2)],
    )
    assert [(each.trial.number, each.failed) for each in confirmed(made)] == [(1, 0), (0, 1)]
    assert waiting(made, 2, 2) == [], "what failed is not tried again"


def test_equal_settings_count_once_and_what_was_interrupted_is_wanted_again() -> None:
    twin = replace(record(2, 0.97), spec=record(0, 0).spec)
    made = study(
        [record(0, 0.99), record(1, 0.95), twin, record(3, 0.98, state="PRUNED")],
        [record(0, 0.9, 1), record(1, 0.9, 1, "INTERRUPTED")],
    )
    wanted = [(run.number, seed) for run, seed in waiting(made, 2, 2)]
    assert wanted == [(0, 2), (1, 1), (1, 2)]
    assert waiting(made, 1, 1) == []


def test_a_dry_run_counts_them(tmp_path: Path) -> None:
    path = written(tmp_path)
    options = {"workers": 0, "device": "cpu", "home": tmp_path / "mlruns"}
    with_them = dry_run(make_plan(path, RunOptions(**options)))  # type: ignore[arg-type]
    without = dry_run(make_plan(path, RunOptions(**options, confirm=False)))  # type: ignore[arg-type]
    assert (with_them["confirming"], without["confirming"]) == (6, 0)
    assert "6 more runs, over fresh seeds" in format_dry_run(with_them)
    assert "confirm  no" in format_dry_run(without)
