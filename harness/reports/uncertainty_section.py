"""How sure the answer is: the best trials' intervals, and what was chosen by what."""

from __future__ import annotations

from harness.analysis.confirmation import confirmed
from harness.analysis.formatting import ordinal
from harness.analysis.summary import Summary
from harness.analysis.tied_trials import TiedTrials
from harness.reports.page import Section
from harness.reports.plots import seed_variance, top_trials
from harness.reports.plots.style import Plot
from harness.tracking.types import StudyRun


def section(verdict: Summary) -> Section:
    study, found = verdict.study, top_trials.data(verdict.study, verdict.reading, verdict.ties)
    sentences = [
        _chosen(verdict, None if verdict.ties else found.within),
        *(_tied(verdict.ties) if verdict.ties else []),
        *(_by_setting(verdict) if study.is_grid_or_list else []),
        "The bars say what drawing these examples leaves open"
        + (", not what other seeds would do." if study.is_grid_or_list else "."),
    ]
    if verdict.runner_up is not None:
        sentences.append(f"The runner-up is {verdict.rivalry}.")
    sentences.append(_opened(verdict))
    sentences.append(_replayed(study))
    plot = Plot("contenders", "The best trials", top_trials.figure(found), wide=True)
    return Section(
        name="sure",
        title="How sure",
        says=" ".join(filter(None, sentences)),
        plots=[plot] if found.best else [],
    )


def _chosen(verdict: Summary, within: int | None) -> str:
    """`within` says how many trials lie within the interval, where no test says more."""
    study = verdict.study
    complete = len(study.rank_trials())
    if not study.is_grid_or_list and not study.definition.get("space"):
        return "Nothing was sampled: every trial has the same settings."
    if complete == 1:
        return "Only one trial is complete: nothing was chosen among several."
    again = confirmed(study)
    if again:
        those = "setting" if len(again) == 1 else f"{len(again)} settings"
        return (
            f"The champion leads by its mean over fresh seeds, of the best {those} among "
            f"{complete} complete trials. In the plot stand the scores of the search, which "
            "flatter: luck was chosen along with skill."
        )
    best = f"the best of {complete} complete trials by the validation part"
    if study.is_grid_or_list and len({run.spec.seed for run in study.rank_trials()}) > 1:
        best = f"the best trial of the setting that leads by its mean, of {complete} complete ones"
    said = f"The champion is {best}, which flatters it: luck was chosen along with skill."
    if within is None:
        return said
    lie = "trial lies" if within == 1 else "trials lie"
    return f"{said} {within} other {lie} within its interval."


def _tied(ties: TiedTrials) -> list[str]:
    """The tie set, and what the plot's symbols stand for."""
    said = f"Compared with it one by one: {ties.text}."
    if not ties.others:
        return [said]
    return [
        said,
        "Filled marks tie with the champion, which is no proof that they are as good; hollow "
        "circles are told apart.",
    ]


def _by_setting(verdict: Summary) -> list[str]:
    """Of a grid or list: which setting leads by its mean."""
    found = seed_variance.data(verdict.study)
    if len(found.entries) < 2:
        alike = found.most_seeds > 1
        return ["All trials have one setting, and differ by their seed."] if alike else []
    if found.most_seeds == 1:
        return ["Each setting was trained once: which of them leads may be its seed's doing."]
    first, second = found.entries[:2]
    name = verdict.study.score.name
    told = (
        f"Of {len(found.entries)} settings, the best by mean validation {name} is {first.short}: "
        f"{first.validation} (n = {len(first.numbers)}); the next is {second.short}: "
        f"{second.validation} (n = {len(second.numbers)})."
    )
    return [told]


def _opened(verdict: Summary) -> str:
    study = verdict.study
    if study.is_grid_or_list and study.readings:
        if study.test_set_openings == 1:
            return (
                f"The test set was opened once, for all {len(study.readings)} trials: nothing was "
                "chosen by it."
            )
        return (
            f"The test set was opened {study.test_set_openings} times, each time for the trials that were new: "
            "the study went on when earlier results were known, but nothing was chosen by them."
        )
    if study.test_set_openings > 1:
        return "The test set was read before, for an earlier champion: its result was known."
    if verdict.reading is not None and verdict.reading.look > 1:
        return (
            f"The test set was opened after the choice; it was the {ordinal(verdict.reading.look)} "
            "look at this test set, and what earlier ones showed may have had its part."
        )
    if verdict.reading is not None:
        return "The test set was opened after the choice, and had no part in it."
    return ""


def _replayed(study: StudyRun) -> str:
    """Which trials were trained again, and what that gave."""
    said = {
        "bitwise": "gave what is on record, to the last bit",
        "within spread": "gave what is on record but for what rounding does",
        "differs": "did not give what is on record",
    }
    told = []
    for word, gave in said.items():
        numbers = [str(run.number) for run in study.trials if run.replay == word]
        if numbers:
            told.append(f"{', '.join(numbers)} {gave}")
    return f"Trained again, by trial: {'; '.join(told)}." if told else ""
