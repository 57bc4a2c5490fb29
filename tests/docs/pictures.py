"""The pictures of README and docs: of the terminal and of the report, from one study of quickstart.

    cd EMPTY_FOLDER && harness run-study quickstart
    python tests/docs/pictures.py EMPTY_FOLDER

Needs chromium. The pictures of MLflow's UI are screenshots taken by hand.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from harness.analysis.lookup import find_study
from harness.analysis.summary import load_summary
from harness.cli.summary_screen import render_summary
from harness.test_set.selection import freeze_selection
from harness.workspace import Workspace

IMAGES = Path(__file__).parents[2] / "docs" / "images"
STUDY, WIDTH = "quickstart", 80
SCREEN = 1100, 761
"""Width and height of the picture of the report, in pixels."""


def write_terminal(workspace: Workspace) -> None:
    """Write the summary as an SVG that uses the reader's own monospace font."""
    uri = workspace.resolve_tracking_uri(None)
    tracker = workspace.open_tracker(uri, reading=True)
    study = find_study(tracker, STUDY)
    champion = freeze_selection(study).champion
    path, store = workspace.report_path(STUDY, uri), workspace.format_uri(uri)
    summary = load_summary(study, champion, tracker, path, store)
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(f"$ harness run-study {STUDY}\n")
    console.print(render_summary(summary, WIDTH))
    svg = console.export_svg(title="harness")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S).replace("Fira Code", "ui-monospace")
    (IMAGES / "terminal.svg").write_text(svg)


def write_report(folder: Path) -> None:
    """Write a screenshot of the report's first screen."""
    page = (folder / "mlruns" / "reports" / STUDY / "index.html").resolve().as_uri()
    size = ",".join(map(str, SCREEN))
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={profile}", f"--window-size={size}"]
        options += ["--virtual-time-budget=5000", f"--screenshot={IMAGES / 'report.png'}"]
        subprocess.run(["chromium", *options, page], check=True, capture_output=True, timeout=60)


def main() -> None:
    folder = Path(sys.argv[1])
    os.chdir(folder)  # the summary shows paths relative to it
    write_terminal(Workspace(Path("mlruns")))
    write_report(Path())


if __name__ == "__main__":
    main()
