"""The result of a study, from the run and from the record, and the functions beside it."""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

import harness
from harness.errors import ConfigError, DataError, StudyError
from tests.support.digits_study import STUDY

IMAGES = load_digits().images.astype(np.uint8)
TIMES = ["best_time", "best_seconds"]
LABELS = load_digits().target.astype(str)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "mlruns"


@pytest.fixture(scope="module")
def result(home: Path) -> harness.StudyResult:
    (home.parent / "tiny.toml").write_text(STUDY)
    return harness.run_study(
        home.parent / "tiny.toml", home=home, device="cpu", workers=0, progress=False, timeout=600.0
    )


def test_an_object_gives_the_same_bits_as_its_file(result: harness.StudyResult, home: Path) -> None:
    tables = tomllib.loads(STUDY)
    study = harness.Study(
        "object",
        tables["data"].pop("name"),
        train=tables["train"],
        space=tables["space"],
        confirm=tables.get("confirm"),
        **(tables["study"] | tables["data"]),
    )
    other = study.run(home=home, device="cpu", workers=0, progress=False)
    assert other.trials.drop(columns=TIMES).equals(result.trials.drop(columns=TIMES))


def test_a_study_is_loaded_from_the_record(result: harness.StudyResult, home: Path) -> None:
    loaded = harness.load("tiny", home=home)
    assert repr(loaded) == repr(result)
    assert loaded.champion.settings == result.champion.settings
    assert loaded.trials.equals(result.trials)
    assert loaded.test is not None
    with pytest.raises(ConfigError, match="study: give the study's name, 'tiny', as text"):
        harness.load(harness.Study("tiny", "digits"), home=home)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="no study 'tini' on record; did you mean 'tiny'"):
        harness.load("tini", home=home)


def test_what_a_notebook_shows_is_short_and_escaped(result: harness.StudyResult) -> None:
    assert len(repr(result)) < 500
    html = result._repr_html_()
    assert len(html) < 5000
    assert "hardest class" in html
    assert html.count("<tr>") == 1 + 5
    for value in (result.champion, result.test, harness.load_study("quickstart")):
        assert len(repr(value)) < 200


def test_the_text_has_the_score_that_is_corrected(result: harness.StudyResult) -> None:
    """The best score of the search is too good, and the summary does not show it either."""
    (validation,) = (fact for fact in result.summary.facts if fact.key == "validation")
    lines = repr(result).splitlines()
    assert lines[1].startswith(f"  champion       trial {result.champion.number}: ")
    assert lines[2].startswith(f"  test accuracy  {result.test.accuracy:.4f} (95 %: ")  # type: ignore[union-attr]
    assert lines[3] == f"  validation     {validation.short}"
    assert "corrected for selection" in lines[3]


def test_every_plot_has_a_name(result: harness.StudyResult) -> None:
    assert {"val-accuracy", "parallel", "history"} < set(result.plots)
    figure = result.plot("curves")
    assert figure.to_dict() == result.plot("val-accuracy").to_dict()
    assert figure.layout.title.text == "Validation accuracy"
    assert all(result.plot(name).layout.title.text for name in result.plots)
    with pytest.raises(ConfigError, match=r"no plot 'val-acuracy'; did you mean 'val-accuracy'\?$"):
        result.plot("val-acuracy")


def test_the_model_predicts_what_is_recorded(result: harness.StudyResult, home: Path) -> None:
    model = result.load_model()
    assert not model.training
    with torch.no_grad():
        logits = model(torch.from_numpy(IMAGES))
    predictions = result.predict(IMAGES)
    assert predictions.tolist() == [str(each) for each in logits.argmax(1).tolist()]
    assert (predictions == LABELS).mean() > 0.8
    frozen = IMAGES[:5].copy()
    frozen.flags.writeable = False  # as pandas' arrays are; torch would warn
    rows = harness.predict("tiny", frozen, probabilities=True, home=home)
    assert (result.predict(frozen, probabilities=True) == rows).all()
    assert [result.classes[index] for index in rows.argmax(1)] == predictions[:5].tolist()
    assert rows.shape == (5, 10)
    np.testing.assert_allclose(rows, logits[:5].double().softmax(1).numpy(), atol=1e-6)
    flat = harness.predict("tiny", torch.from_numpy(IMAGES[:5]).reshape(5, 64).float(), home=home)
    assert flat.tolist() == predictions[:5].tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 9)), r"inputs are \[2, 9\]; 'tiny' takes \[N, 8, 8\]"),
        (np.zeros(64), r"inputs are \[64\]"),
        (IMAGES[:2] / 16, "inputs are not whole numbers from 0 to 255, which 'tiny' takes"),
        (np.array([["a"] * 64]), "inputs are of type <U1; 'tiny' takes numbers"),
        ("no.png", "no.png"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(
    result: harness.StudyResult, home: Path, inputs: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        harness.predict("tiny", inputs, home=home)


MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.layer = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.layer(x)
"""


def test_a_custom_model_beside_the_study_predicts_rows_of_a_frame(tmp_path: Path) -> None:
    frame = load_wine(as_frame=True).frame
    frame.to_csv(tmp_path / "wine.csv", index=False)
    (tmp_path / "rows_net.py").write_text(MODEL)
    (tmp_path / "wine.toml").write_text(
        f'[study]\ntrials = 1\n[data]\nname = "{tmp_path}/wine.csv"\ntarget = "target"\n'
        '[train]\nmodel = "rows_net:Net"\nepochs = 2\n[space]\nlearning_rate = [0.1]\n'
        "weight_decay = [0.001]\n"
    )
    study = harness.load_study(tmp_path / "wine.toml")
    result = study.run(
        home=tmp_path / "mlruns", workers=0, device="cpu", confirm=False, progress=False
    )
    assert "adam 0.1 · weight_decay=0.001\n" in repr(result), "all sampled settings are shown"
    assert result._repr_html_().count("adam 0.1 · weight_decay=0.001<") == 2
    rows = result.predict(frame.head(3), probabilities=True)
    assert rows.shape == (3, 3)
    with pytest.raises(DataError, match="the frame has no column 'ash', which 'wine' was trained"):
        result.predict(frame.drop(columns="ash"))
    with pytest.raises(DataError, match=r"one Series; 'wine' takes a DataFrame of rows, such as"):
        result.predict(frame.iloc[0])


def test_image_files_are_classified(
    result: harness.StudyResult, home: Path, tmp_path: Path
) -> None:
    from PIL import Image

    path = tmp_path / "digit.png"
    Image.fromarray(IMAGES[0] * 15).resize((64, 64)).save(path)
    assert harness.predict("tiny", path, home=home).shape == (1,)
    assert harness.predict("tiny", [path, path], probabilities=True, home=home).shape == (2, 10)


def test_optuna_and_mlflow_go_on_from_the_result(result: harness.StudyResult, home: Path) -> None:
    import optuna
    from mlflow import MlflowClient

    study = result.optuna_study
    assert study.best_trial.number == result.champion.number
    study.add_trial(optuna.trial.create_trial(value=1.0))  # a copy: the record stays
    assert len(result.optuna_study.trials) == len(result.trials)
    run = MlflowClient(result.tracking_uri).get_run(result.mlflow_run_id)
    assert run.data.tags["harness.kind"] == "study"


def test_the_commands_are_functions(result: harness.StudyResult, home: Path) -> None:
    assert harness.doctor("tiny", home=home).healthy
    assert harness.doctor("tiny", home=home).healthy, "the package of its checks hides it"
    assert harness.report("tiny", home=home) == result.report
    comparison = harness.compare("tiny/0", "tiny/1", home=home)
    assert "A and B" in repr(comparison)
    trained = harness.train(
        home.parent / "tiny.toml", home=home, device="cpu", overrides=["train.epochs=1"],
        progress=False,
    )  # fmt: skip
    assert trained.result.epochs == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": "5"}, "trials: must be a whole number, not '5'"),
        ({"trials": True}, "trials: must be a whole number, not True"),
        ({"timeout": []}, r"timeout: '\[\]' is not a duration"),
        ({"timeout": -1}, "timeout: '-1s' is not a duration"),
        ({"overrides": "train.epochs=3"}, r"overrides: must be a list such as \[\"train.epochs=3"),
        ({"home": 5}, "home: must be a path, not 5"),
        ({"confirm": 0}, "confirm: must be True or False, not 0"),
        ({"tracking_uri": 5}, "tracking_uri: must be a string, not 5"),
        ({"progress": 5}, "progress: 5 is neither True nor False nor a display"),
        ({"device": "cuda"}, "device: 'cuda' is none of"),
    ],
)
def test_arguments_of_a_wrong_type_are_one_line(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        harness.run_study("quickstart", **{"progress": False} | options)


def test_a_dict_is_not_a_study() -> None:
    with pytest.raises(ConfigError, match=r"study: dict is not a study; give harness.Study\("):
        harness.run_study({"study": {}}, progress=False)  # type: ignore[arg-type]


def test_a_study_runs_in_a_thread(home: Path, result: harness.StudyResult) -> None:
    """A thread cannot catch signals; the study runs without them."""
    results: list[harness.StudyResult] = []
    study = harness.load_study(home.parent / "tiny.toml")
    thread = threading.Thread(
        target=lambda: results.append(study.run(home=home, device="cpu", progress=False))
    )
    thread.start()
    thread.join()
    assert repr(results[0]) == repr(result)
