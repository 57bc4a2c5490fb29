"""Every command, study file and Python block of README.md and docs/ is right; most are run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from harness.cli.main import app
from harness.config.loader import load
from tests.docs.examples import (
    NOT_RUN,
    NOTEBOOK_PAGES,
    PAGES,
    ROOT,
    Block,
    list_all_blocks,
    list_blocks,
    prepare_folder,
    run_block,
)

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
READ_BY_BEGINNERS = [
    ROOT / "README.md",
    *(page for page in TUTORIALS if page not in NOTEBOOK_PAGES),
]
RUN_TOO = [
    ROOT / "docs" / "how-to" / "confirm.md",
    ROOT / "docs" / "how-to" / "cross-validation.md",
    ROOT / "docs" / "how-to" / "from-optuna-or-lightning.md",
    ROOT / "docs" / "how-to" / "open-later.md",
    ROOT / "docs" / "reference" / "python-api.md",
]
GROUP: Any = get_command(app)


def list_commands() -> list[str]:
    return [
        line.partition("harness ")[2]
        for block in list_all_blocks("sh")
        for line in block.lines
        if re.match(r"(\w+=\S+ )*harness ", line)
    ]


@pytest.mark.parametrize("line", sorted(set(list_commands())))
def test_a_command_is_accepted(line: str) -> None:
    """Parsed by the command line itself: the command, its options and the types of their values."""
    name, *arguments = shlex.split(line)
    command = GROUP.commands[name]
    command.make_context(name, arguments, parent=typer.Context(GROUP))


def test_commands_in_sentences_exist() -> None:
    inline = {
        match
        for page in PAGES
        for match in re.findall(r"`harness ([a-z][^`\n]*)`", page.read_text())
    }
    assert len(inline) > 10
    for text in inline:
        name, *words = text.split()
        options = {option for each in GROUP.commands[name].params for option in each.opts}
        used = {word for word in words if word.startswith("--")} - {"--help"}
        assert used <= options, text


@pytest.mark.parametrize("block", list_all_blocks("toml"), ids=str)
def test_a_study_file_is_valid(block: Block, tmp_path: Path) -> None:
    """A part of one is completed with a dataset and a space."""
    tables, text = tomllib.loads(block.text), block.text
    if "data" not in tables:
        text += '\n[data]\nname = "digits"\n'
    if not tables.keys() & {"space", "trial"}:
        text += "\n[space]\nlearning_rate = [0.1, 0.2]\n"
    (tmp_path / "mine.toml").write_text(text)
    assert load(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("block", list_all_blocks("python"), ids=str)
def test_a_python_block_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_every_block_has_a_language() -> None:
    assert {block.language for block in list_all_blocks()} <= {
        "sh",
        "python",
        "toml",
        "text",
        "console",
    }


def test_what_is_not_run_is_still_written_somewhere() -> None:
    lines = [
        line for page in READ_BY_BEGINNERS for b in list_blocks(page, "sh") for line in b.lines
    ]
    assert all(any(line.startswith(start) for line in lines) for start in NOT_RUN)


def test_blocks_of_missing_packages_are_few() -> None:
    left_out = [str(block) for block in list_all_blocks("python") if block.needs_missing_package]
    assert left_out == ["docs/how-to/from-optuna-or-lightning.md:3"]


def test_new_study_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast part of the blocks that are run; the next test runs all of them."""
    from typer.testing import CliRunner

    prepare_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = [line for block in list_blocks(ROOT / "README.md", "sh") for line in block.lines]
    commands = [line for line in lines if line.startswith("harness new-study")]
    assert len(commands) == 2
    for line in commands:
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert load("houses").data.target == "price"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [*READ_BY_BEGINNERS, *RUN_TOO], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    """In order, in one folder, as a reader would, with a small study in place of the quickstart."""
    prepare_folder(tmp_path)
    for block in list_blocks(page):
        run_block(block, tmp_path)
