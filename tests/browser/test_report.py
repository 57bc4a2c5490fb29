"""The report in a real browser: plots, clicks and keys, and the escaping of hostile text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.analysis.comparison import Comparison, Side
from harness.analysis.paired_tests import PairedTest
from harness.analysis.summary import load_summary
from harness.reports import comparison_page
from harness.reports.study_page import build_study_page
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.types import StudyRun
from tests.reports.list_study import make_list_study
from tests.support import regression_table, synthetic_study

HOSTILE = "<b>bold</b></script><script>window.hacked = 1</script>\"'&" + "x" * 10_000
SECTIONS = (
    "verdict",
    "leaderboard",
    "curves",
    "classes",
    "mistakes",
    "why",
    "course",
    "sure",
    "data",
    "next",
    "use",
)


def write_report(study: StudyRun, path: Path) -> Path:
    champion = study.rank_trials()[0]
    summary = load_summary(study, champion, InMemoryTracker(), path, "sqlite:///mlruns/mlflow.db")
    build_study_page(summary).write(path)
    return path


@pytest.fixture(scope="module")
def study() -> StudyRun:
    return synthetic_study.make_study(60, epochs=5)


@pytest.fixture(scope="module")
def report_path(study: StudyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(study, tmp_path_factory.mktemp("report") / "index.html")


class WatchedPage:
    """A page with its console messages, errors and requests."""

    def __init__(self, page: Page) -> None:
        self.page, self.messages, self.requested = page, list[str](), list[str]()
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))

    def open(self, path: Path) -> Page:
        self.page.goto(path.as_uri())
        self.page.wait_for_function("window.harness && window.harness.drawn")
        return self.page


@pytest.fixture
def watched(chromium: Browser) -> Iterator[WatchedPage]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    yield WatchedPage(context.new_page())
    context.close()


def find_highlighted_plots(page: Page, key: int) -> set[str]:
    """Return the plots that draw a trial on top of the others."""
    names: list[str] = page.evaluate(
        """key => harness.plots.filter(plot => plot.element.data.some(
             trace => trace.meta && trace.meta.selected === String(key)
                      && trace.x.length)).map(plot => plot.name)""",
        key,
    )
    return set(names)


def read_first_column(page: Page) -> list[str]:
    cells = page.locator("#leaderboard tbody tr:not([hidden]) td:first-child")
    return cells.all_inner_texts()


def test_every_section_is_drawn_without_errors_or_requests(
    watched: WatchedPage, report_path: Path
) -> None:
    page = watched.open(report_path)
    for name in SECTIONS:
        expect(page.locator(f"section#{name} h2")).to_be_visible()
    plots = page.locator(".plot")
    names = page.evaluate("harness.plots.map(plot => plot.name)")
    assert plots.count() == len(names) > 15
    undrawn = page.evaluate(
        "harness.plots.filter(p => !p.element.querySelector('.main-svg')).map(p => p.name)"
    )
    assert undrawn == []
    assert page.locator(".scatterlayer .js-line").count() > 10, "lines are drawn, not only axes"
    expect(page.locator("#plot-balance .bars .point")).to_have_count(3 * 10)
    assert watched.messages == []
    folder = report_path.parent.as_uri()
    elsewhere = [url for url in watched.requested if not url.startswith((folder, "data:"))]
    assert elsewhere == []


def test_a_click_on_a_row_highlights_its_trial_in_every_plot(
    watched: WatchedPage, report_path: Path, study: StudyRun
) -> None:
    page = watched.open(report_path)
    number = study.rank_trials()[5].number
    assert find_highlighted_plots(page, number) == set()
    row = page.locator(f"#leaderboard tr[data-key='{number}']")
    row.click()
    page.wait_for_function(f"harness.selected.includes('{number}')")
    page.wait_for_function(
        """key => harness.plots.find(p => p.name === 'timeline').element.data.some(
             trace => trace.meta && trace.meta.selected === key)""",
        arg=str(number),
    )
    assert find_highlighted_plots(page, number) == set(
        page.evaluate("harness.plots.map(plot => plot.name)")
    ) - {
        "balance",
        "classes",
        "confusion-counts",
        "confusion-shares",
        "expected",
        "importance",
    }, "all plots of trials, other than those of the champion alone"
    curve = page.evaluate(
        """key => harness.plots.find(p => p.name === 'val-accuracy').element.data
             .find(trace => trace.meta.selected === key).y""",
        str(number),
    )
    expected = [round(epoch.val_accuracy, 5) for epoch in study.trials[number].epochs]
    assert curve == expected, "the curve of this trial"
    assert row.get_attribute("aria-selected") == "true"
    row.click()
    page.wait_for_function(f"!harness.selected.includes('{number}')")
    expect(row).to_have_attribute("aria-selected", "false")


def test_a_selected_trial_is_always_visible(
    watched: WatchedPage, report_path: Path, study: StudyRun
) -> None:
    page = watched.open(report_path)
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


def test_rows_react_to_keys_and_points_to_clicks(
    watched: WatchedPage, report_path: Path, study: StudyRun
) -> None:
    page = watched.open(report_path)
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
    watched: WatchedPage, report_path: Path, study: StudyRun
) -> None:
    page = watched.open(report_path)
    everyone = len(study.trials)
    assert len(read_first_column(page)) == everyone
    head = page.locator("#leaderboard th", has_text="learning rate")
    head.get_by_role("button").click()
    rates = [study.trials[int(number)].spec.learning_rate for number in read_first_column(page)]
    assert rates == sorted(rates)
    head.get_by_role("button").click()
    rates = [study.trials[int(number)].spec.learning_rate for number in read_first_column(page)]
    assert rates == sorted(rates, reverse=True)
    accuracy = page.locator("#leaderboard th", has_text="val accuracy").get_by_role("button")
    for _ in range(2):
        accuracy.click()
        last = study.trials[int(read_first_column(page)[-1])]
        assert last.best is None, "trials without a value are last in both orders"

    box = page.locator("#filter")
    box.fill("pruned")
    pruned = {str(run.number) for run in study.trials if run.state == "PRUNED"}
    assert set(read_first_column(page)) == pruned
    box.fill("complete learning_rate<0.003 optimizer=adam")
    wanted = {
        str(run.number)
        for run in study.trials
        if run.state == "COMPLETE"
        and run.spec.learning_rate < 0.003
        and run.spec.optimizer == "adam"
    }
    assert 0 < len(wanted) < everyone
    assert set(read_first_column(page)) == wanted
    expect(page.locator("#shown")).to_have_text(f"{len(wanted)} of {everyone}")
    box.fill("l1 > 0")
    wanted = {str(run.number) for run in study.trials if run.spec.l1 > 0}
    assert set(read_first_column(page)) == wanted
    box.fill("batch norm = before")
    wanted = {str(run.number) for run in study.trials if run.spec.batch_norm == "before"}
    assert set(read_first_column(page)) == wanted
    box.fill("nonsense>3")
    expect(page.locator("#shown")).to_have_text(f"0 of {everyone}, no column nonsense")
    box.fill("")
    assert len(read_first_column(page)) == everyone


def test_curves_can_be_shown_against_seconds(watched: WatchedPage, report_path: Path) -> None:
    page = watched.open(report_path)

    def read_axis() -> list[float]:
        values: list[float] = page.evaluate(
            "harness.plots.find(p => p.name === 'val-loss').element.data[0].x.slice(0, 2)"
        )
        return values

    assert read_axis() == [1, 2]
    page.locator("[data-axis=seconds]").click()
    page.wait_for_function(
        "harness.plots.find(p => p.name === 'val-loss').element.data[0].x[0] !== 1"
    )
    assert read_axis()[0] > 0
    assert read_axis() == sorted(read_axis()) != [1, 2]
    page.locator("[data-axis=epoch]").click()
    page.wait_for_function(
        "harness.plots.find(p => p.name === 'val-loss').element.data[0].x[0] === 1"
    )


def test_dark_follows_the_system_and_the_button(watched: WatchedPage, report_path: Path) -> None:
    page = watched.open(report_path)

    def read_background() -> str:
        color: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return color

    def read_text_color() -> str:
        color: str = page.evaluate("harness.plots[0].element._fullLayout.font.color")
        return color

    light, ink = read_background(), read_text_color()
    assert light == "rgb(255, 255, 255)"
    page.locator("#theme").click()
    page.wait_for_function(
        "ink => harness.plots[0].element._fullLayout.font.color !== ink", arg=ink
    )
    assert read_background() == "rgb(13, 17, 23)"
    page.locator("#theme").click()
    assert read_background() == light
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert read_background() == "rgb(13, 17, 23)"


def test_hostile_text_is_shown_as_text(
    watched: WatchedPage, study: StudyRun, tmp_path: Path
) -> None:
    failed = next(run for run in study.trials if run.state == "FAILED")
    pruned = next(run for run in study.trials if run.state == "PRUNED")
    odd = replace(pruned.spec)
    object.__setattr__(odd, "activation", HOSTILE)  # as a custom value may be
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
    page = watched.open(write_report(hostile, tmp_path / "index.html"))
    assert page.evaluate("window.hacked") is None
    assert watched.messages == []
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.title().startswith("<b>bold</b></script>")
    row = page.locator(f"#leaderboard tr[data-key='{pruned.number}']")
    assert HOSTILE in row.inner_text()
    assert page.locator(".plot b, .plot script").count() == 0
    ticks = page.locator("#plot-classes .ytick text").all_text_contents()
    assert any(tick.startswith("<b>bold</b></scri") for tick in ticks)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400, (
        "the page is not wider than the window"
    )


@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_fits_a_phone_and_a_screen(
    chromium: Browser, report_path: Path, width: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = WatchedPage(context.new_page()).open(report_path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate(
        "harness.plots.map(p => p.element.querySelector('.main-svg').clientWidth)"
    )
    assert max(widths) <= width
    context.close()


def test_a_zoom_is_kept_when_the_selection_or_theme_changes(
    watched: WatchedPage, report_path: Path
) -> None:
    page = watched.open(report_path)
    plot = "harness.plots.find(p => p.name === 'val-loss').element"
    page.evaluate(f"Plotly.relayout({plot}, {{'xaxis.range': [2, 3]}})")
    page.locator("#clear").click()
    page.locator("#theme").click()
    page.wait_for_function("harness.plots.at(-1).element.data.every(t => !t.meta?.selected)")
    assert page.evaluate(f"{plot}._fullLayout.xaxis.range") == [2, 3]
    page.locator("[data-axis=seconds]").click()
    page.wait_for_function(f"{plot}._fullLayout.xaxis.range[1] !== 3")


def test_plots_fit_the_printed_page(watched: WatchedPage, report_path: Path) -> None:
    page = watched.open(report_path)
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


def test_the_inlined_report_opens_in_a_sandboxed_frame(
    watched: WatchedPage, study: StudyRun, tmp_path: Path
) -> None:
    """MLflow's artifact viewer shows it in a sandboxed frame, where localStorage throws."""
    champion = study.rank_trials()[0]
    summary = load_summary(study, champion, InMemoryTracker(), tmp_path, "http://tracking:5000")
    (tmp_path / "report.html").write_text(build_study_page(summary).render_inline())
    (tmp_path / "frame.html").write_text(
        '<iframe sandbox="allow-scripts" src="report.html" width="660" height="600"></iframe>'
    )
    watched.page.goto((tmp_path / "frame.html").as_uri())
    frame = watched.page.frame_locator("iframe")
    expect(frame.locator("#plot-timeline .main-svg").first).to_be_visible(timeout=30_000)
    tools = frame.locator("#leaderboard .save").first
    for name in ("CSV", "LaTeX"):
        tools.get_by_role("button", name=name).click()
        expect(tools.get_by_role("status")).to_contain_text("This frame blocks downloads")
    assert watched.messages == []


def test_a_comparison_highlights_both_sides(
    watched: WatchedPage, study: StudyRun, tmp_path: Path
) -> None:
    first, second = study.rank_trials()[:2]
    hostile = replace(study, name=HOSTILE)
    sides = (Side("A", study, first), Side("B", hostile, second))
    path = tmp_path / "index.html"
    comparison_page.build_comparison_page(
        Comparison(sides, (PairedTest(6000, 40, 20, 0.01),), (0.01,))
    ).write(path)
    page = watched.open(path)
    curves = page.evaluate(
        """() => { const plot = harness.plots.find(p => p.name === 'val-accuracy');
             return plot.element.data.slice(1).map(t => [t.meta.selected, t.y.length]); }"""
    )
    assert curves == [["A", len(first.epochs)], ["B", len(second.epochs)]]
    assert "a significant difference on 6,000 examples" in page.locator("#result").inner_text()
    assert page.locator("#plot-differences .bars .point").count() == len(study.classes)
    assert page.evaluate("window.hacked") is None
    assert watched.messages == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400


def test_the_report_of_a_list_shows_and_selects_settings(
    watched: WatchedPage, tmp_path: Path
) -> None:
    study, tracker = make_list_study()
    path = tmp_path / "index.html"
    build_study_page(load_summary(study, study.rank_trials()[0], tracker, path, "http://h/")).write(
        path
    )
    page = watched.open(path)
    undrawn = page.evaluate(
        "harness.plots.filter(p => !p.element.querySelector('.main-svg')).map(p => p.name)"
    )
    assert undrawn == []
    assert page.locator("#plot-settings .scatterlayer .point").count() > 2 * len(study.trials)
    assert page.locator("#plot-luck .bars .point").count() > 5
    assert watched.messages == []
    page.locator("#clear").click()

    row = page.locator("#settings tbody tr").nth(1)
    assert row.get_attribute("data-key") == "1 4 7"
    row.click()
    assert page.evaluate("harness.selected") == ["1", "4", "7"]
    expect(row).to_have_attribute("aria-selected", "true")
    page.wait_for_function(
        """harness.plots.filter(p => ['settings', 'contenders', 'val-accuracy'].includes(p.name))
             .every(p => p.element.data.some(t => t.meta?.selected === '7'))"""
    )
    assert {"settings", "contenders", "history", "val-accuracy"} - find_highlighted_plots(
        page, 7
    ) == {"history"}
    points = page.evaluate(
        """harness.plots.find(p => p.name === 'settings').element.data
             .filter(t => t.meta?.selected === '4').map(t => [t.x[0], t.marker.symbol])"""
    )
    best, reading = study.trials[4].best, study.find_reading(study.trials[4])
    assert best is not None
    assert reading is not None
    assert points == [[best.val_accuracy, "circle"], [reading.accuracy, "diamond"]]
    page.locator("#leaderboard tr[data-key='4']").click()
    expect(row).to_have_attribute("aria-selected", "false")
    row.press("Enter")
    assert page.evaluate("harness.selected") == ["1", "4", "7"], "all trials of the setting"
    row.click()
    assert page.evaluate("harness.selected") == []

    point = page.locator("#plot-settings .scatterlayer .trace").first.locator(".point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("harness.selected.length === 1")
    assert page.evaluate("harness.selected") == ["2"], "the first seed of the best setting"
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_function(
        "harness.plots.every(p => p.element.querySelector('.main-svg').clientWidth <= 360)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_report_of_a_regression_plots_predicted_against_true(
    watched: WatchedPage, tmp_path: Path
) -> None:
    tracker, study = regression_table.make_study()
    path = tmp_path / "index.html"
    champion = study.rank_trials()[0]
    summary = load_summary(study, champion, tracker, path, "sqlite:///mlruns/mlflow.db")
    build_study_page(summary).write(path)
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
    assert watched.messages == []


def test_plots_and_tables_are_saved_and_an_axis_is_brushed(
    watched: WatchedPage, report_path: Path, study: StudyRun
) -> None:
    page = watched.open(report_path)
    figure = page.locator("figure", has=page.locator("#plot-history"))
    figure.hover()
    for name in ("PNG", "SVG", "CSV"):
        with page.expect_download() as download:
            figure.get_by_role("button", name=name).click()
        assert download.value.suggested_filename == f"history.{name.lower()}"
    for name, start in (("CSV", "trial,"), ("LaTeX", "% \\usepackage{booktabs}")):
        with page.expect_download() as download:
            page.locator("#leaderboard .save").get_by_role("button", name=name).first.click()
        text = download.value.path().read_text()
        assert text.startswith(start)
        assert text.count("\n") > len(study.trials)
    page.evaluate(
        "brush(harness.plots.find(p => p.name === 'parallel'), {x: [-.1, .1], y: [0, .5]})"
    )
    expect(page.locator(".brushes")).to_contain_text("trials pass the brushed axes")
    page.locator("[data-scale=log]").click()
    page.wait_for_function(
        "harness.plots.find(p => p.name === 'val-loss').element._fullLayout.yaxis.type === 'log'"
    )
    assert watched.messages == []


@pytest.mark.parametrize(("width", "height", "plots"), [(400, 800, 1), (1400, 900, 2)])
def test_the_first_screen_shows_plots_that_nothing_covers(
    chromium: Browser, report_path: Path, width: int, height: int, plots: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = WatchedPage(context.new_page()).open(report_path)
    bottom = page.evaluate(
        "(document.getElementById('selection').getBoundingClientRect().top || innerHeight)"
    )
    inside = page.evaluate(
        """bottom => harness.plots.filter(plot => {
             const box = plot.element.getBoundingClientRect();
             return box.height && box.top >= 0 && box.bottom <= bottom;
           }).map(plot => plot.name)""",
        bottom,
    )
    assert len(inside) >= plots, inside
    assert inside[0] == "val-accuracy"
    context.close()


def test_the_contents_follow_the_scroll(watched: WatchedPage, report_path: Path) -> None:
    page = watched.open(report_path)
    ids = page.evaluate("[...document.querySelectorAll('section')].map(section => section.id)")
    links = page.locator("nav a")
    assert [link.get_attribute("href") for link in links.all()] == [f"#{name}" for name in ids]
    assert len({*ids}) == len(ids)
    for name in (*ids[:-1], *reversed(ids[:-2])):
        page.evaluate(f"document.getElementById('{name}').scrollIntoView()")
        expect(page.locator("nav a[aria-current]")).to_have_attribute("href", f"#{name}")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("nav a[aria-current]")).to_have_attribute("href", f"#{ids[-1]}")
    links.nth(3).click()
    expect(page.locator("nav a[aria-current]")).to_have_attribute("href", f"#{ids[3]}")
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len({*identifiers}) == len(identifiers), "each id is unique"


def test_everything_is_operated_by_the_keyboard(watched: WatchedPage, report_path: Path) -> None:
    """Tab reaches the contents, folds, switches, filter, columns, rows and downloads, in order."""
    page = watched.open(report_path)
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.id || e.dataset.key || e.textContent.trim())(document.activeElement)"
            )
        )
    parts = ["theme", "Leaderboard", "PNG", "CSV", "All results", "filter", "trial", "LaTeX"]
    positions = [reached.index(part) for part in parts]
    assert positions == sorted(positions), reached
    page.locator("#verdict summary").press("Enter")
    expect(page.locator("#verdict dl")).to_be_visible()
    head = page.get_by_role("button", name="learning rate")
    head.press("Enter")
    expect(page.locator("#leaderboard th[aria-sort=ascending]")).to_have_text("learning rate")
    page.locator("[data-axis=seconds]").press(" ")
    expect(page.locator("[data-axis=seconds]")).to_have_attribute("aria-pressed", "true")
    tools = page.locator("figure", has=page.locator("#plot-history")).locator(".save")
    page.mouse.move(0, 0)
    tools.get_by_role("button", name="CSV").focus()
    expect(tools).to_have_css("opacity", "1")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "history.csv"
    assert watched.messages == []


def test_a_drag_along_an_axis_keeps_the_trials_that_pass_there(
    watched: WatchedPage, report_path: Path
) -> None:
    page = watched.open(report_path)
    plot = "harness.plots.find(plot => plot.name === 'parallel')"
    page.locator("#plot-parallel").scroll_into_view_if_needed()
    note = page.locator(".brushes")
    expect(note).to_contain_text("Drag along an axis")

    def drag(axis: int, low: float, high: float) -> None:
        """Drag beside an axis, from and to heights as shares of the axis."""
        x, start, end = page.evaluate(
            f"""([axis, ...heights]) => {{
                 const element = {plot}.element, {{xaxis, yaxis}} = element._fullLayout;
                 const box = element.getBoundingClientRect();
                 return [box.left + xaxis._offset + xaxis.d2p(axis),
                         ...heights.map(y => box.top + yaxis._offset + yaxis.d2p(y))]; }}""",
            [axis, low, high],
        )
        page.mouse.move(x - 4, start)
        page.mouse.down()
        page.mouse.move(x + 4, (start + end) / 2, steps=4)
        page.mouse.move(x + 6, end, steps=4)
        page.mouse.up()

    def count_passing() -> int:
        expect(note).to_contain_text("trials pass the brushed axes")
        return int(note.inner_text().split(" of ")[0])

    last = page.evaluate(f"{plot}.layout.meta.brush") - 1
    drag(last, 0.5, 1.0)
    first = count_passing()
    expected = page.evaluate(
        f"""axis => [...readLines({plot}).values()].filter(heights => {{
             const [low, high] = {plot}.brushes.get(axis);
             return low <= heights[axis] && heights[axis] <= high; }}).length""",
        last,
    )
    assert 0 < first == expected < page.evaluate(f"readLines({plot}).size")
    drag(0, 0.0, 0.4)
    page.wait_for_function(f"{plot}.brushes.size === 2")
    assert count_passing() < first
    note.get_by_role("button", name="clear").click()
    expect(note).to_contain_text("Drag along an axis")
    assert watched.messages == []


@pytest.mark.slow
def test_each_plot_is_saved_as_png_svg_and_csv(watched: WatchedPage, report_path: Path) -> None:
    page = watched.open(report_path)
    for summary in page.locator("summary").all():
        summary.click()
    names = page.evaluate("harness.plots.map(plot => plot.name)")
    for name in names:
        figure = page.locator("figure", has=page.locator(f"#plot-{name}"))
        figure.hover()
        for kind in ("PNG", "SVG", "CSV"):
            page.wait_for_timeout(120)  # Chromium drops more than 10 downloads in a second
            with page.expect_download() as download:
                figure.get_by_role("button", name=kind, exact=True).click()
            assert download.value.suggested_filename == f"{name}.{kind.lower()}"
            content = download.value.path().read_bytes()
            if kind == "PNG":
                assert content.startswith(b"\x89PNG"), name
                assert len(content) > 3_000, name
            elif kind == "SVG":
                assert content.startswith(b"<svg"), name
                assert content.count(b"<path") > 3, name
            else:
                head, *rows = csv.reader(content.decode().splitlines())
                assert rows, name
                assert {len(row) for row in rows} == {len(head)}, name
    assert watched.messages == []


def test_the_contour_shows_two_settings_and_their_trials(
    watched: WatchedPage, report_path: Path
) -> None:
    page = watched.open(report_path)
    plot = "harness.plots.find(plot => plot.name === 'contour')"
    titles = page.evaluate(f"['xaxis', 'yaxis'].map(a => {plot}.layout[a].title.text)")
    assert len({*titles}) == 2
    assert page.evaluate(f"{plot}.data.some(trace => trace.z)")
    area = page.locator("#plot-contour .heatmaplayer image, #plot-contour .contourlayer path")
    assert area.count() > 0
    page.locator("#plot-contour").scroll_into_view_if_needed()
    page.evaluate("clear()")
    page.wait_for_function(f"!{plot}.element.data.some(trace => trace.meta?.selected)")
    key, x, y = page.evaluate(
        f"""(() => {{ const {{element}} = {plot}, box = element.getBoundingClientRect();
             const trace = element.data.findLast(t => Array.isArray(t.customdata) && t.x.length);
             const {{xaxis, yaxis}} = element._fullLayout;
             return [String(trace.customdata[0]), box.left + xaxis._offset + xaxis.d2p(trace.x[0]),
                     box.top + yaxis._offset + yaxis.d2p(trace.y[0])]; }})()"""
    )
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    page.wait_for_function("harness.selected.length === 1")
    assert page.evaluate("harness.selected") == [key]
    assert watched.messages == []


def test_equal_trials_do_not_hide_each_other(
    watched: WatchedPage, study: StudyRun, tmp_path: Path
) -> None:
    """Four trials of one size and accuracy are four points in the plot of size."""
    first, *others = study.rank_trials()
    equal = {
        run.number: replace(run, best=first.best, parameters=first.parameters) for run in others[:3]
    }
    same = replace(study, trials=tuple(equal.get(run.number, run) for run in study.trials))
    page = watched.open(write_report(same, tmp_path / "index.html"))
    places = page.evaluate(
        """keys => { const {data} = harness.plots.find(p => p.name === 'accuracy-parameters');
             return data.flatMap(trace => (trace.customdata || []).flatMap((key, i) =>
               keys.includes(key) ? [[trace.x[i], trace.y[i]]] : [])); }""",
        [first.number, *equal],
    )
    assert len(places) == 4
    assert len({tuple(place) for place in places}) == 4
    assert len({y for _, y in places}) == 1, "the accuracy is not changed"
    x = [place[0] for place in places]
    assert x[0] == first.parameters
    assert max(x) / min(x) < 1.5
