"""Check the arguments of the Python API: a wrong type is one line that names the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.sweep.options import RunOptions

TEXTS = ("warm_start", "tracking_uri", "storage", "ray")
PATHS = ("data_dir", "home")
FLAGS = ("confirm", "test")


def make_options(**values: Any) -> RunOptions:
    """Return the options of a run. Raises ConfigError."""
    for names, kinds, what in (
        (TEXTS, str, "a string"),
        (PATHS, str | Path, "a path"),
        (FLAGS, bool, "True or False"),
    ):
        for name in names:
            value = values.get(name)
            if value is not None and not isinstance(value, kinds):
                raise ConfigError(f"{name}: must be {what}, not {value!r}")
    values["timeout"] = format_seconds(values.get("timeout"))
    overrides = values.get("overrides", ())
    if isinstance(overrides, str) or not all(isinstance(each, str) for each in overrides):
        raise ConfigError(
            f'overrides: must be a list such as ["train.epochs=3"], not {overrides!r}'
        )
    try:
        return RunOptions(**values)
    except ConfigError as error:  # an option of the command line: its name without the dashes
        raise ConfigError(str(error).removeprefix("--")) from None


def format_seconds(duration: Any) -> Any:
    """Return a number of seconds as `30s`; anything else as it is."""
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
    return f"{duration:f}".rstrip("0").rstrip(".") + "s" if is_number else duration
