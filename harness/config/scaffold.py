"""`harness new-study`: write a commented study file that fits a dataset.

The data is prepared as a study would prepare it, into a temporary folder: data that a study could
not train on is refused here. Only the size of the test set is used.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from harness.config import tabular_space
from harness.config.data_keys import choose_data_keys, parse_data_overrides
from harness.config.new_study import NewStudy
from harness.config.study_files import is_shipped
from harness.config.study_tables import StudyTable
from harness.data import builtin, custom
from harness.data.cache import map_array
from harness.data.prepare import PreparedDataset, prepare
from harness.data.table import format_toml_key
from harness.data.training_files import TrainingFiles
from harness.errors import ConfigError, DataError
from harness.metrics import OBJECTIVES
from harness.results import Task
from harness.trial import AugmentName

LARGE = 20_000
"""From this many examples on, a tenth is enough as the validation set; of fewer it is a fifth."""
MAX_NAMES = 10
"""Classes or features listed in a comment."""
KEYS = (
    "(sheet|encoding|decimal|missing|max_categories|own_validation|validation|test|group|time|"
    "stratify)"
)
"""The keys of [data] that are set by --set."""
OVERRULE = {
    "ignore": "to keep a column, delete its name from ignore in {path}",
    "sheet": "to read another sheet, add --set 'data.sheet=NAME'",
    "size": "to resize to another size, add --set 'data.size=[HEIGHT,WIDTH]'",
    "own_validation": "to split the data anew, add --set data.validation=0.2",
    "task": "to predict classes, add --task classes",
}
"""How to change each key that is guessed."""
CHUNK = 1000
"""Images in memory at a time."""


def write_new_study(
    data: str,
    output: Path | None = None,
    *,
    target: str = "",
    ignore: Sequence[str] = (),
    task: Task | None = None,
    overrides: Sequence[str] = (),
    data_dir: Path | None = None,
) -> NewStudy:
    """Write a study file for a dataset. An existing file is never replaced.

    Args:
        data: the name of a built-in dataset, or a path.
        output: the file to write; by default one in ./studies, named after the data.
        target: the column of a table to predict.
        ignore: columns of a table to leave out; columns without information are left out anyway.
        task: guessed from the target if None.
        overrides: further keys of [data], such as ["data.sheet=Prices"].
        data_dir: the folder of the built-in datasets.

    Raises:
        ConfigError: the file cannot be written.
        DataError: a study could not train on this data.
    """
    path = output or Path("studies") / f"{_choose_name(data)}.toml"
    if path.suffix != ".toml":
        raise ConfigError(f"--output {path}: a study file ends in .toml")
    if path.exists():
        raise ConfigError(f"{path} exists already; choose another name with --output, or delete it")
    more = parse_data_overrides(data, overrides)
    try:
        keys, comments = choose_data_keys(data, target, ignore, task, data_dir, more)
        with tempfile.TemporaryDirectory() as cache:
            options: dict[str, Any] = {"split_seed": 0, "normalize": True, "download": False}
            options |= {"data_dir": data_dir, "cache": Path(cache)}
            options |= {"validation": 0.2, "test": 0.2}
            prepared = prepare(data, **(options | keys))
            if (
                sum(prepared.sizes.values()) >= LARGE
                and not {"validation", "own_validation"} & keys.keys()
            ):
                keys["validation"] = 0.1
                prepared = prepare(data, **(options | keys))
            study = path.stem if path.parent == Path("studies") else str(path)
            description = describe_data(prepared)
            values = _template_values(prepared, data, keys, comments)
            text = _render(values | {"study": study, "description": description})
    except DataError as error:
        raise DataError(_rewrite_as_options(str(error))) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists already; choose another name with --output") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
    chosen = (
        f"{key} = {_to_toml(keys[key])}: {why}; {OVERRULE[key].format(path=path)}"
        for key, why in comments.items()
        if key in keys
    )
    notes = (*chosen, *map(_rewrite_as_options, prepared.notes))
    return NewStudy(str(path), study, description, prepared.training.task, notes, prepared.report)


def describe_data(prepared: PreparedDataset) -> str:
    """`900 grey images of 16x16 in 10 classes: 576 to train, 144 to validate, 180 to test`."""
    files, sizes = prepared.training, prepared.sizes
    total, shape = sum(sizes.values()), files.shape
    if len(shape) == 2 or (shape[0] == 3 and len(shape) == 3):
        color = "colour" if len(shape) == 3 else "grey"
        examples = f"{total:,} {color} images of {shape[-2]}x{shape[-1]}"
    else:
        features = "1 feature" if shape == (1,) else f"{'x'.join(map(str, shape))} features"
        examples = f"{total:,} examples of {features}"
    if files.classes:
        task = f"in {len(files.classes)} classes"
    else:
        mean, std = (_format_number(value) for value in (files.target_mean, files.target_std))
        task = f"to predict {files.target or 'a number'} ({mean} ± {std})"
    held_out = "" if prepared.own_test else ", held out"
    return (
        f"{examples} {task}: {sizes['train']:,} to train, {sizes['validation']:,} to validate, "
        f"{sizes['test']:,} to test{held_out}"
    )


def _choose_name(data: str) -> str:
    """A name for the study: that of the dataset or file, unless a shipped study has it."""
    path = Path(data).expanduser().absolute()
    base = path.name if path.is_dir() or data in builtin.DATASETS else path.stem
    name = re.sub(r"[^a-z0-9._-]+", "-", base.lower()).strip("-._")[:60] or "mine"
    return f"my-{name}" if is_shipped(name) else name


def _rewrite_as_options(message: str) -> str:
    """Name command-line options instead of the keys of a study file, which is not written yet."""
    for columns in re.findall(r"\[data\] ignore = (\[.*?\])", message):
        options = " ".join(f"--ignore {shlex.quote(each)}" for each in json.loads(columns))
        message = message.replace(f"[data] ignore = {columns}", options)
    kinds = r'(set )?\[data\.columns\] ("?)([^"=]+)\2 = "([\w-]+)"'
    message = re.sub(kinds, lambda each: _format_kind(each[3], each[4]), message)
    message = re.sub(r'(\[data\] )?task = "(\w+)"', r"--task \2", message)
    keys = r"(set )?\[data\] " + KEYS + r' = (\[\]|[\d.]+|true|"([^"]*)")'

    def format_option(match: re.Match[str]) -> str:
        value = shlex.quote(f"data.{match[2]}={match[3] if match[4] is None else match[4]}")
        return f"{'add ' if match[1] else ''}--set {value}"

    message = re.sub(keys, format_option, message)
    message = message.replace("leave out [data] task for", "add --task classes for")
    message = message.replace("[data] name: ", "PATH|DATASET: ")  # as in `harness new-study --help`
    message = re.sub(r"\[data\] (target|ignore|task)\b", r"--\1", message)
    return re.sub(rf"\[data\] {KEYS}\b", r"--set data.\1", message)


def _format_kind(column: str, kind: str) -> str:
    return f"--set {shlex.quote(f'data.columns.{column}={kind}')}"


def _template_values(
    prepared: PreparedDataset, data: str, keys: dict[str, Any], comments: dict[str, str]
) -> dict[str, Any]:
    """What the template shows of the data, and ranges that fit its size."""
    files, examples = prepared.training, prepared.sizes["train"]
    is_small = examples < 5000
    batches = [size for size in (8, 16, 32, 64, 128, 256) if 6 * size <= examples][-3:]
    color_images = _count_color_images(files)
    fields = StudyTable.model_fields
    pruner = fields["pruner"].default
    return {
        **_class_values(prepared),
        **tabular_space.list_template_values(prepared),
        "color_images": f"{color_images:,}" if 0 < 2 * color_images < examples else "",
        "features": _join_names(files.columns),
        "objective": OBJECTIVES[files.task][0],
        "other_objectives": OBJECTIVES[files.task][1:4],
        "samplers": [name for name in get_args(fields["sampler"].annotation) if name != "list"],
        "pruner": pruner,
        "other_pruners": [name for name in get_args(fields["pruner"].annotation) if name != pruner],
        "name": _to_toml(_spell_path(data)),
        "data_keys": [
            (key, _to_toml(value), comments.get(key, ""))
            for key, value in keys.items()
            if key != "validation"
        ],
        "validation": 0 if keys.get("own_validation") else keys.get("validation", 0.2),
        "holds_out_test": not prepared.own_test,
        "epochs": 40 if examples < 2000 else 30 if is_small else 20 if examples < 30_000 else 12,
        "is_image": len(files.shape) > 1 and files.dtype == "uint8",
        "augmentations": get_args(AugmentName),
        "is_small": is_small,
        "batch_sizes": batches or [max(1, examples // 2)],
    }


def _class_values(prepared: PreparedDataset) -> dict[str, str]:
    """The names of the classes, and the sizes of the smallest and of the largest one."""
    classes = prepared.training.classes
    if not classes:
        return {"classes": "", "smallest_class": "", "largest_class": ""}
    counts = prepared.data_quality.parts["train"].by_class
    ranked = [f"{count:,} ({name})" for count, name in sorted(zip(counts, classes, strict=True))]
    return {
        "classes": _join_names(classes),
        "smallest_class": ranked[0],
        "largest_class": ranked[-1],
    }


def _count_color_images(files: TrainingFiles) -> int:
    """The images of the training set whose three channels differ."""
    if len(files.shape) != 3 or files.shape[0] != 3:
        return 0
    inputs, rows, count = map_array(files.inputs), map_array(files.train_rows), 0
    for start in range(0, len(rows), CHUNK):
        images = inputs[rows[start : start + CHUNK]]
        count += int((images != images[:, :1]).any((1, 2, 3)).sum())
    return count


def _render(values: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.config", "templates"),
        autoescape=False,  # TOML, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: _on_one_line(value) if isinstance(value, str) else value,
    )
    environment.filters["toml"] = _to_toml
    environment.filters["quoted"] = lambda names: ", ".join(f'"{name}"' for name in names)
    return environment.get_template("new_study.toml.j2").render(values)


def _spell_path(data: str) -> str:
    """A dataset's name as it is; a folder as a path that cannot be taken for a name."""
    is_clear = data in builtin.DATASETS or "/" in data
    return data if is_clear or data.lower().endswith(custom.FILE_SUFFIXES) else f"./{data}"


def _to_toml(value: Any) -> str:
    """A string, an integer, a list or a table on one line, with escapes for what is not printable.

    JSON is TOML here; tomli_w would spread a list over lines.
    """
    if isinstance(value, dict):
        items = (f"{format_toml_key(key)} = {_to_toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(items)} }}"
    text = json.dumps(value, ensure_ascii=False)
    hidden = {each for each in text if not each.isprintable()}
    for each in hidden:
        code = ord(each)
        text = text.replace(each, f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}")
    return text


def _on_one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")


def _format_number(number: float) -> str:
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.3g}"
