"""A study's summary in a terminal: one screen at 80 columns, wrapped at any other width.

The facts are those of `harness.analysis.facts` that have a short form. `--verbose` prints all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from harness.analysis.confirmation import rank_confirmed_settings
from harness.analysis.fact import Fact
from harness.analysis.seed_variance import SeedScores, rank_settings
from harness.analysis.summary import Summary

SHOWN_TRIALS = 5
MIN_TRIALS = 3
"""As many are shown, even where the summary is longer than MAX_LINES."""
MAX_LINES = 21
"""With the empty line before it, the summary leaves two lines of a usual terminal's 24."""
SHOWN_SETTINGS = 8
LOCATIONS = ("report", "model", "browse")
"""Keys of the facts that follow the table."""
NARROW = 60
"""Below this number of columns, a table has only the score and the settings."""
LABEL_STYLE = "cyan"
CHAMPION_STYLE = "bold green"


def print_summary(summary: Summary, stream: TextIO | None = None) -> None:
    """Print the summary: with colours and links in a terminal, as plain text elsewhere."""
    console = Console(file=stream or sys.stdout, highlight=False)
    for trials in range(SHOWN_TRIALS, MIN_TRIALS - 1, -1):
        with console.capture() as capture:
            console.print(render_summary(summary, console.width, trials))
        lines = capture.get().splitlines()
        if len(lines) <= MAX_LINES:
            break
    if not console.is_terminal:  # a table is padded to its width
        lines = [line.rstrip() for line in lines]
    print("", *lines, sep="\n", file=console.file, flush=True)


def render_summary(summary: Summary, width: int, trials: int = SHOWN_TRIALS) -> Group:
    """Return the summary for a terminal of `width` columns, with the `trials` best trials."""
    study = summary.study
    labels = {
        "test": f"{study.test_name} {study.score.name if summary.reading else 'set'}",
        "champion_settings": "champion",
        "classes": "hardest class",
        "report": "full report",
    }
    facts = {
        fact.key: replace(fact, label=labels.get(fact.key, fact.label))
        for fact in summary.facts
        if fact.short
    }
    counts = facts.pop("trials").short
    places = [facts.pop(key) for key in LOCATIONS]
    title = Text.assemble((study.name, "bold"), "  ", counts)
    if study.is_grid_or_list:
        table = _list_settings(summary, width)
    else:
        table = _list_best_trials(summary, width, trials)
    links = {"report": summary.report_path.absolute().as_uri()}
    if summary.browse_command.startswith("http"):
        links["browse"] = summary.browse_command
    return Group(
        title,
        Text(),
        _align(list(facts.values())),
        Text(),
        table,
        Text(),
        _align(places, links),
    )


def _align(facts: Sequence[Fact], links: dict[str, str] | None = None) -> Table:
    """Return labels and texts in two columns; a text is wrapped within its column."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style=LABEL_STYLE)
    grid.add_column(overflow="fold")
    for fact in facts:
        style = "bold" if fact.key == "test" else ""
        if links and fact.key in links:
            style = f"link {links[fact.key]}"
        grid.add_row(fact.label, Text(fact.short, style=style))
    return grid


def _list_best_trials(summary: Summary, width: int, trials: int) -> Table:
    """Return the best trials of a search, with the plain means of their confirmation runs."""
    study, score = summary.study, summary.study.score
    confirmed = {each.trial.uid: each.validation for each in rank_confirmed_settings(study)}
    shows_seeds = bool(confirmed) and width >= NARROW
    first, repeated = "validation", "over seeds"
    if summary.corrected_score:
        first, repeated = "in search", "splits, uncorrected"
    table = _open_table("trial", first, *([repeated] if shows_seeds else []))
    table.add_column("settings", no_wrap=True, overflow="ellipsis", ratio=1)
    for run in study.rank_trials()[:trials]:
        cells = [str(run.number), score.format_value(run.score)]
        if shows_seeds:
            cells.append(_format_scores(confirmed.get(run.uid)))
        is_champion = run.uid == summary.champion.uid
        table.add_row(
            *cells, Text(run.spec.describe()), style=CHAMPION_STYLE if is_champion else ""
        )
    return table


def _list_settings(summary: Summary, width: int) -> Table:
    """Return the settings of a grid or list, best mean first: that is the study's answer."""
    study = summary.study
    settings = rank_settings(study)
    is_narrow, has_test = width < NARROW, any(setting.test for setting in settings)
    columns = ["validation ± sd", *([f"{study.test_name} ± sd"] if has_test else []), "seeds"]
    table = _open_table(*columns[: 1 if is_narrow else None])
    table.add_column("setting", overflow="fold", ratio=1)
    for setting in settings[:SHOWN_SETTINGS]:
        cells = [_format_scores(setting.validation)]
        if has_test:
            cells.append(_format_scores(setting.test))
        cells = [*cells, str(len(setting.runs))][: 1 if is_narrow else None]
        is_champion = any(run.uid == summary.champion.uid for run in setting.runs)
        style = CHAMPION_STYLE if is_champion else ""
        table.add_row(*cells, Text(setting.label), style=style)
    if len(settings) > SHOWN_SETTINGS:
        more = f"and {len(settings) - SHOWN_SETTINGS} more in the report"
        table.add_row(*[""] * (len(table.columns) - 1), more)
    return table


def _open_table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="cyan")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _format_scores(scores: SeedScores | None) -> str:
    return str(scores) if scores else ""
