"""Benchmark a study's report: reading the record, building the page, opening it.

    python tests/benchmarks/report.py [TRIALS ...]        # TRIALS: 200 2000

A synthetic study of 12 epochs is written to a new SQLite store. Then, three times each: a new
process reads it and writes the page (`start` is importing MLflow and opening the store), and a new
Chromium opens the page from its file until every plot is drawn, and selects a trial by a click on
its row. The page reports its times itself: a debugger, such as playwright's, makes Chromium read
plotly.js 0.4 s slower. Needs Chromium.
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
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from driver_cost import read_processor_name

from harness.workspace import Workspace
from tests.support.synthetic_study import make_study, record_study

ROUNDS = 3
TIMEOUT = 120
"""Seconds that a page may take."""
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
MEASURE = """
<script>(async () => {
    const wait = async test => { while (!test()) await new Promise(r => setTimeout(r, 10)); };
    await wait(() => harness.drawn);
    const clicked = performance.now();
    document.querySelector("#leaderboard tbody tr:not(.selected)").click();
    await wait(() => harness.highlightedAt > clicked);
    const times = [harness.firstScreenAt, harness.drawnAt, harness.highlightedAt - clicked];
    new Image().src = `http://127.0.0.1:PORT/${times.join("/")}`;
})();</script>
"""
"""Appended to the page: it sends its times, in ms, as the path of a request."""


class Receiver(BaseHTTPRequestHandler):
    """Keeps the times that a page sends."""

    times: ClassVar[list[float]] = []

    def do_GET(self) -> None:
        self.times[:] = [float(text) / 1000 for text in self.path.strip("/").split("/")]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def build(folder: Path, name: str) -> list[float]:
    """Return a new process's seconds to start, read, build the page and list the studies."""
    command = [sys.executable, "-c", BUILD, str(folder), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(seconds) for seconds in done.stdout.split()]


def open_page(chromium: str, page: Path) -> list[float]:
    """Return the seconds to the first screen and to all plots, and from a click to its effect."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.timeout = TIMEOUT
    copy = page.with_name("measured.html")
    copy.write_text(page.read_text() + MEASURE.replace("PORT", str(server.server_port)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, server:
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900")
        command = [chromium, *options, f"--user-data-dir={profile}", copy.as_uri()]
        browser = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        Receiver.times.clear()
        server.handle_request()
        browser.terminate()
        browser.wait()
    return [*Receiver.times]


def format_range(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def measure(trials: int, chromium: str) -> None:
    synthetic = make_study(trials)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        started = time.perf_counter()
        record_study(synthetic, workspace.open_tracker(workspace.local_uri))
        print(f"{trials} trials, recorded in {time.perf_counter() - started:.0f} s")
        builds = [build(workspace.root, synthetic.name) for _ in range(ROUNDS)]
        page = workspace.report_path(synthetic.name, workspace.local_uri)
        openings = [open_page(chromium, page) for _ in range(ROUNDS)]
        size = page.stat().st_size / 1e6
    names = ("start", "read", "build", "list the studies", "first screen", "all plots", "select")
    rounds = [[*one, *other] for one, other in zip(builds, openings, strict=True)]
    for name, seconds in zip(names, zip(*rounds, strict=True), strict=True):
        print(f"  {name:<18}{format_range(seconds)}")
    print(f"  {'page':<18}{size:6.2f} MB, beside plotly.js")


def main(sizes: Sequence[int]) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("mlflow", "plotly"))
    print(f"{read_processor_name()}, {os.cpu_count()} cores, {platform.platform()}")
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    browser = subprocess.run([chromium, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    print(f"Python {platform.python_version()}, {packages}, {browser.stdout.strip()}")
    print(f"median (least to most) of {ROUNDS}")
    for trials in sizes:
        measure(trials, chromium)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [200, 2000])
