"""Misclassified validation images, the most confident first."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from harness.analysis import misclassified
from harness.analysis.misclassified import Mistakes
from harness.data.prepare import PreparedDataset
from harness.data.torch_datasets import Split, load_splits
from harness.models.mlp import MLP
from harness.trial import TrialSpec


def test_the_most_confident_mistakes_come_first_with_their_images(digits: PreparedDataset) -> None:
    splits = load_splits(digits.training)
    split = splits.validation
    torch.manual_seed(0)
    model = MLP(TrialSpec(hidden=(), seed=1), 10, splits.mean, splits.inv_std).eval()
    mistakes = misclassified.find_mistakes(7, model, split)
    with torch.inference_mode():
        probability = model(split.inputs[split.rows]).softmax(1)
    wrong = probability.argmax(1) != split.labels[split.rows]
    assert (mistakes.number, mistakes.total) == (7, int(wrong.sum()))
    assert len(mistakes.shown) == misclassified.MAX_SHOWN < mistakes.total, (
        "an untrained model errs often"
    )
    confidences = [each.confidence for each in mistakes.shown]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] == probability.max(1).values[wrong].max()
    first = mistakes.shown[0]
    assert first.true == split.labels[first.row] != first.predicted
    assert first.row in set(split.rows.tolist()), "only validation images are shown"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.png))))
    scaled = split.inputs[first.row].numpy() * (255 / 16)
    np.testing.assert_allclose(picture, scaled, atol=0.51)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((6, 4), "L"), ((3, 6, 4), "RGB"), ((2, 6, 4), None), ((24,), None)],
    ids=str,
)
def test_only_grey_and_rgb_inputs_have_images(shape: tuple[int, ...], mode: str | None) -> None:
    inputs = torch.arange(40 * math.prod(shape)).remainder(251).to(torch.uint8).view(40, *shape)
    split = Split(inputs, torch.arange(40) % 10, torch.arange(40), 0.0, 255.0)
    ones = torch.ones(math.prod(shape))
    mistakes = misclassified.find_mistakes(
        0, MLP(TrialSpec(hidden=()), 10, 0 * ones, ones).eval(), split
    )
    assert mistakes.total > 0
    assert bool(mistakes.shown) == bool(mode)
    for each in mistakes.shown:
        picture = Image.open(io.BytesIO(base64.b64decode(each.png)))
        assert (picture.mode, picture.size) == (mode, (4, 6))
        raw = inputs[each.row].numpy()
        expected = raw if mode == "L" else np.stack(list(raw), axis=-1)
        np.testing.assert_allclose(np.asarray(picture), expected * (255 / 250), atol=0.51)


def test_mistakes_are_read_back_from_their_file(digits: PreparedDataset) -> None:
    splits = load_splits(digits.training)
    model = MLP(TrialSpec(hidden=()), 10, splits.mean, splits.inv_std).eval()
    mistakes = misclassified.find_mistakes(0, model, splits.validation)
    assert Mistakes.from_file(mistakes.to_file()) == mistakes
