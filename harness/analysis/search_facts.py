"""The facts on what a search tried: its first settings, its limits and its front."""

from __future__ import annotations

from harness.analysis.fact import Fact
from harness.analysis.formatting import format_count
from harness.analysis.front import build_front_fact
from harness.config.limits import format_cost, format_limits
from harness.tracking.types import FIRST_TRIALS_FACT, RunRecord, StudyRun


def build_search_facts(study: StudyRun, champion: RunRecord) -> list[Fact]:
    """Return the facts; without text where the study file does not ask for anything."""
    return [
        _build_first_trials(study),
        _build_limits(study, champion),
        build_front_fact(study, champion),
    ]


def count_outside(study: StudyRun) -> int:
    """Count the settings outside [limits]: of a grid or list its complete trials, else the settings
    that were drawn and not trained."""
    if study.is_grid_or_list:
        complete = [run for run in study.trials if run.state == "COMPLETE"]
        return sum(not study.is_within_limits(run) for run in complete)
    return sum(int(run.get_cost("outside_limits") or 0) for run in study.trials)


def _build_first_trials(study: StudyRun) -> Fact:
    text = study.facts.get(FIRST_TRIALS_FACT, "")
    return Fact("first_trials", "warm start", text, text, text or None)


def _build_limits(study: StudyRun, champion: RunRecord) -> Fact:
    limits, outside = study.limits, count_outside(study)
    if not limits:
        return Fact("limits", value=None)
    costs = {name: champion.get_cost(name) for name in limits}
    known = [format_cost(name, cost) for name, cost in costs.items() if cost is not None]
    if study.is_grid_or_list:
        rest = f"{format_count(outside, 'trial')} outside cannot win" if outside else ""
    else:
        verb = "was" if outside == 1 else "were"
        drawn = f"{format_count(outside, 'drawn setting')} outside {verb} not trained"
        rest = drawn if outside else ""
    has = f"the champion has {' and '.join(known)}"
    text = "; ".join(filter(None, (format_limits(limits), has, rest)))
    value = {"limits": limits, "champion": costs, "outside": outside}
    return Fact("limits", "limits", text, text, value)
