"""What a new study file says: the data in words, its keys, a space that fits its size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.data import builtin, custom
from harness.data.arrays import mapped
from harness.data.prepare import Prepared, TrainingFiles

SHOWN = 10
"""Classes named in a comment."""
CHUNK = 1000
"""Pictures in memory at once."""


def described(found: Prepared) -> str:
    """`900 grey pictures of 16x16 in 10 classes: 576 to train, 144 to validate, 180 to test`."""
    files, sizes = found.training, found.sizes
    total = sum(sizes.values())
    if len(files.shape) == 2 or (files.shape[0] == 3 and len(files.shape) == 3):
        colour = "colour" if len(files.shape) == 3 else "grey"
        what = f"{total:,} {colour} pictures of {files.shape[-2]}x{files.shape[-1]}"
    else:
        what = f"{total:,} examples of {'x'.join(map(str, files.shape))} features"
    told = f"in {len(files.classes)} classes" if files.classes else f"to predict {_target(files)}"
    held_out = "" if found.own_test else ", held out"
    return (
        f"{what} {told}: {sizes['train']:,} to train, {sizes['validation']:,} to validate, "
        f"{sizes['test']:,} to test{held_out}"
    )


def _in_colour(files: TrainingFiles) -> int:
    """Of the training part's pictures those that are not grey."""
    if len(files.shape) != 3 or files.shape[0] != 3:
        return 0
    inputs, found = mapped(files.inputs), 0
    rows = mapped(files.train_rows)
    for start in range(0, len(rows), CHUNK):
        some = inputs[rows[start : start + CHUNK]]
        found += int((some != some[:, :1]).any((1, 2, 3)).sum())
    return found


def _target(files: TrainingFiles) -> str:
    mean, std = files.target_mean, files.target_std
    return f"{files.target or 'a number'} ({_short(mean)} ± {_short(std)})"


def _short(number: float) -> str:
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.3g}"


def study_text(
    found: Prepared,
    data: str,
    path: Path,
    keys: dict[str, Any],
    why: dict[str, str],
    said: str,
) -> str:
    files, examples = found.training, found.sizes["train"]
    lines = [f"# harness run-study {path.stem if path.parent == Path('studies') else path}"]
    lines += [f"# {said}"]
    if files.classes:
        counts = found.fairness.parts["train"].by_class
        ranked = sorted(zip(counts, files.classes, strict=True))
        named = ", ".join(files.classes[:SHOWN]) + (", ..." if len(counts) > SHOWN else "")
        lines += [
            f"# classes: {named}; to train on {ranked[0][0]:,} ({ranked[0][1]}) to "
            f"{ranked[-1][0]:,} ({ranked[-1][1]})"
        ]
    if (coloured := _in_colour(files)) and 2 * coloured < examples:
        lines += [
            f"# of the pictures to train on {coloured:,} are in colour, all others grey; if those "
            "were grey too, the network would have a third of the inputs"
        ]
    small = examples < 5000
    epochs = 40 if examples < 2000 else 30 if small else 20 if examples < 30_000 else 12
    batches = [size for size in (8, 16, 32, 64, 128, 256) if 6 * size <= examples][-3:]
    objective = "val/accuracy" if files.classes else "val/rmse"
    if files.columns:
        named = ", ".join(files.columns[:SHOWN]) + (", ..." if len(files.columns) > SHOWN else "")
        lines += [f"# features: {named}"]
    lines += [
        "",
        "[study]",
        "trials = 50",
        f'# objective = "{objective}" # by default; or "val/loss"',
        '# sampler = "tpe" # by default; or "random", "qmc", "grid"',
        '# pruner = "median" # by default; or "none", "successive-halving", "hyperband"',
        "",
        "[data]",
        f"name = {_toml(_path(data))}",
    ]
    for key, value in keys.items():
        if key != "validation":
            comment = f" # {why[key]}" if why.get(key) else ""
            lines += [f"{key} = {_toml(value)}{comment}"]
    lines += [f"validation = {keys.get('validation', 0.2)} # of what is not the test part"]
    if not found.own_test:
        lines += ["test = 0.2 # held out here and sealed, for the data has no test part of its own"]
    lines += [
        "",
        "[train] # what all trials share; harness/trial.py explains every field",
        f"epochs = {epochs}",
        'optimizer = "adam"',
        'schedule = "cosine"',
    ]
    if len(files.shape) > 1 and files.dtype == "uint8":
        lines += [
            '# augment = ["shift", "rotate", "scale"] # anew each epoch; also "flip", "erase"'
        ]
    lines += [
        "",
        "[space] # what is sampled: a list is a choice, a table a range",
        f"depth = {{ low = 1, high = {3 if small else 4} }}",
        f"width = {{ low = {16 if small else 32}, high = {256 if small else 512}, log = true }}"
        " # drawn for each layer",
        "learning_rate = { low = 1e-4, high = 3e-2, log = true }",
        f"batch_size = {batches or [max(1, examples // 2)]}",
        'batch_norm = ["none", "before"]',
        f"dropout = {{ low = 0.0, high = {0.5 if small else 0.3} }}",
        "l2 = { low = 1e-6, high = 1e-3, log = true, zero = 0.5 } # half the draws are exactly 0",
        "",
        "[confirm] # the best settings again, over seeds that the search did not use",
        "top = 3",
        "seeds = 3",
    ]
    return "\n".join(map(_on_one_line, lines)) + "\n"


def _path(data: str) -> str:
    """A dataset's name as it is; a folder's so that it is one wherever the study is read."""
    spelt = data in builtin.DATASETS or "/" in data or data.lower().endswith(custom.FILES)
    return data if spelt else f"./{data}"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _on_one_line(line: str) -> str:
    return "".join(each if each.isprintable() else " " for each in line)
