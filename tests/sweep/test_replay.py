"""`harness replay`: a trial trained again is what was recorded, or it is said what is not."""

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
from harness.cli.main import app
from harness.data.prepare import PreparedDataset
from harness.doctor.report import check_studies
from harness.errors import DataError, StoreError, StudyError, Unavailable
from harness.reports.again import write_again
from harness.sweep.environment import list_replay_caveats
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.sweep.progress import Silent
from harness.sweep.replay import replay
from harness.sweep.run import run_study
from harness.sweep.train_once import train_once
from harness.tracking.mlflow.tracker import MlflowTracker
from harness.tracking.outbox.queue import Outbox
from harness.tracking.types import RunRecord, StudyRun
from harness.workspace import Workspace
from tests.doctor.example_study import copy_record

STUDY = """
[study]
trials = 6
seed = 13
sampler = "random"
pruner = "successive-halving"
[data]
name = "digits"
validation = 0.2
[train]
epochs = 3
optimizer = "sgd"
[space]
depth = [1]
width = [8, 16]
learning_rate = [0.3, 0.1, 1e-6, 1e30]
batch_norm = ["none", "before"]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, isolated: Path) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    (folder / "tiny.toml").write_text(STUDY)
    run_study(folder / "tiny.toml", home=folder / "mlruns", workers=0, device="cpu")
    return folder / "mlruns"


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    return Workspace(copy_record(made, tmp_path / "mlruns"))


def study_in(workspace: Workspace) -> StudyRun:
    found = workspace.open_tracker(None, reading=True).read_study("tiny")
    assert found is not None
    return found


def ended(workspace: Workspace, state: str) -> RunRecord:
    return next(run for run in study_in(workspace).trials if run.state == state)


def again(workspace: Workspace, name: str) -> ReplayResult:
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
def test_a_trial_that_trained_alone_is_what_was_recorded_to_the_last_bit(
    workspace: Workspace, state: str
) -> None:
    before = study_in(workspace)
    run = ended(workspace, state)
    found = again(workspace, f"tiny/{run.number}")
    assert (found.word, found.agrees, found.doubts) == ("bitwise", True, ())
    assert found.first is None
    assert found.now.epochs != ()
    assert [each.epoch for each in found.now.epochs] == [each.epoch for each in run.epochs]
    assert found.recorded.predictions == found.now.predictions
    assert (found.recorded.weights is not None) == (state == "COMPLETE")
    assert found.recorded.weights in (None, found.now.weights)
    assert "what was recorded, to the last bit, as is promised" in found.text()
    assert found.unwritten == ""

    after = study_in(workspace)
    assert [each.uid for each in after.trials] == [each.uid for each in before.trials]
    (told,) = (each for each in after.trials if each.number == run.number)
    assert told.replay == "bitwise"
    assert told.metrics["replay/val_loss_difference"] == 0
    assert replace(told, replay="", metrics=run.metrics) == run
    assert check_studies(workspace, "tiny").healthy


def test_the_champion_and_a_run_of_train_are_replayed_too(made: Path, tmp_path: Path) -> None:
    workspace = Workspace(copy_record(made, tmp_path / "mlruns"))
    assert again(workspace, "tiny").word == "bitwise"
    (tmp_path / "tiny.toml").write_text(STUDY)
    plan = make_plan(tmp_path / "tiny.toml", RunOptions(home=workspace.root, workers=0, device="cpu"))
    alone = train_once(plan, test=False, watcher=Silent())
    found = again(workspace, alone.run_id)
    assert (found.word, found.doubts) == ("bitwise", ())
    told = workspace.open_tracker(None, reading=True).read_run(alone.run_id)
    assert told is not None
    assert told.trials[0].replay == "bitwise"
    assert "replay" not in told.facts


def test_a_record_of_another_seed_is_found_out(workspace: Workspace) -> None:
    run = ended(workspace, "COMPLETE")
    tags = client(workspace).get_run(run.run_id).data.tags
    spec = json.loads(tags["harness.spec"]) | {"seed": 14}
    client(workspace).set_tag(run.run_id, "harness.spec", json.dumps(spec))
    found = again(workspace, f"tiny/{run.number}")
    assert (found.word, found.agrees, found.doubts) == ("differs", False, ())
    assert found.first is not None
    assert (found.first.what, found.first.epoch) == ("train/loss", 1)
    assert found.first.recorded == run.epochs[0].train_loss
    assert found.spread is None, "where bits are promised, no twins excuse it"
    assert "harness or a library may have changed" in found.text()
    assert study_in(workspace).trials[run.number].replay == "differs"

    forget_environment(workspace, run)
    found = again(workspace, f"tiny/{run.number}")
    assert (found.word, found.agrees) == ("differs", False)
    assert found.doubts[0].startswith("an older version recorded it")
    assert found.spread is not None
    assert found.spread.share > 1
    assert len(found.twins) == 3


@pytest.mark.slow
def test_the_command_tells_it_and_ends_with_1_where_it_differs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root.parent)
    run = ended(workspace, "COMPLETE")
    done = CliRunner().invoke(app, ["replay", f"tiny/{run.number}"])
    assert done.exit_code == 0
    assert "verdict   what was recorded, to the last bit, as is promised" in done.stdout
    rewrite(workspace, run, train_loss=[2 * epoch.train_loss for epoch in run.epochs])
    forget_environment(workspace, run)
    done = CliRunner().invoke(app, ["replay", f"tiny/{run.number}", "--format", "json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["event"], told["found"], told["promised"]) == ("replayed", "differs", False)
    assert told["first_difference"]["recorded"] == 2 * run.epochs[0].train_loss
    assert told["spread"]["within"] is False


def test_what_rounding_does_is_let_pass_where_bits_are_not_promised(workspace: Workspace) -> None:
    run = ended(workspace, "COMPLETE")
    rounded = [epoch.val_loss * (1 + 3e-7) for epoch in run.epochs]
    rewrite(workspace, run, val_loss=rounded)
    assert again(workspace, f"tiny/{run.number}").word == "differs"
    forget_environment(workspace, run)
    found = again(workspace, f"tiny/{run.number}")
    assert (found.word, found.agrees) == ("within spread", True)
    assert found.spread is not None
    assert found.spread.within
    assert "not the same bits, which are not promised here, but within" in found.text()
    assert study_in(workspace).trials[run.number].metrics["replay/share_of_spread"] <= 1
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_the_same_bits_are_told_where_they_are_not_promised(workspace: Workspace) -> None:
    run = ended(workspace, "COMPLETE")
    forget_environment(workspace, run)
    found = again(workspace, f"tiny/{run.number}")
    assert (found.word, found.twins) == ("bitwise", ())
    assert "though that is not promised here" in found.text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinny", "no study 'tinny' on record; did you mean 'tiny'"),
        ("tiny/77", "no trial '77' in study 'tiny'; its trials are 0 to 5"),
        ("0" * 32, "no run of harness has the id"),
    ],
)
def test_bad_names_are_one_line(workspace: Workspace, name: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        again(workspace, name)


def test_a_trial_without_a_result_is_refused(workspace: Workspace) -> None:
    run = ended(workspace, "FAILED")
    with pytest.raises(StudyError, match=r"has no result: it is failed \(diverged"):
        again(workspace, f"tiny/{run.number}")


def test_a_curve_with_gaps_is_refused(workspace: Workspace) -> None:
    run = ended(workspace, "COMPLETE")
    rewrite(workspace, run, val_loss=[float("nan")] * 3)
    with pytest.raises(StudyError, match="its curve was lost, and `harness doctor --repair` restored"):
        again(workspace, f"tiny/{run.number}")
    columns = ("epoch", *vars(run.epochs[0]))
    shorter = {name: [getattr(each, name) for each in run.epochs[1:]] for name in columns}
    rewrite(workspace, run, **shorter)
    with pytest.raises(StudyError, match=f"tiny/{run.number} cannot be replayed: .* 2 of 3 epochs"):
        again(workspace, f"tiny/{run.number}")


def test_other_data_is_refused_with_both_hashes(
    workspace: Workspace, digits: PreparedDataset
) -> None:
    run = ended(workspace, "COMPLETE")
    other = dict(run.environment) | {"split_hash": "f00dface" * 8}
    client(workspace).set_tag(run.run_id, "harness.environment", json.dumps(other))
    with pytest.raises(DataError) as raised:
        again(workspace, f"tiny/{run.number}")
    assert "f00dfacef00dface" in str(raised.value)
    assert digits.split_hash[:16] in str(raised.value)
    assert study_in(workspace).trials[run.number].replay == ""


def test_settings_of_another_version_are_refused(workspace: Workspace) -> None:
    run = ended(workspace, "COMPLETE")
    spec = run.spec.to_dict() | {"warmup": 3}
    client(workspace).set_tag(run.run_id, "harness.spec", json.dumps(spec))
    with pytest.raises(StoreError, match="warmup: this version of harness has no such setting"):
        again(workspace, run.run_id)


def test_a_study_at_work_is_not_disturbed(workspace: Workspace) -> None:
    """Its driver holds its lock and its spool."""
    lock = FileLock(workspace.root / "optuna" / "tiny.lock")
    spool = workspace.outbox_folder(workspace.local_uri) / "tiny.spool"
    with lock, closing(Outbox(spool)):
        before = spool.read_bytes()
        found = again(workspace, "tiny")
        assert (found.word, found.unwritten) == ("bitwise", "")
        assert spool.read_bytes() == before


def test_a_store_that_takes_nothing_keeps_no_answer_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(workspace, "COMPLETE")

    def locked(self: MlflowTracker, *given: object) -> None:
        raise Unavailable("mlflow.db is locked")

    monkeypatch.setattr(MlflowTracker, "log_replay", locked)
    found = again(workspace, f"tiny/{run.number}")
    assert (found.word, found.agrees) == ("bitwise", True)
    assert "not written: mlflow.db is locked" in found.text()
    assert found.to_dict()["on_record"] is False


def test_the_report_shows_it(workspace: Workspace) -> None:
    run = ended(workspace, "COMPLETE")
    page = write_again(workspace, "tiny", None).read_text()
    assert "Trained again" not in page
    assert ">replay<" not in page
    again(workspace, f"tiny/{run.number}")
    page = write_again(workspace, "tiny", None).read_text()
    assert f"Trained again, by trial: {run.number} gave what is on record, to the last bit." in page
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
    ("changes", "said"),
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
    changes: Mapping[str, str | None], said: str
) -> None:
    recorded = {name: value for name, value in (HERE | changes).items() if value is not None}
    found = list_replay_caveats(recorded, HERE)
    assert len(found) == bool(said)
    assert "".join(found).startswith(said)


def test_a_gpu_promises_no_bits() -> None:
    gpu = HERE | {"device": "NVIDIA H200"}
    assert list_replay_caveats(gpu, gpu) == ["a GPU does not promise the order in which it adds"]


@pytest.mark.slow
def test_a_trial_that_trained_beside_others_is_told_for_what_it_is(tmp_path: Path) -> None:
    """Two workers with slots: small trials share programs, whose rounding is another."""
    text = STUDY.replace("trials = 6", "trials = 12").replace("successive-halving", "none")
    text = text.replace("learning_rate = [0.3, 0.1, 1e-6, 1e30]", "learning_rate = [0.3, 0.1]")
    (tmp_path / "tiny.toml").write_text(text)
    workspace = Workspace(tmp_path / "mlruns")
    run_study(tmp_path / "tiny.toml", home=workspace.root, workers=2, device="cpu")
    found = [again(workspace, f"tiny/{number}") for number in range(12)]
    assert all(each.agrees for each in found), [each.text() for each in found]
    assert {each.run.environment["slots"] for each in found} == {"4"}
    assert any(each.word == "within spread" for each in found)
    assert check_studies(workspace, "tiny").healthy
