"""`harness new-study`: a commented study file that fits the data it looked at.

The data is prepared as a study would, into a temporary folder: what a study could not train on is
refused here. Of the test part nothing but its size is used.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.config.loader import is_shipped
from harness.config.study_template import described, study_text
from harness.data import builtin, custom
from harness.data.prepare import prepare
from harness.errors import ConfigError, DataError, did_you_mean
from harness.results import Task

ENOUGH = 20_000
"""Examples of which a tenth is enough to validate on; of fewer it is a fifth."""
GUESSED = "guessed, for these are many numbers or no whole ones; or --task classes"


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
    ignore: Sequence[str] = (),
    task: Task | None = None,
    data_dir: Path | None = None,
) -> NewStudy:
    """Look at the dataset or path `data` and write a study file for it, never over another one.

    `target` is the column of a table that is predicted, those to `ignore` are left out beside the
    useless ones; `task` is guessed where it is None. Raises UserError.
    """
    path = output or Path("studies") / f"{_name(data)}.toml"
    if path.suffix != ".toml":
        raise ConfigError(f"--output {path}: a study file ends in .toml")
    if path.exists():
        raise ConfigError(f"{path} is there already; give another name by --output, or delete it")
    try:
        keys, why = _keys(data, target, ignore, task, data_dir)
        with tempfile.TemporaryDirectory() as cache:
            options: dict[str, Any] = {"split_seed": 0, "normalize": True, "download": False}
            options |= {"data_dir": data_dir, "cache": Path(cache)}
            found = prepare(data, validation=0.2, test=0.2, **keys, **options)
            if sum(found.sizes.values()) >= ENOUGH:
                keys["validation"] = 0.1
                found = prepare(data, test=0.2, **keys, **options)
            said = described(found)
            text = study_text(found, data, path, keys, why, said)
    except DataError as error:
        raise DataError(_as_options(str(error))) from error
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
    base = stem.name if stem.is_dir() or data in builtin.DATASETS else stem.stem
    name = re.sub(r"[^a-z0-9._-]+", "-", base.lower()).strip("-._")[:60] or "mine"
    return f"my-{name}" if is_shipped(name) else name


def _as_options(said: str) -> str:
    """An error of preparing, which names keys of a study file: there is none yet."""
    for columns in re.findall(r"\[data\] ignore = (\[.*?\])", said):
        options = " ".join(f"--ignore {shlex.quote(each)}" for each in json.loads(columns))
        said = said.replace(f"[data] ignore = {columns}", options)
    said = re.sub(r'(\[data\] )?task = "(\w+)"', r"--task \2", said)
    said = said.replace("leave out [data] task to tell", "give --task classes to tell")
    return re.sub(r"\[data\] (target|ignore|task)\b", r"--\1", said)


def _keys(
    data: str, target: str, ignore: Sequence[str], task: Task | None, data_dir: Path | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Keys of [data] that this data needs, and why each does."""
    if data in builtin.DATASETS or not custom.is_path(data):
        keys: dict[str, Any] = {"target": target, "ignore": list(ignore), "task": task or "classes"}
        return {key: value for key, value in keys.items() if value and value != "classes"}, {}
    path = custom.locate(data, builtin.root_of(data_dir)[0])
    if path.is_dir():
        from harness.data import image_folder

        size, odd = image_folder.fitting_size(image_folder.listed(path, data), data)
        keys = {"size": list(size)} if size else {}
        why = {"size": f"height and width that all are brought to; {odd}"}
    elif path.suffix.lower() in custom.TABLES:
        from harness.data import tabular

        table = tabular.read(path, data, tuple(ignore), strict=False)
        if target not in table.columns:
            known = did_you_mean(target, table.columns)
            raise DataError(
                f"--target: {data} has no column '{target}'{known}"
                if target
                else f"--target: {data} is a table; name the column to predict{known}"
            )
        useless = tabular.useless(table.drop(columns=target))
        keys = {"ignore": [*ignore, *useless]} if ignore or useless else {}
        why = {"ignore": ", ".join(f"{name}: {what}" for name, what in useless.items())}
        if task is None and (task := tabular.guess(table[target])) == "regression":
            why["task"] = GUESSED
    else:
        from harness.data import npz

        keys, why = {}, {}
        if task is None and (task := npz.guess(path, data)) == "regression":
            why["task"] = GUESSED
    if target:
        keys["target"] = target
    if ignore:
        keys.setdefault("ignore", list(ignore))
    if task == "regression":
        keys["task"] = task
    return keys, why
