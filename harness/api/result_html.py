"""A study's result in a notebook: the key figures as cards, and the best trials."""

from __future__ import annotations

from markupsafe import Markup

from harness.analysis.summary import Summary
from harness.reports.winner_section import list_figures

BEST = 5
"""Trials in the table."""
CARD = Markup(
    '<div style="border:1px solid #8884;border-radius:6px;padding:6px 12px;min-width:9em">'
    '<div style="opacity:.7;font-size:85%">{label}</div>'
    '<div style="font-size:140%;font-weight:600">{value}</div>'
    '<div style="opacity:.7;font-size:85%">{note}</div></div>'
)
ROW = Markup(
    '<tr><td style="text-align:right">{number}</td><td style="text-align:right">{score}</td>'
    '<td style="text-align:left">{settings}</td></tr>'
)
PAGE = Markup(
    "<div><p><b>{name}</b>: {champion}</p>"
    '<div style="display:flex;flex-wrap:wrap;gap:8px">{cards}</div>'
    '<table style="margin-top:8px"><thead><tr><th>trial</th><th>{score}</th>'
    '<th style="text-align:left">settings</th></tr></thead><tbody>{rows}</tbody></table>'
    "<p><code>{report}</code></p></div>"
)


def format_result(summary: Summary) -> str:
    """Return the HTML of a result."""
    study, sampled = summary.study, summary.study.definition.get("space", ())
    cards = Markup().join(CARD.format(**figure) for figure in list_figures(summary))
    rows = Markup().join(
        ROW.format(
            number=run.number,
            score=study.score.format_value(run.score),
            settings=run.spec.describe(sampled),
        )
        for run in study.rank_trials()[:BEST]
    )
    champion = f"trial {summary.champion.number}, {summary.champion.spec.describe(sampled)}"
    return str(
        PAGE.format(
            name=study.name,
            champion=champion,
            cards=cards,
            score=f"validation {study.score.name}",
            rows=rows,
            report=summary.report_path,
        )
    )
