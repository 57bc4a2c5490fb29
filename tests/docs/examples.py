"""The code blocks of README.md and docs/, and what they need to run fast."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOTEBOOK_PAGES = [page for page in PAGES if page.with_suffix(".ipynb").exists()]
"""The pages that are made from notebooks; tests/docs/test_notebooks.py runs those."""
DATA_PAGE = ROOT / "docs" / "tutorials" / "your-own-data.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w/.-]+\.(?:py|toml))\n")

QUICKSTART = """
[study]
trials = 4
[data]
name = "digits"
validation = 0.2
[train]
epochs = 2
[space]
hidden = [[8], [16]]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
[confirm]
top = 1
seeds = 2
"""
"""A small study in place of the shipped one: ./studies comes before the shipped studies."""

FEWER = re.compile(r"(--trials |trials=)([2-9])0\b")
"""A tenth of the trials where a command has 20 or more."""

NOT_RUN = {
    "make study": "installs several GB; `.ci/run` installs by the same rule of the Makefile",
    "pip install": "installs packages",
    "source .venv/bin/activate": "the tests run in the environment already",
}
"""Lines of shell blocks that no test runs, by how they start, and why."""

NOT_INSTALLED = {"lightning": "a block shows what harness replaces"}
"""Packages whose Python blocks no test runs, and why they are in the docs."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    number: int
    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that the block is, if its first line is a comment with a file's name."""
        match = FILE_NAME.match(self.text)
        return match[1] if match else ""

    @property
    def lines(self) -> list[str]:
        """The commands of a shell block, without comments."""
        bare = (re.sub(r"\s+#.*$", "", line).strip() for line in self.text.splitlines())
        return [line for line in bare if line and not line.startswith("#")]

    @property
    def needs_missing_package(self) -> bool:
        """Whether it imports one of NOT_INSTALLED."""
        return any(f"\nimport {name}\n" in f"\n{self.text}" for name in NOT_INSTALLED)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def list_blocks(page: Path, *languages: str) -> list[Block]:
    """Return the blocks of a page in order, of these languages or of all."""
    blocks = [
        Block(page, number, language, text)
        for number, (language, text) in enumerate(FENCE.findall(page.read_text()), 1)
    ]
    return [block for block in blocks if not languages or block.language in languages]


def list_all_blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in list_blocks(page, *languages)]


def prepare_folder(folder: Path) -> None:
    """Write the small quickstart and the data of the tutorial on data into an empty folder."""
    (folder / "studies").mkdir()
    (folder / "studies" / "quickstart.toml").write_text(QUICKSTART)
    run_python(list_blocks(DATA_PAGE, "python")[0].text, folder)
    houses = (folder / "houses.csv").read_text().splitlines()
    (folder / "new.csv").write_text("\n".join(houses[:6]))


def run_block(block: Block, folder: Path) -> None:
    """Run a block in a folder as a reader would, or write the file that it is."""
    if block.file:
        path = folder / block.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
    elif block.language == "python" and not block.needs_missing_package:
        run_python(block.text, folder)
    elif block.language == "sh":
        for line in block.lines:
            if line.startswith("harness run-study") and "quickstart" not in line:
                line += " --set confirm.top=1 --set train.epochs=2"
            if not line.startswith(tuple(NOT_RUN)):
                _run(["bash", "-c", FEWER.sub(r"\1\2", line)], folder)


def run_python(text: str, folder: Path) -> None:
    """Run Python code as a script of a folder. It may start processes, which import the script."""
    script = folder / "example.py"
    script.write_text(FEWER.sub(r"\1\2", text))
    _run([sys.executable, script.name], folder)
    script.unlink()


def _run(command: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
