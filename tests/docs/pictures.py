"""The pictures of README and docs, from one study of quickstart: `make pictures`.

It runs the study in an empty folder, or takes a folder where it was run:

    python -m tests.docs.pictures [FOLDER]

Needs Chromium. Look at each picture before you commit it.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page
from rich.console import Console

from harness.analysis.lookup import find_study
from harness.analysis.summary import load_summary
from harness.cli.summary_screen import render_summary
from harness.test_set.selection import freeze_selection
from harness.workspace import Workspace
from tests.support.browsers import find_chromium, launch_chromium, serve_mlflow_ui

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PICTURES = ("terminal.svg", "report.png", "mlflow-runs.png", "mlflow-charts.png")
STUDY, COLUMNS = "quickstart", 80
WIDTH, HEIGHT = 1400, 900
"""Of a window of the browser, in pixels."""
COLOURS = 256
"""Of a PNG; half the bytes of one with all colours."""
TIMEOUT = 60_000
"""Milliseconds: MLflow's first page loads 10 MB of script."""
DRAWING = 3_000
"""Milliseconds that plots may take after they are in the page."""


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else empty).resolve()
        os.chdir(folder)  # the summary shows paths relative to it
        if not Path("mlruns").exists():
            command = [sys.executable, "-m", "harness", "run-study", STUDY, "--cpu"]
            subprocess.run(command, check=True)
        write_terminal(Workspace(Path("mlruns")))
        path = find_chromium()
        if path is None:
            sys.exit("no Chromium: apt-get install chromium")
        with launch_chromium(path) as browser:
            write_report(browser, folder)
            write_mlflow(browser, folder)
        os.chdir(IMAGES)
    for name in PICTURES:
        print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size // 1000} kB")


def write_terminal(workspace: Workspace) -> None:
    """Write the summary as an SVG that uses the reader's own monospace font."""
    uri = workspace.resolve_tracking_uri(None)
    tracker = workspace.open_tracker(uri, reading=True)
    study = find_study(tracker, STUDY)
    champion = freeze_selection(study).champion
    path, store = workspace.report_path(STUDY, uri), workspace.format_uri(uri)
    summary = load_summary(study, champion, tracker, path, store)
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(f"$ harness run-study {STUDY}\n")
    console.print(render_summary(summary, COLUMNS))
    svg = console.export_svg(title="harness")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S).replace("Fira Code", "ui-monospace")
    (IMAGES / "terminal.svg").write_text(svg)


def write_report(browser: Browser, folder: Path) -> None:
    """Write the report's first screen."""
    page = open_page(browser)
    page.goto((folder / "mlruns" / "reports" / STUDY / "index.html").as_uri())
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    save(page, "report.png")


def write_mlflow(browser: Browser, folder: Path) -> None:
    """Write MLflow's table of trials, and its charts."""
    with serve_mlflow_ui(folder, STUDY) as address:
        page = open_page(browser)
        page.goto(address)
        page.locator(".ag-row").nth(10).wait_for()
        save(page, "mlflow-runs.png")
        page = open_page(browser)
        page.goto(f"{address}&compareRunsMode=CHART")
        page.locator(".scatterlayer path.js-line").nth(9).wait_for(state="attached")
        save(page, "mlflow-charts.png")


def open_page(browser: Browser) -> Page:
    """Open a window of a fresh profile."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(TIMEOUT)
    return context.new_page()


def save(page: Page, name: str) -> None:
    page.wait_for_timeout(DRAWING)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").quantize(COLOURS).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
