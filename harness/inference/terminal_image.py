"""Print test examples in a terminal, their images as two pixels a character."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rich.columns import Columns
from rich.console import Console, Group
from rich.style import Style
from rich.text import Text

from harness.inference.test_examples import Example, ExamplePredictions

UPPER_HALF = "\u2580"
MAX_NAME = 22
"""Characters of a class name."""


def print_predictions(predictions: ExamplePredictions, console: Console) -> None:
    """Print the examples: with their images in a terminal, side by side; else one line each."""
    examples = predictions.examples
    if console.is_terminal and examples and examples[0].image is not None:
        console.print(Columns([_render_example(example) for example in examples], padding=(1, 2)))
    else:
        for example in examples:
            print(f"{example.row:>6}  {_format_example(example)}")
    if predictions.missing_images:
        print(f"without images: {predictions.missing_images}")
    print(predictions.summary)


def _format_example(example: Example) -> str:
    mark = "right" if example.is_right else "WRONG"
    true, predicted = example.true[:MAX_NAME], example.predicted[:MAX_NAME]
    return f"{mark}  true {true:<{MAX_NAME}}  predicted {predicted} ({example.probability:.2f})"


def _render_example(example: Example) -> Group:
    assert example.image is not None
    colour, mark = ("green", "") if example.is_right else ("bold red", " ✗")
    lines = [
        Text(f"{example.row}", style="dim"),
        Text(f"true {example.true}"),
        Text(f"predicted {example.predicted} ({example.probability:.2f}){mark}", style=colour),
    ]
    return Group(*lines, render_image(example.image))


def render_image(pixels: npt.NDArray[Any]) -> Text:
    """Render uint8 [height, width] or [3, height, width] as height / 2 lines of `width` columns.

    Values are scaled so that the brightest is 255.
    """
    colours = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    colours = colours.astype(int) * 255 // max(1, int(pixels.max()))
    if len(colours) % 2:
        colours = np.concatenate([colours, np.zeros_like(colours[:1])])
    text = Text()
    for above, below in zip(colours[::2], colours[1::2], strict=True):
        for upper, lower in zip(above, below, strict=True):
            text.append(
                UPPER_HALF, Style(color=_format_colour(upper), bgcolor=_format_colour(lower))
            )
        text.append("\n")
    return text


def _format_colour(colour: npt.NDArray[Any]) -> str:
    return "#" + "".join(f"{int(value):02x}" for value in colour)
