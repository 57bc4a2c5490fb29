"""The studies that can be run: those in ./studies and the built-in ones."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from harness.analysis.formatting import format_count
from harness.config.study_files import StudyInfo, find_study, list_studies, read_study_info
from harness.errors import HarnessError
from harness.system.terminal import escape

MIN_WIDTH = 20
"""The least width of the descriptions."""
MAX_REASON = 50
"""Characters of the reason why a study cannot be read; `harness run-study` shows all of it."""
TIME_HEADER = "time"


def list_ready_studies() -> list[dict[str, Any]]:
    """Return one row for each study file, with the keys of a recorded study too.

    `error` says why a study cannot be run.
    """
    from harness.config.loader import load

    def find_error(study: StudyInfo) -> str:
        try:
            return _find_missing_data(load(study.path).data.name)
        except HarnessError as error:
            return "cannot be read: " + str(error).removeprefix(f"{study.path}: ")

    no_record = {"done": 0, "best": None, "seeds": 0, "objective": None, "test": None}
    return [
        {
            "name": study.name,
            "dataset": study.dataset,
            **no_record,
            "sealed": False,
            "started": None,
            "recorded": False,
            "description": study.description,
            "minutes": study.minutes,
            "error": find_error(study),
            "file": str(study.path),
        }
        for study in list_studies()
    ]


def _find_missing_data(name: str) -> str:
    """Return which data of a study is missing; empty if it is there or is downloaded."""
    from harness.data.builtin import DATASETS
    from harness.data.custom import is_missing
    from harness.data.dataset_files import find_data_folder

    if name in DATASETS or not is_missing(name, find_data_folder(None)[0]):
        return ""
    return f"data missing: {name}"


def format_ready_studies(rows: list[dict[str, Any]]) -> str:
    """Format name, time and description; in a terminal, descriptions wrap."""
    lines = [_format_row(row) for row in rows]
    name_width, time_width = (max(len(line[column]) for line in lines) for column in (0, 1))
    indent = name_width + time_width + 4
    width = (
        max(MIN_WIDTH, shutil.get_terminal_size().columns - indent) if sys.stdout.isatty() else 0
    )
    texts = ["study" + TIME_HEADER.rjust(name_width + 2 + time_width - len("study"))]
    for name, minutes, description in lines:
        wrapped = _wrap(description, width) if width else [description]
        first = f"{name:<{name_width}}  {minutes:>{time_width}}  {''.join(wrapped[:1])}".rstrip()
        texts += [first, *(" " * indent + more for more in wrapped[1:])]
    return "\n".join(texts)


def _wrap(text: str, width: int) -> list[str]:
    """Wrap a text; a path is never broken."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _format_row(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return a study's name, time and description, or why it cannot be run."""
    if row["error"]:
        reason = row["error"].replace("cannot be read: cannot be read as ", "cannot be read: ")
        if not reason.startswith("data missing"):  # a path is shown whole
            reason = textwrap.shorten(reason, MAX_REASON, placeholder=" ...")
        return escape(row["name"]), "", escape(reason)
    minutes = "unknown" if row["minutes"] is None else _format_minutes(row["minutes"])
    return escape(row["name"]), minutes, escape(row["description"])


def describe_default_study(name: str, data_dir: Path | None) -> str:
    """Return what `harness run-study` without a name runs, downloads, and how long it takes."""
    from harness.data.builtin import get_download_size

    study = read_study_info(find_study(name))
    size = get_download_size(study.dataset, data_dir)
    download = f"downloads {size} MiB first; " if size else ""
    return (
        f"no study was named: running {name} ({download}{_describe_time(study)}); "
        "`harness studies` lists the others"
    )


def _describe_time(study: StudyInfo) -> str:
    if study.minutes is None:
        return "its time was not measured"
    trials = f"{format_count(study.trials, 'trial')} in " if study.trials else ""
    return f"{trials}about {_format_minutes(study.minutes)} on 2 cores without a GPU"


def _format_minutes(minutes: float) -> str:
    """`30 s`, `5 min`, `1.5 min`."""
    return f"{round(60 * minutes)} s" if minutes < 1 else f"{minutes:.2g} min"
