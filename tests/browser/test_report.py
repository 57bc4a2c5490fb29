"""The report in a real browser: it draws, it answers clicks, it shows hostile text as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.analysis.comparison import Comparison, Side
from harness.analysis.paired_tests import Paired
from harness.analysis.summary import Summary
from harness.reports import comparison_page
from harness.reports.study_page import report
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRun
from tests.reports.list_study import listed
from tests.support import regression_table, synthetic_study

HOSTILE = "<b>bold</b></script><script>window.hacked = 1</script>\"'&" + "x" * 10_000
SECTIONS = (
    "verdict",
    "sure",
    "leaderboard",
    "curves",
    "classes",
    "mistakes",
    "why",
    "course",
    "data",
)


def write(study: StudyRun, path: Path) -> Path:
    champion = study.rank_trials()[0]
    verdict = Summary.of(study, champion, InMemoryTracker(), path, "sqlite:///mlruns/mlflow.db")
    report(verdict).write(path)
    return path


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.study(60, epochs=5)


@pytest.fixture(scope="module")
def written(study: StudyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(study, tmp_path_factory.mktemp("report") / "index.html")


class Watched:
    """A page, and what it complained of or asked for."""

    def __init__(self, page: Page) -> None:
        self.page, self.said, self.requested = page, list[str](), list[str]()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))

    def open(self, path: Path) -> Page:
        self.page.goto(path.as_uri())
        self.page.wait_for_function("window.harness && window.harness.drawn")
        return self.page


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    yield Watched(context.new_page())
    context.close()


def coloured(page: Page, key: int) -> set[str]:
    """The plots in which a trial is drawn on top of the others."""
    found: list[str] = page.evaluate(
        """key => harness.plots.filter(plot => plot.element.data.some(
             trace => trace.meta && trace.meta.selected === String(key)
                      && trace.x.length)).map(plot => plot.name)""",
        key,
    )
    return set(found)


def first_column(page: Page) -> list[str]:
    shown = page.locator("#leaderboard tbody tr:not([hidden]) td:first-child")
    return shown.all_inner_texts()


def test_every_section_draws_without_a_complaint_or_a_request(
    watched: Watched, written: Path
) -> None:
    page = watched.open(written)
    for name in (*SECTIONS, "next"):
        expect(page.locator(f"section#{name} h2")).to_be_visible()
    plots = page.locator(".plot")
    names = page.evaluate("harness.plots.map(plot => plot.name)")
    assert plots.count() == len(names) > 15
    undrawn = page.evaluate(
        "harness.plots.filter(p => !p.element.querySelector('.main-svg')).map(p => p.name)"
    )
    assert undrawn == []
    assert page.locator(".scatterlayer .js-line").count() > 10, "lines are drawn, not axes alone"
    expect(page.locator("#plot-balance .bars .point")).to_have_count(3 * 10)
    assert watched.said == []
    folder = written.parent.as_uri()
    elsewhere = [url for url in watched.requested if not url.startswith((folder, "data:"))]
    assert elsewhere == []


def test_a_click_on_a_row_colours_its_trial_in_every_plot(
    watched: Watched, written: Path, study: StudyRun
) -> None:
    page = watched.open(written)
    number = study.rank_trials()[5].number
    assert coloured(page, number) == set()
    row = page.locator(f"#leaderboard tr[data-key='{number}']")
    row.click()
    page.wait_for_function(f"harness.selected.includes('{number}')")
    page.wait_for_function(
        """key => harness.plots.find(p => p.name === 'timeline').element.data.some(
             trace => trace.meta && trace.meta.selected === key)""",
        arg=str(number),
    )
    assert coloured(page, number) == set(page.evaluate("harness.plots.map(plot => plot.name)")) - {
        "balance",
        "classes",
        "confusion-counts",
        "confusion-shares",
        "expected",
        "importance",
    }, "all but those that are about the champion or about no trial"
    curve = page.evaluate(
        """key => harness.plots.find(p => p.name === 'val-accuracy').element.data
             .find(trace => trace.meta.selected === key).y""",
        str(number),
    )
    expected = [round(epoch.val_accuracy, 5) for epoch in study.trials[number].epochs]
    assert curve == expected, "the very trial's curve"
    assert row.get_attribute("aria-selected") == "true"
    row.click()
    page.wait_for_function(f"!harness.selected.includes('{number}')")
    expect(row).to_have_attribute("aria-selected", "false")


def test_a_selected_trial_is_in_sight_however_bad(
    watched: Watched, written: Path, study: StudyRun
) -> None:
    page = watched.open(written)
    worst = min(
        (run for run in study.trials if run.best),
        key=lambda run: run.best.val_accuracy if run.best else 1,
    )
    assert worst.best is not None
    bottom = "name => harness.plots.find(p => p.name === name).element._fullLayout.yaxis.range[0]"
    assert page.evaluate(bottom, "history") > worst.best.val_accuracy
    page.locator(f"#leaderboard tr[data-key='{worst.number}']").click()
    for name in ("history", "slice-depth"):
        page.wait_for_function(
            f"([name, y]) => ({bottom})(name) < y", arg=[name, worst.best.val_accuracy]
        )


def test_rows_answer_the_keyboard_and_points_answer_clicks(
    watched: Watched, written: Path, study: StudyRun
) -> None:
    page = watched.open(written)
    page.locator("#clear").click()
    assert page.evaluate("harness.selected") == []
    number = study.rank_trials()[4].number
    page.locator(f"#leaderboard tr[data-key='{number}']").press("Enter")
    assert page.evaluate("harness.selected") == [str(number)]
    page.evaluate(
        """() => { const plot = harness.plots.find(p => p.name === 'history');
             plot.element.emit('plotly_click', {points: [{data: {}, customdata: 3}]}); }"""
    )
    assert page.evaluate("harness.selected") == [str(number), "3"]
    page.locator("#selected button").first.click()
    assert page.evaluate("harness.selected") == ["3"]
    page.keyboard.press("Escape")
    assert page.evaluate("harness.selected") == []
    page.locator("#filter").fill("complete")
    page.locator("#leaderboard tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert page.evaluate("harness.selected") == [str(study.rank_trials()[1].number)]


def test_the_table_sorts_by_any_column_and_filters(
    watched: Watched, written: Path, study: StudyRun
) -> None:
    page = watched.open(written)
    everyone = len(study.trials)
    assert len(first_column(page)) == everyone
    head = page.locator("#leaderboard th", has_text="learning rate")
    head.get_by_role("button").click()
    rates = [study.trials[int(number)].spec.learning_rate for number in first_column(page)]
    assert rates == sorted(rates)
    head.get_by_role("button").click()
    rates = [study.trials[int(number)].spec.learning_rate for number in first_column(page)]
    assert rates == sorted(rates, reverse=True)
    accuracy = page.locator("#leaderboard th", has_text="val accuracy").get_by_role("button")
    for _ in range(2):
        accuracy.click()
        last = study.trials[int(first_column(page)[-1])]
        assert last.best is None, "what has no value comes last, whichever way"

    box = page.locator("#filter")
    box.fill("pruned")
    pruned = {str(run.number) for run in study.trials if run.state == "PRUNED"}
    assert set(first_column(page)) == pruned
    box.fill("complete learning_rate<0.003 optimizer=adam")
    wanted = {
        str(run.number)
        for run in study.trials
        if run.state == "COMPLETE"
        and run.spec.learning_rate < 0.003
        and run.spec.optimizer == "adam"
    }
    assert 0 < len(wanted) < everyone
    assert set(first_column(page)) == wanted
    expect(page.locator("#shown")).to_have_text(f"{len(wanted)} of {everyone}")
    box.fill("l1 > 0")
    wanted = {str(run.number) for run in study.trials if run.spec.l1 > 0}
    assert set(first_column(page)) == wanted
    box.fill("batch norm = before")
    wanted = {str(run.number) for run in study.trials if run.spec.batch_norm == "before"}
    assert set(first_column(page)) == wanted
    box.fill("nonsense>3")
    expect(page.locator("#shown")).to_have_text(f"0 of {everyone}, no column nonsense")
    box.fill("")
    assert len(first_column(page)) == everyone


def test_curves_are_shown_against_seconds_too(watched: Watched, written: Path) -> None:
    page = watched.open(written)

    def axis() -> list[float]:
        found: list[float] = page.evaluate(
            "harness.plots.find(p => p.name === 'val-loss').element.data[0].x.slice(0, 2)"
        )
        return found

    assert axis() == [1, 2]
    page.locator("[data-axis=seconds]").click()
    page.wait_for_function(
        "harness.plots.find(p => p.name === 'val-loss').element.data[0].x[0] !== 1"
    )
    assert axis()[0] > 0
    assert axis() == sorted(axis()) != [1, 2]
    page.locator("[data-axis=epoch]").click()
    page.wait_for_function(
        "harness.plots.find(p => p.name === 'val-loss').element.data[0].x[0] === 1"
    )


def test_dark_follows_the_system_and_the_button(watched: Watched, written: Path) -> None:
    page = watched.open(written)

    def background() -> str:
        found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    def text() -> str:
        found: str = page.evaluate("harness.plots[0].element._fullLayout.font.color")
        return found

    light, ink = background(), text()
    assert light == "rgb(255, 255, 255)"
    page.locator("#theme").click()
    page.wait_for_function(
        "ink => harness.plots[0].element._fullLayout.font.color !== ink", arg=ink
    )
    assert background() == "rgb(13, 17, 23)"
    page.locator("#theme").click()
    assert background() == light
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert background() == "rgb(13, 17, 23)"


def test_hostile_text_is_shown_as_text(watched: Watched, study: StudyRun, tmp_path: Path) -> None:
    failed = next(run for run in study.trials if run.state == "FAILED")
    pruned = next(run for run in study.trials if run.state == "PRUNED")
    odd = replace(pruned.spec)
    object.__setattr__(odd, "activation", HOSTILE)  # as a setting of the user's own may be
    trials = list(study.trials)
    trials[failed.number] = replace(failed, reason=HOSTILE, worker=HOSTILE)
    trials[pruned.number] = replace(pruned, spec=odd, worker=HOSTILE)
    space = study.definition["space"] | {"activation": ["relu", HOSTILE]}
    hostile = replace(
        study,
        name=HOSTILE,
        classes=(HOSTILE, *study.classes[1:]),
        trials=tuple(trials),
        facts=study.facts | {"device": HOSTILE, HOSTILE: HOSTILE},
        definition=study.definition | {"space": space},
    )
    page = watched.open(write(hostile, tmp_path / "index.html"))
    assert page.evaluate("window.hacked") is None
    assert watched.said == []
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.title().startswith("<b>bold</b></script>")
    row = page.locator(f"#leaderboard tr[data-key='{pruned.number}']")
    assert HOSTILE in row.inner_text()
    assert page.locator(".plot b, .plot script").count() == 0
    ticks = page.locator("#plot-classes .ytick text").all_text_contents()
    assert any(tick.startswith("<b>bold</b></scri") for tick in ticks)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400, "nothing sticks out"


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_sticks_out_of_a_phone_or_a_screen(
    chromium: Browser, written: Path, width: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = Watched(context.new_page()).open(written)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate(
        "harness.plots.map(p => p.element.querySelector('.main-svg').clientWidth)"
    )
    assert max(widths) <= width
    context.close()


def test_a_zoom_outlives_a_selection_and_a_theme(watched: Watched, written: Path) -> None:
    page = watched.open(written)
    plot = "harness.plots.find(p => p.name === 'val-loss').element"
    page.evaluate(f"Plotly.relayout({plot}, {{'xaxis.range': [2, 3]}})")
    page.locator("#clear").click()
    page.locator("#theme").click()
    page.wait_for_function("harness.plots.at(-1).element.data.every(t => !t.meta?.selected)")
    assert page.evaluate(f"{plot}._fullLayout.xaxis.range") == [2, 3]
    page.locator("[data-axis=seconds]").click()
    page.wait_for_function(f"{plot}._fullLayout.xaxis.range[1] !== 3")


def test_it_prints_within_the_paper(watched: Watched, written: Path) -> None:
    page = watched.open(written)
    page.locator("#theme").click()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    widths = page.evaluate(
        "harness.plots.map(p => p.element.querySelector('.main-svg').clientWidth)"
    )
    assert max(widths) <= 690
    expect(page.locator("#selection")).to_be_hidden()
    expect(page.locator("details dl").first).to_be_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(
        "harness.plots.some(p => p.element.querySelector('.main-svg').clientWidth > 1000)"
    )
    assert page.evaluate("document.documentElement.dataset.theme") == "dark", "as before"


def test_it_opens_from_one_file_in_a_frame_that_may_do_nothing_else(
    watched: Watched, study: StudyRun, tmp_path: Path
) -> None:
    """As MLflow's artifact viewer shows it: a sandboxed frame, where storage throws."""
    champion = study.rank_trials()[0]
    verdict = Summary.of(study, champion, InMemoryTracker(), tmp_path, "http://tracking:5000")
    (tmp_path / "report.html").write_text(report(verdict).inlined())
    (tmp_path / "frame.html").write_text(
        '<iframe sandbox="allow-scripts" src="report.html" width="660" height="600"></iframe>'
    )
    watched.page.goto((tmp_path / "frame.html").as_uri())
    frame = watched.page.frame_locator("iframe")
    expect(frame.locator("#plot-timeline .main-svg").first).to_be_visible(timeout=30_000)
    assert watched.said == []


def test_a_comparison_draws_both_sides_in_colour(
    watched: Watched, study: StudyRun, tmp_path: Path
) -> None:
    first, second = study.rank_trials()[:2]
    hostile = replace(study, name=HOSTILE)
    sides = (Side("A", study, first), Side("B", hostile, second))
    path = tmp_path / "index.html"
    comparison_page.report(Comparison(sides, (Paired(6000, 40, 20, 0.01),), (0.01,))).write(path)
    page = watched.open(path)
    drawn = page.evaluate(
        """() => { const plot = harness.plots.find(p => p.name === 'val-accuracy');
             return plot.element.data.slice(1).map(t => [t.meta.selected, t.y.length]); }"""
    )
    assert drawn == [["A", len(first.epochs)], ["B", len(second.epochs)]]
    assert "a difference that shows on 6,000 examples" in page.locator("#result").inner_text()
    assert page.locator("#plot-differences .bars .point").count() == len(study.classes)
    assert page.evaluate("window.hacked") is None
    assert watched.said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_a_list_is_shown_setting_by_setting(watched: Watched, tmp_path: Path) -> None:
    study, tracker = listed()
    path = tmp_path / "index.html"
    report(Summary.of(study, study.rank_trials()[0], tracker, path, "http://h/")).write(path)
    page = watched.open(path)
    undrawn = page.evaluate(
        "harness.plots.filter(p => !p.element.querySelector('.main-svg')).map(p => p.name)"
    )
    assert undrawn == []
    assert page.locator("#plot-settings .scatterlayer .point").count() > 2 * len(study.trials)
    assert page.locator("#plot-luck .bars .point").count() > 5
    assert watched.said == []
    page.locator("#clear").click()

    row = page.locator("#settings tbody tr").nth(1)
    assert row.get_attribute("data-key") == "1 4 7"
    row.click()
    assert page.evaluate("harness.selected") == ["1", "4", "7"]
    expect(row).to_have_attribute("aria-selected", "true")
    page.wait_for_function("harness.plots.at(-1).element.data.some(t => t.meta?.selected === '7')")
    assert {"settings", "contenders", "history", "val-accuracy"} - coloured(page, 7) == {"history"}
    drawn = page.evaluate(
        """harness.plots.find(p => p.name === 'settings').element.data
             .filter(t => t.meta?.selected === '4').map(t => [t.x[0], t.marker.symbol])"""
    )
    best, reading = study.trials[4].best, study.find_reading(study.trials[4])
    assert best is not None
    assert reading is not None
    assert drawn == [[best.val_accuracy, "circle"], [reading.accuracy, "diamond"]]
    page.locator("#leaderboard tr[data-key='4']").click()
    expect(row).to_have_attribute("aria-selected", "false")
    row.press("Enter")
    assert page.evaluate("harness.selected") == ["1", "4", "7"], "the rest of them too"
    row.click()
    assert page.evaluate("harness.selected") == []

    point = page.locator("#plot-settings .scatterlayer .trace").first.locator(".point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("harness.selected.length === 1")
    assert page.evaluate("harness.selected") == ["2"], "the best setting's first seed"
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_function(
        "harness.plots.every(p => p.element.querySelector('.main-svg').clientWidth <= 360)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_regression_draws_predicted_against_true(watched: Watched, tmp_path: Path) -> None:
    tracker, study = regression_table.record()
    path = tmp_path / "index.html"
    champion = study.rank_trials()[0]
    verdict = Summary.of(study, champion, tracker, path, "sqlite:///mlruns/mlflow.db")
    report(verdict).write(path)
    page = watched.open(path)
    expect(page.locator("section#predicted h2")).to_be_visible()
    expect(page.locator("section#classes")).to_have_count(0)
    dots = page.locator("#plot-predicted .scatterlayer .point")
    expect(dots).to_have_count(regression_table.VALIDATION)
    expect(page.locator("#plot-errors .bars .point").first).to_be_visible()
    expect(page.locator("#plot-val-rmse .js-line").first).to_be_visible()
    assert "RMSE of price" in page.locator("section#verdict").inner_text()
    page.locator("#filter").fill(f"val_rmse<{champion.score + 1:.0f}")
    expect(page.locator("#leaderboard tbody tr:not([hidden])")).to_have_count(1)
    row = page.locator(f"#leaderboard tr[data-key='{study.rank_trials()[-1].number}']")
    page.locator("#filter").fill("")
    row.click()
    assert watched.said == []
