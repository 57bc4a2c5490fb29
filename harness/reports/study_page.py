"""A study's page: what won, how sure we are, why it won, what to try next."""

from __future__ import annotations

import time

from harness.analysis.expected_best import expected
from harness.analysis.summary import Summary
from harness.config.schema import TRIAL_TABLE
from harness.metrics import OBJECTIVE_NAMES
from harness.reports import given, leaderboard, recommendations, uncertainty_section, winner_section
from harness.reports.page import Page, Section
from harness.reports.plots import (
    class_accuracy,
    class_heatmap,
    confirmation,
    confusion_matrix,
    data_quality,
    importance,
    learning_curves,
    optimization_history,
    parallel_coordinates,
    pareto,
    regression,
    seed_variance,
    slice,
    timeline,
)
from harness.reports.plots import expected_best as best
from harness.reports.plots.style import Plot
from harness.tracking.types import StudyRun

SELECTED = 3
"""The best trials, in colour from the start."""


def report(verdict: Summary) -> Page:
    """The page on a study; `write` or `inlined` makes the file."""
    study = verdict.study
    sections = [
        winner_section.section(verdict),
        uncertainty_section.section(verdict),
        *confirmation.sections(verdict),
        *given.sections(verdict),
        _leaderboard(verdict),
        _curves(study),
        *(
            [_classes(verdict), _mistakes(verdict)]
            if study.classes
            else regression.sections(verdict)
        ),
        _why(study),
        _course(study),
        *data_quality.sections(study),
        Section(
            name="next",
            title="What to try next",
            says="What the record suggests; each with its evidence.",
            template="advice",
            values={"advice": recommendations.data(study, verdict.champion, verdict.ties)},
        ),
    ]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(study.started))
    names = seed_variance.titles(study)
    facts = [study.definition["data"]["name"], when, study.facts.get("device", "")]
    return Page(
        title=study.name,
        subtitle=" · ".join(filter(None, facts)),
        sections=sections,
        trials={
            run.number: f"{run.number} · {names.get(run.number) or run.spec.describe()}"
            for run in study.trials
        },
        selected=[run.number for run in study.rank_trials()[:SELECTED]],
    )


def _leaderboard(verdict: Summary) -> Section:
    score, board = verdict.study.score, leaderboard.data(verdict.study)
    method = "Wilson's" if score.task == "classes" else "the bootstrap's"
    return Section(
        name="leaderboard",
        title="Leaderboard",
        says="A click on a row colours its trial in every plot; a click on a column sorts by it. "
        f"The interval is {method}, 95 %, of the validation {score.full_name}.",
        template="leaderboard",
        values={"board": board, "champion": verdict.champion.number, "example": board.filtered},
    )


def _curves(study: StudyRun) -> Section:
    drawn = learning_curves.data([(run.number, run) for run in study.trials])
    return Section(
        name="curves",
        title="Learning curves",
        says="Every trial in grey, the selected ones in colour; a pruned trial ends where it was "
        "pruned.",
        plots=learning_curves.plots(drawn),
    )


def _classes(verdict: Summary) -> Section:
    study, champion, reading = verdict.study, verdict.kept, verdict.reading
    parts = {"validation": champion.confusion} | ({"test": reading.confusion} if reading else {})
    grid = class_heatmap.data(study)
    ranked = class_accuracy.figure(class_accuracy.data(study.classes, parts))
    part, counts = list(parts.items())[-1]
    plots = [
        Plot("classes", "The champion's accuracy by class", ranked),
        *confusion_matrix.plots(confusion_matrix.data(study.classes, counts)),
    ]
    if len(grid.numbers) > 1:
        shown = f"{len(grid.numbers)} of {grid.of} complete trials"
        title = f"Trials against classes: {shown}, accuracy less the class's median"
        plots.append(Plot("classmap", title, class_heatmap.figure(grid), wide=True))
    return Section(
        name="classes",
        title="Class by class",
        says=f"Hardest class first. The confusion matrices are the champion's on the {part} part: "
        "rows are what is true, columns what it said.",
        plots=plots,
    )


def _mistakes(verdict: Summary) -> Section:
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
    plots += slice.plots(slice.data(study))
    lines = parallel_coordinates.data(study)
    if lines.axes:
        plots.append(
            Plot("parallel", "All settings at once", parallel_coordinates.figure(lines), wide=True)
        )
    plots += pareto.plots(pareto.data(study))
    return Section(
        name="why",
        title="Why it won",
        says=says,
        plots=plots,
    )


def _looked(study: StudyRun) -> str:
    """Where the trials of the plots come from."""
    if TRIAL_TABLE in study.definition:
        return (
            f"These plots show what goes along with {study.score.name}; where a list changes "
            "several settings at once, they cannot tell which of them did it."
        )
    if study.is_grid_or_list:
        return "What was tried was decided beforehand; no sampler steered it."
    return (
        "A sampler looks where it is good, so these plots show where it looked as well as what it "
        "found."
    )


def _course(study: StudyRun) -> Section:
    lanes = timeline.data(study)
    title = "What ran where" + (": node/worker" if any(node for node, *_ in lanes.nodes) else "")
    ran = Plot("timeline", title, timeline.figure(lanes), wide=True)
    if study.is_grid_or_list:  # whose order says nothing
        return Section(name="course", title="How it went", plots=[ran])
    course, best_of = optimization_history.data(study), expected(study)
    plots, said = (
        [Plot("history", "The best so far", optimization_history.figure(course), wide=True)],
        [],
    )
    if course.outside:
        said.append(
            f"{course.outside} of {len(course.points)} trials lie beyond the axis of "
            f"{OBJECTIVE_NAMES[study.objective]}; a double click shows them."
        )
    if best_of is not None:
        said.append(best.says(best_of))
        plots.append(Plot("expected", "The expected best of n", best.figure(best_of), wide=True))
    return Section(
        name="course", title="How the search went", says=" ".join(said), plots=[*plots, ran]
    )
