"""The help of the commands, the completion of names, and what is printed without a name."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.completion import complete_recorded_study, complete_study
from harness.cli.main import app
from harness.cli.ready_studies import (
    describe_default_study,
    format_ready_studies,
    list_ready_studies,
)
from harness.cli.run_commands import DEFAULT_STUDY
from harness.errors import Interruption, Unsent, UserError
from tests.cli.screens import assert_screen
from tests.support.digits_study import STUDY

GROUPS = [
    app,
    *(group.typer_instance for group in app.registered_groups if group.typer_instance is not None),
]
COMMANDS = [
    command.name or (command.callback.__name__ if command.callback else "")
    for group in GROUPS
    for command in group.registered_commands
]


def show_help(monkeypatch: pytest.MonkeyPatch, width: int, *arguments: str) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    result = CliRunner().invoke(app, [*arguments, "--help"], prog_name="harness")
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", ["", "run-study"])
def test_the_help_is_as_captured(monkeypatch: pytest.MonkeyPatch, width: int, name: str) -> None:
    screen = show_help(monkeypatch, width, *filter(None, [name]))
    assert_screen(f"help{f'_{name}' if name else ''}_{width}", screen)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_fits_and_is_whole(
    monkeypatch: pytest.MonkeyPatch, width: int, name: str
) -> None:
    text = show_help(monkeypatch, width, name)
    assert max(map(len, text.splitlines())) <= width
    assert f"Usage: harness {name}" in text
    *_, last = re.findall(r"\n  (--\S+)", text.partition("\n\nExample")[0])
    assert last == "--help"
    assert not re.search(r"\.\.\.$|\[OPTIONS\]|<str>|\[required\]", text, re.MULTILINE)
    for line in text.partition("Example: ")[2].splitlines():
        assert "[" not in re.sub(r"'[^']*'", "", line), "zsh expands brackets that are not quoted"
    assert shlex.split(text.partition("Example: ")[2])[:2] == ["harness", name]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            "run-study quickstart --trials six",
            "--trials: 'six' is not a whole number; write for example --trials 10",
        ),
        (
            "predict quickstart --test 1.5",
            "--test: '1.5' is not a whole number; write for example --test 10",
        ),
        ("studies --format xml", "--format: 'xml' is not one of 'text', 'json'"),
        ("predict", "missing argument 'STUDY'; see: harness predict --help"),
        ("studis", "no such command 'studis'. Did you mean 'studies'? See: harness --help"),
        ("train x --see 1", "no such option: --see"),
        (
            "new-study rows.csv --group patient",
            "no such option: --group; write --set data.group=VALUE",
        ),
        ("new-study rows.csv --epochs 3", "no such option: --epochs"),
        (
            "run-study quickstart --batch-size 8",
            "no such option: --batch-size; write --set train.batch_size=VALUE",
        ),
        ("ui --port", "option '--port' requires an argument"),
        ("sync a\x1bb c\x1b", r"got unexpected extra argument(s) (c\x1b)"),
    ],
)
def test_a_usage_error_is_one_line(command: str, line: str) -> None:
    result = CliRunner().invoke(app, command.split(" "), prog_name="harness")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"harness: {line}"), result.stderr
    assert "train.epochs" not in result.stderr, "new-study sets keys of [data] only"


def test_each_summary_is_a_sentence_on_one_line_of_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = show_help(monkeypatch, 80)
    for name in COMMANDS:
        (line,) = re.findall(rf"^  {name} +(.*)$", text, re.MULTILINE)
        assert line.endswith("."), line
        assert not line.endswith("..")


def test_the_exit_statuses_are_those_of_the_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    text = show_help(monkeypatch, 80)
    statuses = text.partition("Exit status:")[2]
    for status in (0, 1, UserError.exit_status, Unsent.exit_status, Interruption.exit_status):
        assert re.search(rf"^  {status} ", statuses, re.MULTILINE)


def test_names_of_studies_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quick-own.toml").write_text(STUDY)
    (tmp_path / "mlruns" / "optuna").mkdir(parents=True)
    (tmp_path / "mlruns" / "optuna" / "tiny.journal").touch()
    assert complete_study("quick") == ["quick-own", "quickstart"]
    assert complete_recorded_study("") == ["tiny"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [("harness run-study fashion-mnist", "fashion-mnist-best"), ("harness sy", "sync")],
)
def test_bash_completes_without_heavy_imports(tmp_path: Path, words: str, expected: str) -> None:
    code = (
        "import sys\nfrom harness.cli.main import app\ntry:\n    app(prog_name='harness')\n"
        "finally:\n    heavy = {'torch', 'mlflow', 'optuna', 'pandas', 'numpy'}\n"
        "    print(heavy & set(sys.modules), file=sys.stderr)"
    )
    environment = {
        "_HARNESS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | environment,
    )
    assert expected in done.stdout.split()
    assert done.stderr.strip() == "set()"


def test_the_studies_that_can_be_run_have_a_line_and_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "own.toml").write_text(STUDY)
    (tmp_path / "studies" / "broken.toml").write_text("[study")
    gone = STUDY.replace('"digits"', '"./data of 2025/images-of-cats.npz"')
    (tmp_path / "studies" / "gone.toml").write_text(gone)
    (tmp_path / "ames").mkdir()
    (tmp_path / "ames" / "AmesHousing.xlsx").touch()
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path))
    rows = list_ready_studies()
    assert [row["name"] for row in rows[:3]] == ["broken", "gone", "own"]
    assert [bool(row["error"]) for row in rows[:4]] == [True, True, False, False]
    assert_screen("ready_studies", format_ready_studies(rows))
    assert max(map(len, format_ready_studies(rows).splitlines())) <= 80
    assert all(row["description"] for row in rows[3:])


def test_without_a_name_the_default_study_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = describe_default_study(DEFAULT_STUDY, None)
    assert "running fashion-mnist (downloads 29 MiB first; 50 trials in about 5 min" in text
    assert "`harness studies` lists the others" in text
    assert "downloads" not in describe_default_study("quickstart", None)
    assert "downloads" not in describe_default_study(DEFAULT_STUDY, tmp_path), "it is an error"
