"""`harness new-study`: a commented study file that fits the data it looked at.

The data is prepared as a study would, into a temporary folder: what a study could not train on is
refused here. Of the test part nothing but its size is used.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.data import own, sources
from harness.data.files import Prepared, TrainingFiles, prepare
from harness.errors import ConfigError, DataError, did_you_mean
from harness.studyfiles import is_shipped
from harness.trial import Task

ENOUGH = 20_000
"""Examples of which a tenth is enough to validate on; of fewer it is a fifth."""
SHOWN = 10
"""Classes named in a comment."""


@dataclass(frozen=True)
class NewStudy:
    """What was written, and what it is about."""

    path: str
    study: str
    """What `harness run-study` takes."""
    data: str
    """In words."""
    task: Task

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        return (
            f"wrote     {self.path}\n"
            f"data      {self.data}\n"
            f"look      harness run-study {self.study} --dry-run   # how long it will take\n"
            f"then      harness run-study {self.study}"
        )


def new_study(
    data: str,
    output: Path | None = None,
    *,
    target: str = "",
    task: Task | None = None,
    data_dir: Path | None = None,
) -> NewStudy:
    """Look at the dataset or path `data` and write a study file for it, never over another one.

    `target` is the column of a table that is predicted; `task` is guessed where it is None. Raises
    UserError.
    """
    path = output or Path("studies") / f"{_name(data)}.toml"
    if path.suffix != ".toml":
        raise ConfigError(f"--output {path}: a study file ends in .toml")
    if path.exists():
        raise ConfigError(f"{path} is there already; give another name by --output, or delete it")
    keys, why = _keys(data, target, task, data_dir)
    with tempfile.TemporaryDirectory() as cache:
        options: dict[str, Any] = {"split_seed": 0, "normalize": True, "download": False}
        options |= {"data_dir": data_dir, "cache": Path(cache)}
        found = prepare(data, validation=0.2, test=0.2, **keys, **options)
        if sum(found.sizes.values()) >= ENOUGH:
            keys["validation"] = 0.1
            found = prepare(data, test=0.2, **keys, **options)
    said = _said(found)
    text = _text(found, data, path, keys, why, said)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; give another name by --output") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
    study = path.stem if path.parent == Path("studies") else str(path)
    return NewStudy(str(path), study, said, found.training.task)


def _name(data: str) -> str:
    """Of the study: the dataset's or the file's, made fit, and no shipped study's."""
    stem = Path(data).expanduser().absolute()
    base = stem.name if stem.is_dir() or data in sources.DATASETS else stem.stem
    name = re.sub(r"[^a-z0-9._-]+", "-", base.lower()).strip("-._")[:60] or "mine"
    return f"my-{name}" if is_shipped(name) else name


def _keys(
    data: str, target: str, task: Task | None, data_dir: Path | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Keys of [data] that this data needs, and why each does."""
    if data in sources.DATASETS or not own.is_path(data):
        keys: dict[str, Any] = {"target": target, "task": task or "classes"}
        return {key: value for key, value in keys.items() if value and value != "classes"}, {}
    path = own.locate(data, sources.root_of(data_dir)[0])
    if path.is_dir():
        from harness.data import pictures

        size = pictures.fitting_size(pictures.listed(path, data), data)
        keys = {"size": list(size)} if size else {}
        why = {"size": "height and width that all are brought to"}
    elif path.suffix.lower() in own.TABLES:
        from harness.data import tables

        table = tables.read(path, data, strict=False)
        if target not in table.columns:
            known = did_you_mean(target, table.columns)
            raise DataError(
                f"--target: {data} has no column '{target}'{known}"
                if target
                else f"--target: {data} is a table; name the column to predict{known}"
            )
        useless = tables.useless(table.drop(columns=target))
        keys = {"ignore": list(useless)} if useless else {}
        why = {"ignore": ", ".join(f"{name}: {what}" for name, what in useless.items())}
        task = task or tables.guess(table[target])
    else:
        from harness.data import npz

        keys, why = {}, {}
        task = task or npz.guess(path, data)
    if target:
        keys["target"] = target
    if task == "regression":
        keys["task"] = task
    return keys, why


def _said(found: Prepared) -> str:
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


def _target(files: TrainingFiles) -> str:
    mean, std = files.target_mean, files.target_std
    return f"{files.target or 'a number'} ({_short(mean)} ± {_short(std)})"


def _short(number: float) -> str:
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.3g}"


def _text(
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
            comment = f" # {why[key]}" if key in why else ""
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
    spelt = data in sources.DATASETS or "/" in data or data.lower().endswith(own.FILES)
    return data if spelt else f"./{data}"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _on_one_line(line: str) -> str:
    return "".join(each if each.isprintable() else " " for each in line)
