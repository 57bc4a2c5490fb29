"""`harness predict STUDY --test N`: recorded predictions; the test set is not opened again."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from harness.api.run import run_study
from harness.data.prepare import prepare
from harness.errors import StudyError, UserError
from harness.inference.terminal_image import print_predictions, render_image
from harness.inference.test_examples import ExamplePredictions, read_test_predictions
from harness.models.mlp import load_model
from harness.test_set.sealed import SealedTest
from harness.tracking.predictions import TEST_PREDICTIONS_FILE
from harness.workspace import Workspace
from tests.support.sealed_test_set import read_test_labels

STUDY = """
[study]
trials = 3
pruner = "none"
[confirm]
seeds = 0
[data]
name = "digits"
validation = 0.2
[train]
epochs = 2
[space]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("predict")
    (folder / "digits.toml").write_text(STUDY)
    run_study(folder / "digits.toml", home=folder / "mlruns", workers=0, device="cpu")
    return Workspace(folder / "mlruns")


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SealedTest, "open", lambda *_: pytest.fail("the test set was opened"))


def champion(workspace: Workspace) -> int:
    study = workspace.open_tracker(None, reading=True).read_study("digits")
    assert study is not None
    return study.rank_trials()[0].number


@pytest.mark.usefixtures("sealed")
def test_each_example_has_its_class_and_the_models_prediction(
    workspace: Workspace,
) -> None:
    result = read_test_predictions(workspace, "digits", None, 360)
    assert result.name == f"digits/{champion(workspace)}"
    assert [example.row for example in result.examples] == list(range(360))
    tracker = workspace.open_tracker(None, reading=True)
    study = tracker.read_study("digits")
    assert study is not None
    run = study.rank_trials()[0]
    model = load_model(run.spec, 10, tracker.read_file(run.run_id, "weights.safetensors") or b"")
    images = torch.from_numpy(np.stack([example.image for example in result.examples]))
    with torch.inference_mode():
        likeliest = model(images).softmax(1).max(1)
    examples = result.examples
    assert [int(example.predicted) for example in examples] == likeliest.indices.tolist()
    probabilities = [example.probability for example in examples]
    assert probabilities == pytest.approx(likeliest.values.tolist())
    labels = read_test_labels(
        prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True)
    )
    assert [int(example.true) for example in examples] == labels.tolist()
    assert result.right == sum(example.is_right for example in examples)


def test_from_and_wrong_select_examples(workspace: Workspace) -> None:
    all_examples = read_test_predictions(workspace, "digits", None, 360).examples
    assert [
        example.row
        for example in read_test_predictions(workspace, "digits", None, 3, start=10).examples
    ] == [
        10,
        11,
        12,
    ]
    wrong = read_test_predictions(
        workspace, f"digits/{champion(workspace)}", None, 5, start=4, only_wrong=True
    ).examples
    mistakes = [
        example.row for example in all_examples if example.row >= 4 and not example.is_right
    ]
    assert [example.row for example in wrong] == mistakes[:5]
    assert read_test_predictions(workspace, "digits", None, 9, start=355).examples[-1].row == 359


def test_wrong_arguments_are_refused(workspace: Workspace) -> None:
    other = (champion(workspace) + 1) % 3
    with pytest.raises(StudyError, match=rf"not read for digits/{other}; it was for digits/"):
        read_test_predictions(workspace, f"digits/{other}", None, 1)
    with pytest.raises(UserError, match="--test: must be at least 1, not 0"):
        read_test_predictions(workspace, "digits", None, 0)
    with pytest.raises(UserError, match="--from: the test images are 0 to 359, not 360"):
        read_test_predictions(workspace, "digits", None, 1, start=360)
    with pytest.raises(StudyError, match="no study 'digit' on record; did you mean 'digits'"):
        read_test_predictions(workspace, "digit", None, 1)


def test_without_the_studys_data_there_are_no_images(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "harness.inference.test_examples.prepare", lambda *_, **__: prepare(**SPLIT)
    )
    result = read_test_predictions(workspace, "digits", None, 2)
    assert result.examples[0].image is None
    assert "is not what the study was trained and tested on" in result.missing_images


SPLIT = {"name": "digits", "validation": 0.2, "test": 0.2, "split_seed": 1, "normalize": True}


def test_a_reading_without_recorded_predictions_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    for file in workspace.root.rglob(TEST_PREDICTIONS_FILE):
        shutil.move(file, tmp_path / TEST_PREDICTIONS_FILE)
        try:
            with pytest.raises(
                StudyError, match=r"test predictions of digits/\d were not recorded"
            ):
                read_test_predictions(workspace, "digits", None, 1)
        finally:
            shutil.move(tmp_path / TEST_PREDICTIONS_FILE, file)


def capture(result: ExamplePredictions, terminal: bool) -> str:
    stream = io.StringIO()
    print_predictions(
        result, Console(file=stream, force_terminal=terminal, width=60, color_system="truecolor")
    )
    return stream.getvalue()


def test_a_terminal_shows_images_and_a_pipe_one_line_each(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    result = read_test_predictions(workspace, "digits", None, 2)
    assert capture(result, terminal=True).count("▀") == 2 * 8 * 4
    capsys.readouterr()
    assert "▀" not in capture(result, terminal=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == result.summary


def test_one_character_shows_two_pixels_in_their_colours() -> None:
    grey = render_image(np.array([[0, 10], [10, 0], [5, 5]], np.uint8))
    assert grey.plain == "▀▀\n▀▀\n"
    first, last = grey.spans[0].style, grey.spans[-1].style
    assert str(first) == "#000000 on #ffffff"
    assert str(last) == "#7f7f7f on #000000"
    red = np.zeros((3, 2, 1), np.uint8)
    red[0] = 200
    assert str(render_image(red).spans[0].style) == "#ff0000 on #ff0000"
