"""MLflow's UI as `harness ui` opens it, with the view that undocumented tags configure.

A new release of MLflow may show things differently; then these tests fail.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.analysis.confirmation import rank_confirmed_settings
from harness.api.result import StudyResult
from harness.api.run import run_study
from harness.config.schema import find_varied_fields
from tests.support.browsers import serve_mlflow_ui

pytestmark = pytest.mark.slow
TIMEOUT = 60_000
"""Milliseconds: MLflow's first page loads 10 MB of script."""
WIDTH = 1400
ACCURACY = "[col-id='metrics.`best/val_accuracy`']"
MEAN = "[col-id='metrics.`confirm/val_accuracy_mean`']"
RECORDED = Path(__file__).parents[1] / "recorded" / "version-0.1.0.tar.xz"


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
    with serve_mlflow_ui(folder, "quickstart") as printed:
        yield printed


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a fresh profile."""
    context = chromium.new_context(viewport={"width": WIDTH, "height": 1000})
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


def test_the_printed_link_shows_the_champion_first(
    page: Page, address: str, result: StudyResult
) -> None:
    page.goto(address)
    expect(page.locator(f".ag-row {ACCURACY}")).to_have_count(6, timeout=TIMEOUT)
    frame = result.trials["best_val_accuracy"]
    rows = read_trials(page)
    assert {number: float(accuracy) for number, accuracy in rows} == frame.to_dict()
    settings = rank_confirmed_settings(result.summary.study)
    confirmed = [setting.trial.number for setting in settings]
    others = sorted(frame.drop(confirmed), reverse=True)
    assert [number for number, _ in rows[: len(confirmed)]] == confirmed
    assert [float(accuracy) for _, accuracy in rows[len(confirmed) :]] == others
    means = {index: page.locator(f".ag-row[row-index='{index}'] {MEAN}") for index in range(6)}
    for index, setting in enumerate(settings):
        expect(means[index]).to_have_text(f"{setting.mean_objective:.5g}")
    expect(means[len(confirmed)]).to_have_text("-")
    champion = page.get_by_role("link", name=re.compile("^★ "))
    expect(champion).to_have_text(
        f"★ {result.champion.number:03d} · {result.champion.spec.describe()}"
    )


def test_the_columns_of_the_settings_that_vary_are_on_screen(
    page: Page, address: str, result: StudyResult
) -> None:
    page.goto(address)
    columns = [f"params.`{name}`" for name in find_varied_fields(result.summary.study.definition)]
    assert len(columns) == 5
    for column in ("metrics.`rank/val`", "metrics.`confirm/val_accuracy_mean`", *columns):
        header = page.locator(f".ag-header-cell[col-id='{column}']")
        expect(header).to_be_visible(timeout=TIMEOUT)
        box = header.bounding_box()
        assert box is not None
        assert box["width"] >= 56
        assert box["x"] + box["width"] <= WIDTH, column


def test_the_links_stay_in_the_model_training_mode(
    page: Page, address: str, result: StudyResult
) -> None:
    """From the table to a run, back to the runs, and from the summary."""

    def expect_mode(page: Page) -> None:
        """The link to the documentation is of the mode: docs/latest/ml or docs/latest/genai."""
        link = page.locator("a[href*='mlflow.org/docs/latest/ml/']")
        expect(link).to_be_visible(timeout=TIMEOUT)

    study = result.summary.study
    page.goto(address)
    page.get_by_role("link", name=re.compile("^★ ")).click()
    expect(page.get_by_text("About this run")).to_be_visible(timeout=TIMEOUT)
    assert f"/runs/{result.champion.run_id}" in page.url
    expect_mode(page)
    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect_mode(page)
    expect(page.locator(".ag-row").first).to_be_visible(timeout=TIMEOUT)
    for name, place in (
        ("report", f"/runs/{study.run_id}/artifacts/report.html"),
        ("study", f"/runs/{study.run_id}"),
        ("trials", f"/experiments/{study.experiment_id}/runs"),
        ("model", "/models/quickstart"),
    ):
        page.goto(address)
        with page.expect_popup() as opened:
            page.get_by_role("link", name=name, exact=True).click()
        url = re.compile(re.escape(f"{place}?") + ".*workflowType=machine_learning")
        expect(opened.value).to_have_url(url)
        expect_mode(opened.value)
        opened.value.close()


def test_a_mode_that_the_user_chose_stays(page: Page, address: str) -> None:
    home = address.split("#")[0]
    page.goto(home)
    page.evaluate("localStorage.setItem('mlflow.workflowType_v1', '\"genai\"')")
    page.goto(home)
    page.reload()
    assert page.evaluate("localStorage.getItem('mlflow.workflowType_v1')") == '"genai"'


def test_a_study_of_an_earlier_version_opens_with_its_trials(page: Page, tmp_path: Path) -> None:
    with tarfile.open(RECORDED) as archive:
        archive.extractall(tmp_path, filter="data")
    with serve_mlflow_ui(tmp_path, "search") as printed:
        page.goto(printed)
        expect(page.locator(f".ag-row {ACCURACY}")).to_have_count(6, timeout=TIMEOUT)
        rows = [accuracy for _, accuracy in read_trials(page) if accuracy != "-"]
        assert rows == sorted(rows, reverse=True)


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
