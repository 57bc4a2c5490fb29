"""The notebooks of docs/tutorials run, and their outputs are stored without a machine's paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.notebooks import (
    DOCS,
    NOTEBOOKS,
    list_outputs,
    list_pictures,
    read_notebook,
    run_notebook,
)

MACHINE = re.compile(r"(?<![\w.])/(?:tmp|home|root|work|usr|Users|var)/|[A-Z]:\\\\|site-packages")
"""A path of the machine that ran a notebook."""
MAX_BYTES = 300_000

NAMED = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["own-module.ipynb", "own-table.ipynb"]


@NAMED
def test_the_outputs_are_stored(path: Path) -> None:
    notebook = read_notebook(path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = list_outputs(notebook)
    assert len(outputs) > len(cells) / 2
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs), "a warning is shown"
    for name, content in list_pictures(path).items():
        assert (DOCS / "images" / name).read_bytes() == content, "run `make notebooks`"


@NAMED
def test_no_path_of_a_machine_is_stored(path: Path) -> None:
    text = path.read_text()
    assert not MACHINE.findall(text)
    assert len(text) < MAX_BYTES


def test_a_path_of_a_machine_is_recognised() -> None:
    for text in ("file:///tmp/x", "'/root/.cache'", "C:\\\\Users", "python3.11/site-packages/x"):
        assert MACHINE.search(text), text
    assert not MACHINE.search("mlruns/reports/tumours/index.html ../how-to/x.md data/home/x")


@pytest.mark.slow
@NAMED
def test_a_notebook_runs_in_an_empty_folder(path: Path, tmp_path: Path) -> None:
    notebook = read_notebook(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    run_notebook(notebook, tmp_path)
    kinds = [output.output_type for output in list_outputs(read_notebook(path))]
    assert [output.output_type for output in list_outputs(notebook)] == kinds
    assert not any(output.get("name") == "stderr" for output in list_outputs(notebook))
