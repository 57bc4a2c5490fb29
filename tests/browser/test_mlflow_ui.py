"""MLflow's UI as `harness ui` opens it, with the view that undocumented tags configure.

A new release of MLflow may show things differently; then these tests fail.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.api.result import StudyResult
from harness.api.run import run_study

pytestmark = pytest.mark.slow
TIMEOUT = 60_000
"""Milliseconds: MLflow's first page loads 10 MB of script."""
ACCURACY = "[col-id='metrics.`best/val_accuracy`']"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def result(folder: Path) -> StudyResult:
    return run_study(
        "quickstart",
        trials=6,
        device="cpu",
        overrides=["train.epochs=3"],
        home=folder / "mlruns",
    )


@pytest.fixture(scope="module")
def address(folder: Path, result: StudyResult) -> Iterator[str]:
    """Return the address that `harness ui` prints; it is served until the tests end."""
    command = [sys.executable, "-m", "harness", "ui", "quickstart"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1900, "height": 1000})
    context.set_default_timeout(TIMEOUT)
    yield context.new_page()
    context.close()


def read_trials(page: Page) -> list[tuple[int, str]]:
    """Return the number and validation accuracy of each row of the table, from the top."""
    rows = []
    for row in page.locator(f".ag-row:has({ACCURACY})").all():
        index, uid = row.get_attribute("row-index"), row.get_attribute("row-id")
        assert index is not None
        name = page.locator(f".ag-row[row-id='{uid}'] a[href*='/runs/']").first.inner_text()
        number = re.match(r"(★ )?(\d+) · ", name)
        assert number, name
        rows.append((int(index), int(number[2]), row.locator(ACCURACY).inner_text()))
    return [(number, accuracy) for _, number, accuracy in sorted(rows)]


def test_the_printed_link_shows_the_trials_best_first(
    page: Page, address: str, result: StudyResult
) -> None:
    page.goto(address)
    expect(page.locator(f".ag-row {ACCURACY}")).to_have_count(6, timeout=TIMEOUT)
    frame = result.trials["best_val_accuracy"]
    rows = read_trials(page)
    assert {number: float(accuracy) for number, accuracy in rows} == frame.to_dict()
    assert [float(accuracy) for _, accuracy in rows] == sorted(frame, reverse=True)
    champion = page.get_by_role("link", name=re.compile("^★ "))
    expect(champion).to_have_text(
        f"★ {result.champion.number:03d} · {result.champion.spec.describe()}"
    )


def test_the_report_opens_as_an_artifact_and_draws_its_plots(
    page: Page, address: str, result: StudyResult
) -> None:
    run = result.summary.study.run_id
    page.goto(f"{address.split('?')[0]}/{run}/artifacts/report.html")
    report = page.frame_locator("iframe.mlflow-html-iframe")
    expect(report.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=TIMEOUT)


def test_the_curves_of_the_trials_overlay_and_come_first(page: Page, address: str) -> None:
    page.goto(f"{address}&compareRunsMode=CHART")
    chart = page.get_by_test_id("experiment-view-compare-runs-card").first
    expect(chart).to_contain_text("val/accuracy", timeout=TIMEOUT)
    lines = chart.locator(".scatterlayer path.js-line")
    expect(lines.nth(5)).to_be_attached(timeout=TIMEOUT)
    assert len({line.get_attribute("d") for line in lines.all()}) == 6


def test_the_model_page_names_the_trial_its_data_and_its_accuracy(
    page: Page, address: str, result: StudyResult
) -> None:
    page.goto(f"{address.split('/#/')[0]}/#/models/quickstart/versions/1")
    expect(page.get_by_text("Takes images as uint8")).to_be_visible(timeout=TIMEOUT)
    page.get_by_role("link", name=f"trial-{result.champion.number}").click()
    for text in ("best/val_accuracy", "quickstart v1", "digits"):
        expect(page.get_by_text(text).first).to_be_visible(timeout=TIMEOUT)
