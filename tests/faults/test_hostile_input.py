"""Hostile names and values: each is refused in one line that is safe for a terminal."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.faults.recorded_study import (
    STUDY,
    list_files,
    record_study,
    run_command,
    run_refused_command,
)

LONG = 10_000
VALUES = {
    "parent": "../escaped",
    "absolute": "/nowhere/escaped",
    "nul": "nul\0nul",
    "10 kB": "x" * LONG,
    "script": "<script>alert(1)</script>",
    "newline": "first\nsecond",
    "escape": "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "c1": "\x9b31mred",
    "empty": "",
    "blank": " ",
    "right to left": "abc\u202etxt.exe",
    "separator": "a\u2028b",
    "surrogate": "a\udcffb",
    "fullwidth": "\uff0e\uff0e\uff0fescaped",
    "dash": "-rf",
    "option": "--no-such-option",
    "dots": "..",
    "device": "CON",
    "quote": "'; DROP TABLE runs; --",
}
NAMES = pytest.mark.parametrize("name", VALUES)
NAMES_IN_UTF_8 = pytest.mark.parametrize("name", [name for name in VALUES if name != "surrogate"])
"""Those that a study file can hold."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_study(tmp_path_factory)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty folder inside an empty one, so that files outside of it are noticed."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "tiny.toml").write_text(STUDY)
    return tmp_path / "work"


COMMANDS = {
    "run-study": ("run-study", "--cpu", "--workers=0", "--trials=1"),
    "dry-run": ("run-study", "--dry-run", "--cpu"),
    "train": ("train", "--cpu"),
    "report": ("report",),
    "compare": ("compare", "tiny"),
    "predict": ("predict", "--test=1"),
    "ui": ("ui", "--port=1"),
}


@NAMES
@pytest.mark.parametrize("which", COMMANDS)
def test_an_invalid_study(folder: Path, which: str, name: str) -> None:
    """After `--`, so that a value with a leading dash is a name too."""
    before = list_files(folder.parent)
    line = run_refused_command(folder, *COMMANDS[which], "--", VALUES[name])
    assert not line.startswith("harness: '': "), line
    assert list_files(folder.parent) == before


@pytest.mark.parametrize("name", ["dash", "option", "empty", "10 kB"])
def test_an_option_instead_of_a_study(folder: Path, name: str) -> None:
    """Without `--`, the parser refuses leading dashes."""
    run_refused_command(folder, "report", VALUES[name])


@NAMES
@pytest.mark.parametrize("how", ["file", "set"])
def test_study_name(work: Path, how: str, name: str) -> None:
    value = VALUES[name]
    if how == "file" and name != "surrogate":  # a UTF-8 file cannot hold it
        (work / "tiny.toml").write_text(f"[study]\nname = {json.dumps(value)}\n")
        options = ["tiny.toml"]
    else:
        options = ["tiny.toml", "--set", f"study.name={json.dumps(value)}"]
    before = list_files(work.parent)
    for arguments in (["run-study", *options, "--dry-run"], ["train", *options]):
        if name == "device":  # a valid file name: only a dry run, or it would train
            assert run_command(work, *arguments[:-1], "--dry-run")[0] in (0, 2)
            continue
        line = run_refused_command(work, *arguments)
        assert "name" in line
    assert list_files(work.parent) == before


SETS = ("KEY", "study.KEY=1", "KEY.epochs=1", "train.epochs=KEY", 'data.classes=["KEY","1"]')


@NAMES
@pytest.mark.parametrize("place", [*SETS, "data.name=KEY", "train.KEY=1", "space.KEY=1"])
def test_set(work: Path, place: str, name: str) -> None:
    value = VALUES[name]
    if '"' in place:
        value = json.dumps(value)[1:-1]
    before = list_files(work.parent)
    line = run_refused_command(
        work, "run-study", "tiny.toml", "--dry-run", "--set", place.replace("KEY", value)
    )
    # `..` as a dataset's name is an existing folder, which is read as data.
    assert "--set" in line or "[data]" in line or "no image" in line
    assert list_files(work.parent) == before


@NAMES_IN_UTF_8
def test_tables_and_keys_of_a_study_file(work: Path, name: str) -> None:
    text = json.dumps(VALUES[name], ensure_ascii=True).replace("\\u007f", "\\u007F")
    for content in (f"[{text}]\nx = 1\n", f"[study]\n{text} = 1\n", f"[space]\n{text} = 1\n"):
        (work / "tiny.toml").write_text(content)
        line = run_refused_command(work, "run-study", "tiny.toml", "--dry-run")
        assert "tiny.toml" in line


@NAMES_IN_UTF_8
def test_a_name_of_a_listed_trial(work: Path, name: str) -> None:
    """Any text of one line is a valid name and shown as text; others are refused."""
    text = json.dumps(VALUES[name])
    (work / "tiny.toml").write_text(
        f'[data]\nname = "digits"\n[[trial]]\nname = {text}\n[[trial]]\nlearning_rate = 0.5\n'
    )
    if VALUES[name].strip() and VALUES[name].isprintable() and len(VALUES[name]) <= 80:
        status, output = run_command(work, "run-study", "tiny.toml", "--dry-run", "--cpu")
        assert status == 0, output
    else:
        assert "[[trial]] number 1: name" in run_refused_command(
            work, "run-study", "tiny.toml", "--dry-run"
        )


@NAMES
@pytest.mark.parametrize("which", ["run-study", "dry-run", "train", "report", "studies", "ui"])
def test_tracking_uri(folder: Path, work: Path, which: str, name: str) -> None:
    arguments = {
        "run-study": ("run-study", "tiny.toml", "--cpu", "--workers=0"),
        "dry-run": ("run-study", "tiny.toml", "--cpu", "--dry-run"),
        "train": ("train", "tiny.toml", "--cpu"),
        "report": ("report", "tiny"),
        "compare": ("compare", "tiny/0", "tiny/1"),
        "studies": ("studies",),
        "ui": ("ui",),
    }[which]
    before = list_files(work.parent)
    line = run_refused_command(work, *arguments, "--tracking-uri", VALUES[name])
    assert "tracking" in line
    assert list_files(work.parent) == before


@NAMES
@pytest.mark.parametrize("scheme", ["http", "https", "sqlite"])
def test_an_invalid_tracking_uri_with_a_valid_scheme(work: Path, scheme: str, name: str) -> None:
    """Exit status 2 for an invalid address, 1 for a store that cannot be opened."""
    uri = f"{scheme}://{'/' if scheme == 'sqlite' else ''}{VALUES[name]}"
    before = list_files(work.parent)
    run_refused_command(work, "studies", "--tracking-uri", uri, statuses=(1, 2))
    assert list_files(work.parent) == before


@NAMES
def test_data_dir(work: Path, name: str) -> None:
    line = run_refused_command(
        work,
        *("run-study", "tiny.toml", "--set", "data.name=fashion-mnist"),
        *("--data-dir", VALUES[name], "--workers=0", "--cpu"),
    )
    assert "--data-dir" in line
    assert list_files(work.parent) == {"work", "work/tiny.toml"}


@NAMES
@pytest.mark.parametrize("option", ["--timeout", "--format", "--trials", "--seed", "--workers"])
def test_other_options(work: Path, option: str, name: str) -> None:
    line = run_refused_command(work, "run-study", "tiny.toml", "--dry-run", option, VALUES[name])
    assert option in line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--trials", "9" * 400),
        ("--seed", "9" * 400),
        ("--workers", "9" * 400),
        ("--timeout", "9" * 400),
        ("--timeout", "1e9999"),
        ("--timeout", "nan"),
        ("--timeout", "٣m"),
    ],
)
def test_numbers_out_of_range(work: Path, option: str, value: str) -> None:
    line = run_refused_command(work, "run-study", "tiny.toml", "--dry-run", option, value)
    assert option in line


RUNS = [
    "0" * 32,
    "f" * 32,
    "../" + "0" * 29,
    "tiny/-1",
    "tiny/../0",
    "tiny/00",
    "tiny/0\n",
    "tiny/" + "9" * LONG,
    "tiny/\x1b[2J",
    "tiny/",
    "/0",
    "tiny/0/0",
    "tiny/\0",
    "tiny/٠",
]


@pytest.mark.parametrize("run", RUNS, ids=[ascii(each)[:16] for each in RUNS])
@pytest.mark.parametrize("which", ["compare", "predict"])
def test_run_ids(folder: Path, which: str, run: str) -> None:
    run_refused_command(folder, *COMMANDS[which], "--", run)


def test_a_long_value_does_not_hide_the_remedy(work: Path) -> None:
    """The error shows the start of the value and the text after it."""
    line = run_refused_command(
        work, "run-study", "tiny.toml", "--dry-run", "--set", f"train.{'x' * LONG}=1"
    )
    assert "--set train.xxxx" in line
    assert "unknown key" in line


@pytest.mark.parametrize("arguments", [["studies", "KEY"], ["KEY"], ["--KEY"], ["ui", "--KEY=1"]])
def test_errors_of_the_command_line_parser(work: Path, arguments: list[str]) -> None:
    """The parser prints arguments itself; `run_command` keeps colors, as a terminal would."""
    for value in (VALUES["escape"], VALUES["c1"], VALUES["10 kB"], VALUES["newline"]):
        run_refused_command(work, *(argument.replace("KEY", value) for argument in arguments))


def test_an_experiment_with_a_hostile_name(folder: Path, tmp_path: Path) -> None:
    """A store may hold names that harness would refuse; they are shown escaped."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(folder / "mlruns" / "mlflow.db", tmp_path / "mlruns")
    with sqlite3.connect(tmp_path / "mlruns" / "mlflow.db") as database:
        database.execute("UPDATE experiments SET name = ? WHERE name = 'tiny'", ("\x1b[2J\x9bown",))
    database.close()
    status, output = run_command(tmp_path, "studies")
    assert status == 0
    assert "own" in output
    assert "\x1b" not in output
    assert "\x9b" not in output
    assert "own" in run_refused_command(tmp_path, "report", "tinny")
