"""The Python API in the kernel of a real notebook: progress, results, models of cells, errors."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from harness.errors import ConfigError, Interruption

MODEL_CELLS = [
    "import harness\nimport torch\nfrom torch import nn",
    "WIDTH = 16",
    "class Net(nn.Module):\n"
    "    def __init__(self, inputs, classes):\n"
    "        super().__init__()\n"
    "        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, WIDTH), nn.ReLU(),\n"
    "                                    nn.Linear(WIDTH, classes))\n"
    "    def forward(self, x):\n"
    "        return self.layers(x)",
    "study = harness.Study('cells', 'digits', model=Net, trials=2, train={'epochs': 2},\n"
    "                      space={'learning_rate': harness.Range(1e-3, 1e-1, log=True)},\n"
    "                      confirm={'seeds': 0})\n"
    "result = study.run(workers=2)",
    "result",
    "import asyncio\nassert asyncio.get_running_loop()  # a notebook's cells run inside one\n"
    "assert harness.load('cells').predict(torch.zeros(1, 64, dtype=torch.uint8)).shape == (1,)",
]


def run_notebook(folder: Path, cells: list[str]) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


@pytest.mark.slow
def test_a_model_of_a_cell_is_trained_with_one_output_that_is_replaced(tmp_path: Path) -> None:
    notebook = run_notebook(tmp_path, MODEL_CELLS)
    shown = notebook.cells[3].outputs
    assert [output.output_type for output in shown] == ["display_data"]
    html = shown[0].data["text/html"]
    assert "2 trials on CPU" in html
    assert "searching" not in html, "the stages are gone at the end"
    (answer,) = notebook.cells[4].outputs
    assert answer.data["text/plain"].startswith("StudyResult 'cells'")
    assert "hardest class" in answer.data["text/html"]
    assert sum(len(str(cell.outputs)) for cell in notebook.cells) < 20_000


def test_a_kernel_that_loads_a_study_shows_no_warning(tmp_path: Path) -> None:
    notebook = run_notebook(
        tmp_path,
        [
            "import harness\ntry:\n    harness.load('x')\nexcept harness.UserError:\n    pass\n"
            "import tqdm.auto",
        ],
    )
    assert notebook.cells[0].outputs == []


def test_an_error_that_harness_raises_on_purpose_is_one_line_in_a_notebook() -> None:
    assert Interruption("interrupted")._render_traceback_() == ["Interruption: interrupted"]
    assert ConfigError("x: wrong")._render_traceback_() == ["ConfigError: x: wrong"]


def test_a_mistake_in_a_cell_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError) as error:
        run_notebook(tmp_path, ["import harness\nharness.Study('x', 'digits', trails=5)"])
    message = "ConfigError: Study: unknown argument 'trails'; did you mean 'trials'?"
    assert error.value.traceback.strip().splitlines()[-1] == message
    assert "harness/api" not in error.value.traceback
