"""Benchmark a study's report: reading the record, building the page, opening it.

    python tests/benchmarks/report.py [TRIALS ...]        # TRIALS: 200 2000

A synthetic study of 12 epochs is written to a new SQLite store. Then, three times each: a new
process reads it and writes the page (`start` is importing MLflow and opening the store), and
Chromium opens the page from its file until every plot is drawn, and selects a trial by a click on
its row. Needs playwright and Chromium.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from driver_cost import read_processor_name
from playwright.sync_api import Browser, sync_playwright

from harness.workspace import Workspace
from tests.support.synthetic_study import make_study, record_study

ROUNDS = 3
TIMEOUT = 120_000
"""Milliseconds that a page may take."""
BUILD = """
import sys, time
from pathlib import Path

clock = [time.perf_counter()]
from harness.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
tracker = workspace.open_tracker(reading=True)
clock.append(time.perf_counter())
study = tracker.read_study(sys.argv[2])
clock.append(time.perf_counter())
from harness.reports.study_page import build_study_page
from harness.analysis.summary import load_summary
path = workspace.report_path(study.name, workspace.local_uri)
summary = load_summary(study, study.rank_trials()[0], tracker, path, workspace.local_uri)
build_study_page(summary).write(path)
clock.append(time.perf_counter())
tracker.list_studies()
clock.append(time.perf_counter())
print(*(after - before for before, after in zip(clock, clock[1:])))
"""
SELECT = """() => {
    const row = document.querySelector("#leaderboard tbody tr:not(.selected)");
    window.clickedAt = performance.now();
    row.click();
}"""


def build(folder: Path, name: str) -> list[float]:
    """Return a new process's seconds to start, read, build the page and list the studies."""
    command = [sys.executable, "-c", BUILD, str(folder), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(seconds) for seconds in done.stdout.split()]


def open_page(browser: Browser, page: Path) -> list[float]:
    """Return the seconds until all plots are drawn, and those from a click to its effect."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(TIMEOUT)
    tab.goto(page.as_uri())
    tab.wait_for_function("window.harness && window.harness.drawn")
    drawn = tab.evaluate("window.harness.drawnAt")
    tab.evaluate(SELECT)
    tab.wait_for_function("window.harness.highlightedAt > window.clickedAt")
    highlighted = tab.evaluate("window.harness.highlightedAt - window.clickedAt")
    context.close()
    return [drawn / 1000, highlighted / 1000]


def format_range(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def measure(trials: int, browser: Browser) -> None:
    synthetic = make_study(trials)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        started = time.perf_counter()
        record_study(synthetic, workspace.open_tracker(workspace.local_uri))
        print(f"{trials} trials, recorded in {time.perf_counter() - started:.0f} s")
        builds = [build(workspace.root, synthetic.name) for _ in range(ROUNDS)]
        page = workspace.report_path(synthetic.name, workspace.local_uri)
        openings = [open_page(browser, page) for _ in range(ROUNDS)]
        size = page.stat().st_size / 1e6
    names = ("start", "read", "build", "list the studies", "draw all plots", "select a trial")
    rounds = [[*one, *other] for one, other in zip(builds, openings, strict=True)]
    for name, seconds in zip(names, zip(*rounds, strict=True), strict=True):
        print(f"  {name:<18}{format_range(seconds)}")
    print(f"  {'page':<18}{size:6.2f} MB, beside plotly.js")


def main(sizes: Sequence[int]) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("mlflow", "plotly", "playwright"))
    print(f"{read_processor_name()}, {os.cpu_count()} cores, {platform.platform()}")
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        print(f"Python {platform.python_version()}, {packages}, Chromium {browser.version}")
        print(f"median (least to most) of {ROUNDS}")
        for trials in sizes:
            measure(trials, browser)
        browser.close()


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [200, 2000])
