"""README.md and docs/: length, links, figures, navigation and the words that are not used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import harness
from tests.docs.examples import PAGES, ROOT
from tests.docs.pictures import IMAGES, PICTURES

README = ROOT / "README.md"
STUDIES = ROOT / "studies" / "README.md"
TEXTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", STUDIES]
LINK = re.compile(r"\]\(([^)#\s]*)(#[\w-]+)?\)")
BANNED = re.compile(
    r"\b(said|told|stands|found|given|foretold|foretells|vanished|goes on|taken up)\b",
    re.IGNORECASE,
)
"""Words that the field does not use for these things."""


def test_the_readme_can_be_read_in_five_minutes() -> None:
    text = README.read_text()
    assert len(text.split()) <= 900
    assert len(text.splitlines()) <= 200
    assert max(map(len, text.splitlines())) <= 100


def slugify(heading: str) -> str:
    if match := re.search(r"\{ #([\w-]+) \}$", heading):
        return match[1]
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_outside_the_site_lead_somewhere(page: Path) -> None:
    """`make docs` checks those inside the site."""
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor[1:] in map(slugify, headings), f"{target}{anchor}"


def test_every_page_is_in_the_navigation() -> None:
    def list_paths(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        values = entry.values() if isinstance(entry, dict) else entry
        return [path for value in values for path in list_paths(value)]

    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path != README}
    paths = list_paths(project["nav"])
    assert len(paths) == len(set(paths))
    assert set(paths) == pages


def test_the_home_page_links_every_page() -> None:
    """A reader of the repository has no navigation."""
    home = ROOT / "docs" / "index.md"
    linked = {(home.parent / target).resolve() for target, _ in LINK.findall(home.read_text())}
    pages = {path for path in PAGES if path not in (README, home)}
    assert {str(page.relative_to(home.parent)) for page in pages - linked} == set()


def test_every_picture_is_made_by_the_script_and_is_small() -> None:
    """`make pictures` makes them, and `make notebooks` those of the notebooks."""
    shown = {
        Path(target).name
        for page in {*TEXTS, *PAGES}
        for target in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", page.read_text())
        if not target.startswith("http")
    }
    notebooks = {f"{path.stem}-1.png" for path in (ROOT / "docs" / "tutorials").glob("*.ipynb")}
    assert shown == {*PICTURES, *notebooks}
    assert {path.name for path in IMAGES.iterdir()} == {*PICTURES, *notebooks}
    assert max(path.stat().st_size for path in IMAGES.iterdir()) < 300_000


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "python-api.md").read_text()
    assert sorted(re.findall(r"^::: harness\.(\w+)$", page, re.M)) == sorted(harness.__all__)
    table = set(re.findall(r"\(#harness\.(\w+)\)", page))
    assert table == {*harness.__all__} - {"TrialSpec"}, "TrialSpec's keys are on another page"


@pytest.mark.parametrize("name", harness.__all__)
def test_every_public_name_has_a_docstring_and_a_function_an_example(name: str) -> None:
    value = getattr(harness, name)
    assert value.__doc__
    if not isinstance(value, type):
        assert "Examples:\n" in value.__doc__, name


def test_the_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    """A figure is measured in one place; README repeats three rows of it."""
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = re.findall(
        r"^\| `(quickstart|fashion-mnist|ames-housing)`(.*)$", README.read_text(), re.M
    )
    assert len(rows) == 3
    for name, cells in rows:
        row = next(
            r for r in benchmarks.splitlines() if r.startswith(f"| `harness run-study {name}`")
        )
        numbers = re.findall(r"\d[\d.,]*", cells)
        assert len(numbers) >= 4
        assert set(numbers) <= set(re.findall(r"\d[\d.,]*", row)), name


@pytest.mark.parametrize("page", [*PAGES, STUDIES], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_words_are_plain(page: Path) -> None:
    """Code is left out: it quotes what a command prints."""
    assert not BANNED.findall(re.sub(r"`[^`\n]+`", "", page.read_text()))
