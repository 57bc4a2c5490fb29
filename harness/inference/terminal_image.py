"""Pictures in a terminal: two pixels a character, one above the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rich.columns import Columns
from rich.console import Console, Group
from rich.style import Style
from rich.text import Text

from harness.inference.test_examples import Example, Predicted

UPPER_HALF = "\u2580"
NAMES = 22
"""Columns for a class's name."""


def show(found: Predicted, console: Console) -> None:
    """In a terminal with the pictures, as many beside one another as fit; else a line each."""
    if console.is_terminal and found.examples and found.examples[0].picture is not None:
        console.print(Columns([_cell(example) for example in found.examples], padding=(1, 2)))
    else:
        for example in found.examples:
            print(f"{example.row:>6}  {_said(example)}")
    if found.without_pictures:
        print(f"without pictures: {found.without_pictures}")
    print(found.summary)


def _said(example: Example) -> str:
    verdict = "right" if example.right else "WRONG"
    return (
        f"{verdict}  true {example.true[:NAMES]:<{NAMES}}  predicted {example.predicted[:NAMES]} "
        f"({example.probability:.2f})"
    )


def _cell(example: Example) -> Group:
    assert example.picture is not None
    colour, mark = ("green", "") if example.right else ("bold red", " ✗")
    lines = [
        Text(f"{example.row}", style="dim"),
        Text(f"true {example.true}"),
        Text(f"said {example.predicted} ({example.probability:.2f}){mark}", style=colour),
    ]
    return Group(*lines, picture(example.picture))


def picture(pixels: npt.NDArray[Any]) -> Text:
    """uint8 [height, width] or [3, height, width], as half as many lines of `width` columns.

    Values are stretched to the brightest one.
    """
    colours = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    colours = colours.astype(int) * 255 // max(1, int(pixels.max()))
    if len(colours) % 2:
        colours = np.concatenate([colours, np.zeros_like(colours[:1])])
    text = Text()
    for above, below in zip(colours[::2], colours[1::2], strict=True):
        for upper, lower in zip(above, below, strict=True):
            text.append(UPPER_HALF, Style(color=_hex(upper), bgcolor=_hex(lower)))
        text.append("\n")
    return text


def _hex(colour: npt.NDArray[Any]) -> str:
    return "#" + "".join(f"{int(value):02x}" for value in colour)
