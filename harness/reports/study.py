"""A study's page: what won, how sure we are, why it won, what to try next."""

from __future__ import annotations

import time

from harness.config import LIST
from harness.expected import expected
from harness.reports import (
    advice,
    classes,
    classmap,
    confirming,
    confusion,
    curves,
    fair,
    given,
    history,
    importance,
    leaderboard,
    parallel,
    predicted,
    settings,
    slices,
    sure,
    timeline,
    tradeoffs,
    won,
)
from harness.reports import expected as best
from harness.reports.page import Page, Section
from harness.reports.style import Plot
from harness.scores import NAMES
from harness.tracking.records import StudyRun
from harness.verdict import Verdict

SELECTED = 3
"""The best trials, in colour from the start."""


def report(verdict: Verdict) -> Page:
    """The page on a study; `write` or `inlined` makes the file."""
    study = verdict.study
    sections = [
        won.section(verdict),
        sure.section(verdict),
        *confirming.sections(verdict),
        *given.sections(verdict),
        _leaderboard(verdict),
        _curves(study),
        *(
            [_classes(verdict), _mistakes(verdict)]
            if study.classes
            else predicted.sections(verdict)
        ),
        _why(study),
        _course(study),
        *fair.sections(study),
        Section(
            name="next",
            title="What to try next",
            says="What the record suggests; each with its evidence.",
            template="advice",
            values={"advice": advice.data(study, verdict.champion, verdict.ties)},
        ),
    ]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(study.started))
    names = settings.titles(study)
    facts = [study.definition["data"]["name"], when, study.facts.get("device", "")]
    return Page(
        title=study.name,
        subtitle=" · ".join(filter(None, facts)),
        sections=sections,
        trials={
            run.number: f"{run.number} · {names.get(run.number) or run.spec.describe()}"
            for run in study.trials
        },
        selected=[run.number for run in study.best_first()[:SELECTED]],
    )


def _leaderboard(verdict: Verdict) -> Section:
    score, board = verdict.study.score, leaderboard.data(verdict.study)
    method = "Wilson's" if score.task == "classes" else "the bootstrap's"
    return Section(
        name="leaderboard",
        title="Leaderboard",
        says="A click on a row colours its trial in every plot; a click on a column sorts by it. "
        f"The interval is {method}, 95 %, of the validation {score.named}.",
        template="leaderboard",
        values={"board": board, "champion": verdict.champion.number, "example": board.filtered},
    )


def _curves(study: StudyRun) -> Section:
    drawn = curves.data([(run.number, run) for run in study.trials])
    return Section(
        name="curves",
        title="Learning curves",
        says="Every trial in grey, the selected ones in colour; a pruned trial ends where it was "
        "pruned.",
        plots=curves.plots(drawn),
    )


def _classes(verdict: Verdict) -> Section:
    study, champion, reading = verdict.study, verdict.kept, verdict.reading
    parts = {"validation": champion.confusion} | ({"test": reading.confusion} if reading else {})
    grid = classmap.data(study)
    ranked = classes.figure(classes.data(study.classes, parts))
    part, counts = list(parts.items())[-1]
    plots = [
        Plot("classes", "The champion's accuracy by class", ranked),
        *confusion.plots(confusion.data(study.classes, counts)),
    ]
    if len(grid.numbers) > 1:
        shown = f"{len(grid.numbers)} of {grid.of} complete trials"
        title = f"Trials against classes: {shown}, accuracy less the class's median"
        plots.append(Plot("classmap", title, classmap.figure(grid), wide=True))
    return Section(
        name="classes",
        title="Class by class",
        says=f"Hardest class first. The confusion matrices are the champion's on the {part} part: "
        "rows are what is true, columns what it said.",
        plots=plots,
    )


def _mistakes(verdict: Verdict) -> Section:
    found, names = verdict.mistakes, verdict.study.classes
    shown = [
        {
            "row": each.row,
            "true": names[each.true],
            "predicted": names[each.predicted],
            "confidence": each.confidence,
            "png": each.png,
        }
        for each in (found.shown if found else ())
    ]
    return Section(
        name="mistakes",
        title="Most confident mistakes",
        template="gallery",
        values={
            "mistakes": shown,
            "total": found.total if found else 0,
            "number": verdict.champion.number,
            "why_not": "None on the validation part, or none that are pictures."
            if found
            else "Not on record for this champion.",
        },
    )


def _why(study: StudyRun) -> Section:
    weights = importance.data(study)
    plots = []
    says = (
        f"{_looked(study)} Their axes hold the good trials; the others lie beyond, where a double "
        "click or selecting one shows them. Choices are spread sideways, so that none hides "
        "another."
    )
    if weights.shares:
        plots.append(Plot("importance", "Importance of the settings", importance.figure(weights)))
        says = (
            f"Importance is PED-ANOVA's: what sets the best {weights.best} of {weights.trials} "
            f"trials apart from the rest{', which is little to go by' if weights.best < 5 else ''}."
            f" {says}"
        )
    plots += slices.plots(slices.data(study))
    lines = parallel.data(study)
    if lines.axes:
        plots.append(Plot("parallel", "All settings at once", parallel.figure(lines), wide=True))
    plots += tradeoffs.plots(tradeoffs.data(study))
    return Section(
        name="why",
        title="Why it won",
        says=says,
        plots=plots,
    )


def _looked(study: StudyRun) -> str:
    """Where the trials of the plots come from."""
    if LIST in study.definition:
        return (
            f"These plots show what goes along with {study.score.name}; where a list changes "
            "several settings at once, they cannot tell which of them did it."
        )
    if study.given:
        return "What was tried was decided beforehand; no sampler steered it."
    return (
        "A sampler looks where it is good, so these plots show where it looked as well as what it "
        "found."
    )


def _course(study: StudyRun) -> Section:
    lanes = timeline.data(study)
    title = "What ran where" + (": node/worker" if any(node for node, *_ in lanes.nodes) else "")
    ran = Plot("timeline", title, timeline.figure(lanes), wide=True)
    if study.given:  # whose order says nothing
        return Section(name="course", title="How it went", plots=[ran])
    course, best_of = history.data(study), expected(study)
    plots, said = [Plot("history", "The best so far", history.figure(course), wide=True)], []
    if course.outside:
        said.append(
            f"{course.outside} of {len(course.points)} trials lie beyond the axis of "
            f"{NAMES[study.objective]}; a double click shows them."
        )
    if best_of is not None:
        said.append(best.says(best_of))
        plots.append(Plot("expected", "The expected best of n", best.figure(best_of), wide=True))
    return Section(
        name="course", title="How the search went", says=" ".join(said), plots=[*plots, ran]
    )
