"""`harness report --open` beside `harness run-study`, each in its own process, in a browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.workspace import Workspace

pytestmark = pytest.mark.slow
TIMEOUT = 120.0
STUDY = """
[data]
name = "digits"
[train]
epochs = 3
[space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
hidden = [[16], [32], [64]]
"""
HARNESS = (sys.executable, "-m", "harness")
TRIALS = "#leaderboard tbody tr"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a study file, and a browser that writes down the address it is to open."""
    (tmp_path / "live.toml").write_text(STUDY)
    browser = tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/address.new\n')
    with browser.open("a") as script:
        script.write(f"mv {tmp_path}/address.new {tmp_path}/address\n")
    browser.chmod(0o700)
    return tmp_path


@pytest.fixture
def study(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A study of many short trials, which the test ends."""
    command = [*HARNESS, "run-study", "live.toml", "--cpu", "--workers=0", "--trials=5000"]
    with (folder / "study.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def report(folder: Path, study: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[str]]:
    workspace = Workspace(folder / "mlruns")
    wait_for(lambda: workspace.study_storage(workspace.local_uri).is_locked("live"))
    environment = os.environ | {"BROWSER": f"{folder}/browser.sh %s"}
    process = subprocess.Popen(
        [*HARNESS, "report", "live", "--open"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


@pytest.fixture
def page(
    chromium: Browser, folder: Path, report: subprocess.Popen[str]
) -> Iterator[tuple[Page, list[str], list[str]]]:
    """The page that the command opens, with its messages and requests."""
    wait_for((folder / "address").exists)
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    messages, requests = list[str](), list[str]()
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.set_default_timeout(1000 * TIMEOUT)
    page.goto((folder / "address").read_text())
    yield page, messages, requests
    page.close()


def count_trials(page: Page) -> int:
    return page.locator(TRIALS).count()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_the_page_is_updated_while_the_study_runs_and_stops_when_it_ends(
    page: tuple[Page, list[str], list[str]],
    study: subprocess.Popen[bytes],
    report: subprocess.Popen[str],
    folder: Path,
    ending: signal.Signals,
) -> None:
    tab, messages, requests = page
    expect(tab.locator("#status")).to_contain_text("running", timeout=1000 * TIMEOUT)
    tab.wait_for_function("document.querySelectorAll('#leaderboard tbody tr').length > 3")
    expect(tab.locator("h2").first).to_have_text("Best so far")
    expect(tab.locator("#verdict .cards")).to_contain_text("sealed")

    # What the reader sets stays: selection, filter, order, axis, a fold, focus, scroll.
    last = tab.locator(TRIALS).last
    key = last.get_attribute("data-key")
    tab.evaluate("clear()")
    last.click()
    tab.locator("[data-axis=seconds]").click()
    tab.locator("#verdict details summary").click()
    tab.get_by_role("button", name="learning rate").click()
    tab.locator("#filter").fill("complete")
    tab.evaluate("document.querySelector('.scroll').scrollTop = 40")
    table = tab.locator("#leaderboard table")
    table.evaluate("e => e.scrollIntoView()")
    top = table.evaluate("e => e.getBoundingClientRect().top")
    element = tab.evaluate_handle("harness.plots[0].element")
    before = tab.locator(TRIALS).count()
    tab.wait_for_function(f"document.querySelectorAll('{TRIALS}').length > {before}")
    tab.wait_for_function("!harness.plots[0].isStale")
    assert tab.evaluate("harness.selected") == [key]
    assert tab.locator("#filter").input_value() == "complete"
    assert tab.evaluate("document.activeElement.id") == "filter"
    assert tab.locator("[data-axis=seconds]").get_attribute("aria-pressed") == "true"
    assert tab.locator("#verdict details").get_attribute("open") is not None
    assert tab.locator("th[aria-sort=ascending]").inner_text() == "learning rate"
    assert abs(table.evaluate("e => e.getBoundingClientRect().top") - top) < 2
    assert tab.evaluate("element => element === harness.plots[0].element", element)
    assert tab.evaluate("element => element.isConnected", element)

    study.send_signal(ending)
    expect(tab.locator("#status")).to_contain_text("not finished", timeout=1000 * TIMEOUT)
    assert report.wait(TIMEOUT) == 0
    count = tab.evaluate("update.count")
    time.sleep(7)
    assert tab.evaluate("update.count") == count, "it is not loaded any more"
    assert messages == []
    reports = (folder / "mlruns" / "reports").as_uri()
    assert [url for url in requests if not url.startswith((reports, "data:"))] == []


def test_ctrl_c_ends_the_updates_and_a_killed_command_is_noticed(
    page: tuple[Page, list[str], list[str]], report: subprocess.Popen[str]
) -> None:
    tab, messages, _ = page
    tab.wait_for_function("document.querySelectorAll('#leaderboard tbody tr').length > 3")
    tab.evaluate("root.dataset.written = 0")
    tab.evaluate("update()")
    expect(tab.locator("#status")).to_contain_text("not updated any more")
    tab.reload()
    expect(tab.locator("#status")).to_contain_text("running")
    report.send_signal(signal.SIGINT)
    assert report.wait(TIMEOUT) == 0
    assert report.stdout is not None
    assert report.stdout.read() == "mlruns/reports/live/index.html\n"
    tab.wait_for_function("!root.dataset.interval")
    expect(tab.locator("#status")).to_contain_text("running")
    tab.reload()
    tab.wait_for_function("window.harness && harness.drawn")
    assert tab.evaluate("root.dataset.interval") is None
    assert messages == []
