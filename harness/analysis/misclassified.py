"""The validation images that a model misclassifies with the most confidence.

They come from the validation set because the test set stays sealed: whoever sees its images will
tune to them.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import StoreError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.data.torch_datasets import Split
    from harness.trial import Loss

MISTAKES_FILE = "mistakes.json"
MAX_SHOWN = 24
BATCH = 500


@dataclass(frozen=True)
class Mistake:
    """One misclassified validation example. Stored as JSON by field name."""

    row: int
    """The row in the files of the training set."""
    true: int
    predicted: int
    confidence: float
    """The predicted probability of `predicted`."""
    png: str
    """The image, in base64."""


@dataclass(frozen=True)
class Mistakes:
    """The mistakes of one model, the most confident first. Stored as JSON by field name."""

    number: int
    """The trial's number."""
    total: int
    """The number of all mistakes on the validation set."""
    shown: tuple[Mistake, ...]
    run: str = ""
    """The uid of the model's run; empty in older records, whose model is the trial's."""
    calibrated: bool = False
    """Whether the registered model's probabilities are scaled, see `[study] calibrated`."""

    def to_file(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_file(cls, content: bytes) -> Mistakes:
        """Read what `to_file` wrote. Raises StoreError."""
        try:
            values = json.loads(content)
            return cls(**values | {"shown": tuple(Mistake(**each) for each in values["shown"])})
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{MISTAKES_FILE} of a run cannot be read ({error}); run `harness doctor` to find "
                "the run"
            ) from error


def find_mistakes(
    number: int, model: nn.Module, split: Split, loss: Loss = "cross-entropy"
) -> Mistakes:
    """Find the mistakes of a trial's model on a split; examples that are not images have no list.

    `loss` is the one that the model was trained with.
    """
    import torch  # here, so that writing a report from the record does not import it

    from harness.engine.losses import compute_probabilities

    probabilities = []
    with torch.inference_mode():
        for start in range(0, len(split), BATCH):
            logits = model(split.inputs[split.rows[start : start + BATCH]])
            probabilities.append(compute_probabilities(loss, logits))
    return list_mistakes(number, torch.cat(probabilities), split)


def list_mistakes(number: int, probabilities: Tensor, split: Split) -> Mistakes:
    """Return the mistakes of a model with these probabilities [n, C] on a split."""
    import torch

    confidence, predicted = probabilities.max(1)
    true = split.labels[split.rows]
    wrong = (predicted != true).nonzero().flatten()
    ranked = wrong[confidence[wrong].argsort(descending=True, stable=True)][:MAX_SHOWN].tolist()
    shape = split.inputs.shape[1:]
    are_images = split.inputs.dtype == torch.uint8 and (
        len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)
    )
    brightest = int(split.inputs[split.rows].max()) if are_images else 255
    shown = tuple(
        Mistake(
            int(split.rows[index]),
            int(true[index]),
            int(predicted[index]),
            float(confidence[index]),
            encode_png(split.inputs[split.rows[index]].numpy(), brightest),
        )
        for index in ranked
        if are_images
    )
    return Mistakes(number, len(wrong), shown)


def encode_png(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], brightest: int) -> str:
    """Return a grey [H, W] or RGB [3, H, W] image of 0..brightest as PNG in base64."""
    from PIL import Image

    if image.ndim == 3:
        image = image.transpose(1, 2, 0)  # Pillow's order
    stretched = image.astype(np.float32) * (255 / max(1, brightest))
    stream = io.BytesIO()
    Image.fromarray(stretched.round().astype(np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
