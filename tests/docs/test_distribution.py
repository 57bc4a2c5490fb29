"""The distribution's name: `harness-sweep`, while the import and the command are `harness`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import harness

ROOT = Path(__file__).parents[2]
TEXTS = {".md", ".py", ".toml", ".txt", ".yml", ".html", ".j2", ""}
WRONG = re.compile(
    r"(pip|uv|pipx|uvx)\b[^\n]*\b(install|tool|run)\b[^\n]*[\s'\"]harness(\[|==|\s*$)"
)
"""A line that installs the distribution `harness`, which belongs to another project."""


def list_texts() -> list[Path]:
    folders = [ROOT / name for name in ("harness", "tests", "docs", "studies", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in [*ROOT.glob("*"), *files] if path.is_file() and path.suffix in TEXTS]


def test_no_text_installs_the_package_of_another_project() -> None:
    lines = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in list_texts()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if WRONG.search(line)
    }
    assert lines == set()


def test_the_pattern_matches_what_must_not_be_written() -> None:
    install = "pip install"
    assert all(
        WRONG.search(f"{install} {name}") for name in ("'harness[ray]'", "harness", "harness==0.1")
    )
    assert not WRONG.search(f"{install} 'harness-sweep[ray]'")


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "harness-sweep"
    assert project["dynamic"] == ["version"]
    assert harness.__version__
    assert f"image: harness:{harness.__version__}\n" in (ROOT / "docker-compose.yml").read_text()
    assert f"version: {harness.__version__}\n" in (ROOT / "CITATION.cff").read_text()
