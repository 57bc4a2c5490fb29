"""The validation pictures that a model gets wrong with the most confidence.

Of the validation part, for the test set stays sealed: who looks at its pictures will tune to them.
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
    from torch import nn

    from harness.data.torch_datasets import Split
    from harness.trial import Loss

FILE = "mistakes.json"
MOST = 24
BATCH = 500


@dataclass(frozen=True)
class Mistake:
    """One validation example, and what the model takes it for."""

    row: int
    """In the training part's files."""
    true: int
    predicted: int
    confidence: float
    """The model's probability of `predicted`."""
    png: str
    """The picture in base64."""


@dataclass(frozen=True)
class Mistakes:
    """The most confident ones of one trial, the most confident first."""

    number: int
    """The trial."""
    total: int
    """All its mistakes on the validation part."""
    shown: tuple[Mistake, ...]
    run: str = ""
    """The uid of the run whose model makes them; older records leave it out, where it is the
    trial's own."""

    def to_file(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_file(cls, content: bytes) -> Mistakes:
        """Raises StoreError."""
        try:
            values = json.loads(content)
            return cls(**values | {"shown": tuple(Mistake(**each) for each in values["shown"])})
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{FILE} of a run cannot be read ({error}); `harness doctor` finds which"
            ) from error


def find(
    number: int, model: nn.Module, part: Split, trained_by: Loss = "cross-entropy"
) -> Mistakes:
    """Those of `model`, trial `number`, on `part`; none are shown of what is no picture."""
    import torch  # here, so that a report is written from the record without it

    from harness.engine.losses import compute_probabilities

    confidence, predicted = [], []
    with torch.inference_mode():
        for start in range(0, len(part), BATCH):
            logits = model(part.inputs[part.rows[start : start + BATCH]])
            best = compute_probabilities(trained_by, logits).max(1)
            confidence.append(best.values)
            predicted.append(best.indices)
    said, sure = torch.cat(predicted), torch.cat(confidence)
    true = part.labels[part.rows]
    wrong = (said != true).nonzero().flatten()
    ranked = wrong[sure[wrong].argsort(descending=True, stable=True)][:MOST].tolist()
    shape = part.inputs.shape[1:]
    pictures = part.inputs.dtype == torch.uint8 and (
        len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)
    )
    brightest = int(part.inputs[part.rows].max()) if pictures else 255
    shown = tuple(
        Mistake(
            int(part.rows[index]),
            int(true[index]),
            int(said[index]),
            float(sure[index]),
            as_png(part.inputs[part.rows[index]].numpy(), brightest),
        )
        for index in ranked
        if pictures
    )
    return Mistakes(number, len(wrong), shown)


def as_png(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], brightest: int) -> str:
    """A grey picture [height, width] or RGB [3, height, width] of 0..brightest as PNG in base64."""
    from PIL import Image

    if picture.ndim == 3:
        picture = picture.transpose(1, 2, 0)  # as Pillow has it
    stretched = picture.astype(np.float32) * (255 / max(1, brightest))
    stream = io.BytesIO()
    Image.fromarray(stretched.round().astype(np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
