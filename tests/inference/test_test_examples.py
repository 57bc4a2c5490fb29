"""`harness predict STUDY --test N`: what was said of the test images; none is opened again."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from harness.data.prepare import prepare
from harness.data.torch_datasets import SealedTest
from harness.errors import StudyError, UserError
from harness.inference.terminal_image import render_image, print_predictions
from harness.inference.test_examples import ExamplePredictions, read_test_predictions
from harness.models.mlp import load_model
from harness.sweep.run import run_study
from harness.tracking.predictions import TEST_PREDICTIONS_FILE
from harness.workspace import Workspace

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
learning_rate = [1e-3, 1e-2]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("predict")
    (folder / "looked.toml").write_text(STUDY)
    run_study(folder / "looked.toml", home=folder / "mlruns", workers=0, device="cpu")
    return Workspace(folder / "mlruns")


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SealedTest, "open", lambda _: pytest.fail("the test set was opened"))


def champion(workspace: Workspace) -> int:
    study = workspace.open_tracker(None, reading=True).read_study("looked")
    assert study is not None
    return study.rank_trials()[0].number


@pytest.mark.usefixtures("sealed")
def test_each_picture_comes_with_what_is_true_and_what_the_model_says_of_it(
    workspace: Workspace,
) -> None:
    found = read_test_predictions(workspace, "looked", None, 360)
    assert found.name == f"looked/{champion(workspace)}"
    assert [each.row for each in found.examples] == list(range(360))
    tracker = workspace.open_tracker(None, reading=True)
    study = tracker.read_study("looked")
    assert study is not None
    run = study.rank_trials()[0]
    model = load_model(run.spec, 10, tracker.read_file(run.run_id, "weights.safetensors") or b"")
    pictures = torch.from_numpy(np.stack([each.image for each in found.examples]))
    with torch.inference_mode():
        sure = model(pictures).softmax(1).max(1)
    assert [int(each.predicted) for each in found.examples] == sure.indices.tolist()
    assert [each.probability for each in found.examples] == pytest.approx(sure.values.tolist())
    labels = np.load(
        prepare("digits", validation=0.2, test=0.2, split_seed=0, normalize=True).test.labels
    )
    assert [int(each.true) for each in found.examples] == labels.tolist()
    assert found.right == sum(each.is_right for each in found.examples)


def test_from_and_wrong_choose_among_them(workspace: Workspace) -> None:
    whole = read_test_predictions(workspace, "looked", None, 360).examples
    assert [
        each.row for each in read_test_predictions(workspace, "looked", None, 3, start=10).examples
    ] == [
        10,
        11,
        12,
    ]
    wrong = read_test_predictions(
        workspace, f"looked/{champion(workspace)}", None, 5, start=4, wrong=True
    ).examples
    mistakes = [each.row for each in whole if each.row >= 4 and not each.is_right]
    assert [each.row for each in wrong] == mistakes[:5]
    assert read_test_predictions(workspace, "looked", None, 9, start=355).examples[-1].row == 359


def test_what_cannot_be_shown_says_why(workspace: Workspace) -> None:
    other = (champion(workspace) + 1) % 3
    with pytest.raises(StudyError, match=rf"not read for looked/{other}; it was for looked/"):
        read_test_predictions(workspace, f"looked/{other}", None, 1)
    with pytest.raises(UserError, match="--test: must be at least 1, not 0"):
        read_test_predictions(workspace, "looked", None, 0)
    with pytest.raises(UserError, match="--from: the test images are 0 to 359, not 360"):
        read_test_predictions(workspace, "looked", None, 1, start=360)
    with pytest.raises(StudyError, match="no study 'loked' on record; did you mean 'looked'"):
        read_test_predictions(workspace, "loked", None, 1)


def test_where_the_data_is_not_what_it_was_there_are_no_pictures(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "harness.inference.test_examples.prepare", lambda *_, **__: prepare(**SPLIT)
    )
    found = read_test_predictions(workspace, "looked", None, 2)
    assert found.examples[0].image is None
    assert "is not what the study was trained and tested on" in found.missing_images


SPLIT = {"name": "digits", "validation": 0.2, "test": 0.2, "split_seed": 1, "normalize": True}


def test_a_reading_without_its_predictions_says_what_to_do(
    workspace: Workspace, tmp_path: Path
) -> None:
    for file in workspace.root.rglob(TEST_PREDICTIONS_FILE):
        shutil.move(file, tmp_path / TEST_PREDICTIONS_FILE)
        try:
            with pytest.raises(StudyError, match=r"looked/\d said of the test set was not kept"):
                read_test_predictions(workspace, "looked", None, 1)
        finally:
            shutil.move(tmp_path / TEST_PREDICTIONS_FILE, file)


def printed(found: ExamplePredictions, terminal: bool) -> str:
    stream = io.StringIO()
    print_predictions(
        found, Console(file=stream, force_terminal=terminal, width=60, color_system="truecolor")
    )
    return stream.getvalue()


def test_a_terminal_shows_pictures_and_a_pipe_a_line_each(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_test_predictions(workspace, "looked", None, 2)
    assert printed(found, terminal=True).count("▀") == 2 * 8 * 4
    capsys.readouterr()
    assert "▀" not in printed(found, terminal=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == found.summary


def test_two_pixels_stand_in_a_character_and_colours_are_kept() -> None:
    grey = render_image(np.array([[0, 10], [10, 0], [5, 5]], np.uint8))
    assert grey.plain == "▀▀\n▀▀\n"
    first, last = grey.spans[0].style, grey.spans[-1].style
    assert str(first) == "#000000 on #ffffff"
    assert str(last) == "#7f7f7f on #000000"
    red = np.zeros((3, 2, 1), np.uint8)
    red[0] = 200
    assert str(render_image(red).spans[0].style) == "#ff0000 on #ff0000"
