"""`harness replay`: a replayed trial matches the record, or the difference is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from typer.testing import CliRunner

from harness.analysis.replay_result import ReplayResult
from harness.api.run import run_study
from harness.checks.report import check_studies
from harness.cli.main import app
from harness.data.prepare import PreparedDataset
from harness.errors import DataError, StoreError, StudyError, Unavailable
from harness.reports.live_page import write_study_page
from harness.sweep.environment import list_replay_caveats
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.sweep.train_once import train_once
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.tracking.outbox.queue import Outbox
from harness.tracking.types import RunRecord, StudyRun
from harness.workspace import Workspace
from tests.doctor.example_study import STUDY, copy_record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory, isolated: Path) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    (folder / "tiny.toml").write_text(STUDY)
    run_study(folder / "tiny.toml", home=folder / "mlruns", workers=0, device="cpu")
    return folder / "mlruns"


@pytest.fixture
def workspace(record: Path, tmp_path: Path) -> Workspace:
    return Workspace(copy_record(record, tmp_path / "mlruns"))


def study_in(workspace: Workspace) -> StudyRun:
    study = workspace.open_tracker(None, reading=True).read_study("tiny")
    assert study is not None
    return study


def find_trial(workspace: Workspace, state: str) -> RunRecord:
    return next(run for run in study_in(workspace).trials if run.state == state)


def replay_trial(workspace: Workspace, name: str) -> ReplayResult:
    return replay(workspace, name, watcher=Silent(), inline=True)


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(workspace.local_uri)


def rewrite(workspace: Workspace, run: RunRecord, **columns: Any) -> None:
    """Another curve in trial.json."""
    address = client(workspace).get_run(run.run_id).info.artifact_uri
    path = Path(address.removeprefix("file://")) / "trial.json"
    document = json.loads(path.read_text())
    document["epochs"] |= columns
    path.write_text(json.dumps(document))


def forget_environment(workspace: Workspace, run: RunRecord) -> None:
    client(workspace).delete_tag(run.run_id, "harness.environment")


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED"])
def test_a_trial_that_trained_alone_replays_bit_for_bit(workspace: Workspace, state: str) -> None:
    before = study_in(workspace)
    run = find_trial(workspace, state)
    result = replay_trial(workspace, f"tiny/{run.number}")
    assert (result.agreement, result.is_reproduced, result.caveats) == ("bitwise", True, ())
    assert result.first_difference is None
    assert result.replayed.epochs != ()
    assert [each.epoch for each in result.replayed.epochs] == [each.epoch for each in run.epochs]
    assert result.recorded.predictions == result.replayed.predictions
    assert (result.recorded.weights is not None) == (state == "COMPLETE")
    assert result.recorded.weights in (None, result.replayed.weights)
    assert "identical to the record, bit for bit, as expected" in result.text()
    assert result.unrecorded_reason == ""

    after = study_in(workspace)
    assert [each.uid for each in after.trials] == [each.uid for each in before.trials]
    (replayed,) = (each for each in after.trials if each.number == run.number)
    assert replayed.replay == "bitwise"
    assert replayed.metrics["replay/val_loss_difference"] == 0
    assert replace(replayed, replay="", metrics=run.metrics) == run
    assert check_studies(workspace, "tiny").healthy


def test_the_champion_and_a_run_of_train_are_replayed_too(record: Path, tmp_path: Path) -> None:
    workspace = Workspace(copy_record(record, tmp_path / "mlruns"))
    assert replay_trial(workspace, "tiny").agreement == "bitwise"
    (tmp_path / "tiny.toml").write_text(STUDY)
    plan = make_plan(
        tmp_path / "tiny.toml", RunOptions(home=workspace.root, workers=0, device="cpu")
    )
    alone = train_once(plan, test=False, watcher=Silent())
    result = replay_trial(workspace, alone.run_id)
    assert (result.agreement, result.caveats) == ("bitwise", ())
    study = workspace.open_tracker(None, reading=True).read_run(alone.run_id)
    assert study is not None
    assert study.trials[0].replay == "bitwise"
    assert "replay" not in study.facts


def test_a_record_with_another_seed_differs(workspace: Workspace) -> None:
    run = find_trial(workspace, "COMPLETE")
    tags = client(workspace).get_run(run.run_id).data.tags
    spec = json.loads(tags["harness.spec"]) | {"seed": 14}
    client(workspace).set_tag(run.run_id, "harness.spec", json.dumps(spec))
    result = replay_trial(workspace, f"tiny/{run.number}")
    assert (result.agreement, result.is_reproduced, result.caveats) == ("differs", False, ())
    assert result.first_difference is not None
    assert (result.first_difference.what, result.first_difference.epoch) == ("train/loss", 1)
    assert result.first_difference.recorded == run.epochs[0].train_loss
    assert result.twin_comparison is None, "where bits are promised, no twins excuse it"
    assert "harness or a library was changed" in result.text()
    assert study_in(workspace).trials[run.number].replay == "differs"

    forget_environment(workspace, run)
    result = replay_trial(workspace, f"tiny/{run.number}")
    assert (result.agreement, result.is_reproduced) == ("differs", False)
    assert result.caveats[0].startswith("an older version recorded it")
    assert result.twin_comparison is not None
    assert result.twin_comparison.share > 1
    assert len(result.twins) == 3


@pytest.mark.slow
def test_the_command_exits_with_1_if_the_replay_differs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root.parent)
    run = find_trial(workspace, "COMPLETE")
    done = CliRunner().invoke(app, ["replay", f"tiny/{run.number}"])
    assert done.exit_code == 0
    assert "identical to the record, bit for bit, as expected" in done.stdout
    rewrite(workspace, run, train_loss=[2 * epoch.train_loss for epoch in run.epochs])
    forget_environment(workspace, run)
    done = CliRunner().invoke(app, ["replay", f"tiny/{run.number}", "--format", "json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout.splitlines()[-1])
    assert (document["event"], document["found"], document["promised"]) == (
        "replayed",
        "differs",
        False,
    )
    assert document["first_difference"]["recorded"] == 2 * run.epochs[0].train_loss
    assert document["spread"]["within"] is False


def test_rounding_is_accepted_if_equal_bits_are_not_promised(workspace: Workspace) -> None:
    run = find_trial(workspace, "COMPLETE")
    rounded = [epoch.val_loss * (1 + 3e-7) for epoch in run.epochs]
    rewrite(workspace, run, val_loss=rounded)
    assert replay_trial(workspace, f"tiny/{run.number}").agreement == "differs"
    forget_environment(workspace, run)
    result = replay_trial(workspace, f"tiny/{run.number}")
    assert (result.agreement, result.is_reproduced) == ("within spread", True)
    assert result.twin_comparison is not None
    assert result.twin_comparison.is_within
    assert "agrees with the record: the difference is as small as" in result.text()
    assert study_in(workspace).trials[run.number].metrics["replay/share_of_spread"] <= 1
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_equal_bits_are_reported_even_if_not_promised(workspace: Workspace) -> None:
    run = find_trial(workspace, "COMPLETE")
    forget_environment(workspace, run)
    result = replay_trial(workspace, f"tiny/{run.number}")
    assert (result.agreement, result.twins) == ("bitwise", ())
    assert "though that is not guaranteed here" in result.text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tinny", "no study 'tinny' on record; did you mean 'tiny'"),
        ("tiny/77", "no trial '77' in study 'tiny'; its trials are 0 to 5"),
        ("0" * 32, "no run of harness has the id"),
    ],
)
def test_a_wrong_name_is_one_line(workspace: Workspace, name: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        replay_trial(workspace, name)


def test_a_trial_without_a_result_is_refused(workspace: Workspace) -> None:
    run = find_trial(workspace, "FAILED")
    with pytest.raises(StudyError, match=r"has no result: it is failed \(diverged"):
        replay_trial(workspace, f"tiny/{run.number}")


def test_a_curve_with_gaps_is_refused(workspace: Workspace) -> None:
    run = find_trial(workspace, "COMPLETE")
    rewrite(workspace, run, val_loss=[float("nan")] * 3)
    with pytest.raises(
        StudyError, match="its curve was lost, and `harness doctor --repair` restored"
    ):
        replay_trial(workspace, f"tiny/{run.number}")
    columns = ("epoch", *vars(run.epochs[0]))
    shorter = {name: [getattr(each, name) for each in run.epochs[1:]] for name in columns}
    rewrite(workspace, run, **shorter)
    with pytest.raises(StudyError, match=f"tiny/{run.number} cannot be replayed: .* 2 of 3 epochs"):
        replay_trial(workspace, f"tiny/{run.number}")


def test_other_data_is_refused_with_both_hashes(
    workspace: Workspace, digits: PreparedDataset
) -> None:
    run = find_trial(workspace, "COMPLETE")
    other = dict(run.environment) | {"split_hash": "f00dface" * 8}
    client(workspace).set_tag(run.run_id, "harness.environment", json.dumps(other))
    with pytest.raises(DataError) as raised:
        replay_trial(workspace, f"tiny/{run.number}")
    assert "f00dfacef00dface" in str(raised.value)
    assert digits.split_hash[:16] in str(raised.value)
    assert study_in(workspace).trials[run.number].replay == ""


def test_settings_of_another_version_are_refused(workspace: Workspace) -> None:
    run = find_trial(workspace, "COMPLETE")
    spec = run.spec.to_dict() | {"warmup": 3}
    client(workspace).set_tag(run.run_id, "harness.spec", json.dumps(spec))
    with pytest.raises(StoreError, match="warmup: this version of harness has no such setting"):
        replay_trial(workspace, run.run_id)


def test_a_running_study_is_not_disturbed(workspace: Workspace) -> None:
    """Its driver holds its lock and its spool."""
    lock = FileLock(workspace.root / "optuna" / "tiny.lock")
    spool = workspace.outbox_folder(workspace.local_uri) / "tiny.spool"
    with lock, closing(Outbox(spool)):
        before = spool.read_bytes()
        result = replay_trial(workspace, "tiny")
        assert (result.agreement, result.unrecorded_reason) == ("bitwise", "")
        assert spool.read_bytes() == before


def test_the_result_is_returned_even_if_the_store_cannot_be_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = find_trial(workspace, "COMPLETE")

    def locked(self: MlflowTracker, *args: object) -> None:
        raise Unavailable("mlflow.db is locked")

    monkeypatch.setattr(MlflowTracker, "log_replay", locked)
    result = replay_trial(workspace, f"tiny/{run.number}")
    assert (result.agreement, result.is_reproduced) == ("bitwise", True)
    assert "not written: mlflow.db is locked" in result.text()
    assert result.to_dict()["on_record"] is False


def test_the_report_shows_the_replay(workspace: Workspace) -> None:
    run = find_trial(workspace, "COMPLETE")
    page = write_study_page(workspace, "tiny", None).read_text()
    assert "Replayed trials" not in page
    assert ">replay<" not in page
    replay_trial(workspace, f"tiny/{run.number}")
    page = write_study_page(workspace, "tiny", None).read_text()
    assert f"Replayed trials: {run.number} gave the recorded result bit for bit." in page
    assert ">replay<" in page
    assert "<td>bitwise</td>" in page


HERE = {
    "device": "CPU, 2 cores",
    "slots": "1",
    "cpu": "a fast one",
    "platform": "Linux x86_64",
    "versions": "harness 0.1.0, torch 2.15.0, mlflow 3.17.2, numpy 2.3.0, Python 3.11.9",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"device": "CPU, 64 cores"}, ""),
        ({"versions": HERE["versions"].replace("3.17.2", "3.18.0")}, ""),
        ({"slots": "4"}, "its worker trained up to 4 trials as one program"),
        ({"cpu": "a slow one"}, "its processor was a slow one, now it is a fast one"),
        ({"platform": "Darwin arm64"}, "its platform was Darwin arm64, now it is Linux x86_64"),
        ({"versions": HERE["versions"].replace("2.15", "2.14")}, "torch was 2.14.0, now it is 2."),
        ({"device": "NVIDIA H200"}, "it was trained on NVIDIA H200, but this is CPU, 2 cores"),
        ({"cpu": None}, "an older version recorded it without its cpu"),
    ],
    ids=str,
)
def test_bits_are_promised_on_one_thread_of_the_same_machine(
    changes: Mapping[str, str | None], message: str
) -> None:
    recorded = {name: value for name, value in (HERE | changes).items() if value is not None}
    caveats = list_replay_caveats(recorded, HERE)
    assert len(caveats) == bool(message)
    assert "".join(caveats).startswith(message)


def test_equal_bits_are_not_promised_on_a_gpu() -> None:
    gpu = HERE | {"device": "NVIDIA H200"}
    assert list_replay_caveats(gpu, gpu) == ["a GPU adds in no fixed order"]


@pytest.mark.slow
def test_a_trial_that_shared_a_program_agrees_within_rounding(tmp_path: Path) -> None:
    """Two workers with slots: small trials share programs, whose rounding is another."""
    text = STUDY.replace("trials = 6", "trials = 12").replace("successive-halving", "none")
    rates = "learning_rate = { low = 0.1, high = 0.3 }"  # enough settings for all trials
    text = text.replace("learning_rate = [0.3, 0.1, 1e-6, 1e30]", rates)
    (tmp_path / "tiny.toml").write_text(text)
    workspace = Workspace(tmp_path / "mlruns")
    run_study(tmp_path / "tiny.toml", home=workspace.root, workers=2, device="cpu")
    results = [replay_trial(workspace, f"tiny/{number}") for number in range(12)]
    assert all(result.is_reproduced for result in results), [result.text() for result in results]
    assert {result.run.environment["slots"] for result in results} == {"4"}
    assert any(result.agreement == "within spread" for result in results)
    assert check_studies(workspace, "tiny").healthy
