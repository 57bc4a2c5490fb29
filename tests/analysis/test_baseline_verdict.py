"""The champion against the best baseline: who won, and whether the difference shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.analysis.baseline_verdict import judge_baselines
from harness.analysis.confirmation import require_champion
from harness.analysis.paired_tests import run_paired_test
from harness.analysis.summary import Summary, load_summary
from harness.models.baselines import (
    BOOSTED_TREES,
    LOGISTIC_REGRESSION,
    MAJORITY_CLASS,
    Baselines,
    ChampionTest,
    ClassBaselineMetrics,
)
from harness.reports.baselines_section import build_baselines_table
from harness.reports.study_page import build_study_page
from harness.reports.test_set_recommendations import recommend_from_test_set
from harness.tracking.in_memory import InMemoryTracker
from harness.tracking.predictions import Predictions
from tests.support.synthetic_study import make_study


@pytest.fixture(scope="module")
def search() -> Summary:
    study = make_study(20, name="example")
    champion = require_champion(study)
    return load_summary(study, champion, InMemoryTracker(), Path("p.html"), "s.db")


def beside(
    summary: Summary, split: str = "test", run: str | None = None, **values: tuple[float, float]
) -> Summary:
    """Return the summary with baselines of these accuracies and p-values."""
    names = {"majority": MAJORITY_CLASS, "line": LOGISTIC_REGRESSION, "trees": BOOSTED_TREES}
    uid = run or summary.model_run.uid
    metrics = {
        names[key]: ClassBaselineMetrics(
            accuracy,
            0.3,
            (accuracy - 0.01, accuracy + 0.01),
            ChampionTest(uid, 100, 5, 5, p_value),
        )
        for key, (accuracy, p_value) in values.items()
    }
    return replace(summary, baselines=Baselines({split: metrics}))


def test_the_sentence_names_the_better_one_and_whether_the_difference_shows(
    search: Summary,
) -> None:
    assert search.reading is not None
    score = search.reading.score
    shown = f"{score:.4f}"
    better = beside(search, majority=(0.2, 1e-9), line=(0.5, 1e-9), trees=(score + 0.02, 0.62))
    sentence = f"gradient-boosted trees reach {score + 0.02:.4f}; the champion's {shown} is "
    verdict = judge_baselines(better)
    assert verdict is not None
    assert verdict.describe() == f"{sentence}not significantly lower (McNemar p = 0.62)"
    assert verdict.winner == "baseline"
    clear = judge_baselines(beside(search, trees=(score + 0.02, 0.001)))
    assert clear is not None
    assert clear.describe() == f"{sentence}significantly lower (McNemar p = 0.001)"
    worse = judge_baselines(beside(search, line=(score - 0.1, 0.01), majority=(0.2, 0.5)))
    assert worse is not None
    assert worse.winner == "champion"
    assert worse.describe() == (
        f"logistic regression reaches {score - 0.1:.4f}; the champion's {shown} is significantly "
        "higher (McNemar p = 0.02)"
    ), "0.01 is adjusted for two baselines by Holm's method"
    equal = judge_baselines(beside(search, trees=(score, 1.0)))
    assert equal is not None
    assert equal.describe() == f"gradient-boosted trees reach {shown}, as the champion does"


def test_an_earlier_champions_test_does_not_count(search: Summary) -> None:
    verdict = judge_baselines(beside(search, run="another", trees=(0.999, 0.001)))
    assert verdict is not None
    assert verdict.p_value is None
    assert verdict.describe().endswith("is lower")
    assert judge_baselines(search) is None
    assert judge_baselines(beside(search, "validation", trees=(0.9, 1.0))) is None


def test_without_a_test_set_they_meet_on_the_validation_set(search: Summary) -> None:
    sealed = replace(search, reading=None)
    verdict = judge_baselines(beside(sealed, "validation", trees=(0.999, 0.3)))
    assert verdict is not None
    assert verdict.champion.score == search.model_run.score
    assert verdict.describe().startswith("on the validation set, gradient-boosted trees reach")


def test_the_p_value_is_mcnemars_exact_one() -> None:
    """2 * (C(10, 0) + C(10, 1) + C(10, 2)) / 2**10, with 8 and 2 discordant examples."""
    true = np.zeros(40, np.uint8)
    champion, baseline = true.copy(), true.copy()
    champion[:8], baseline[8:10] = 1, 1
    champion[20:25] = baseline[20:25] = 2  # both wrong: these do not count
    packed = [Predictions(true.tobytes(), each.tobytes()) for each in (champion, baseline)]
    test = run_paired_test(*packed)
    assert test is not None
    assert (test.only_first, test.only_second) == (2, 8)
    assert test.p_value == 2 * (1 + 10 + 45) / 1024


def test_json_table_and_recommendation(search: Summary) -> None:
    assert search.reading is not None
    score = search.reading.score
    summary = beside(search, majority=(0.2, 1e-9), trees=(score + 0.02, 0.4))
    document = summary.to_dict()
    assert document["best_baseline"] == {
        "split": "test",
        "name": BOOSTED_TREES,
        "score": score + 0.02,
        "champion_score": score,
        "better": "baseline",
        "p_value": 0.4,
        "significant": False,
    }
    assert document["baselines"]["test"][MAJORITY_CLASS]["accuracy"] == 0.2
    assert "log loss 0.3000" in dict(summary.lines)["baselines"]
    head, model, first, second = build_baselines_table(summary)
    assert head[3:] == ["accuracy on test", "log loss on test"]
    assert [row[0] for row in (model, first, second)] == [
        "this study's model",
        BOOSTED_TREES,
        MAJORITY_CLASS,
    ]
    assert first[1:3] == ["", ""], "it was not evaluated on the validation set"
    (step,) = (each for each in recommend_from_test_set(summary) if "Beat" in each.title)
    assert step.title == "Beat gradient-boosted trees first"
    assert "The difference may be chance (McNemar p = 0.4)." in step.why
    sections = {section.name: section for section in build_study_page(summary).sections}
    assert sections["baselines"].values["paragraphs"][0].startswith("Gradient-boosted trees reach")
    assert sections["next"].values["recommendations"][0] == step
    assert "baselines" not in {each.name for each in build_study_page(search).sections}
    worse = beside(search, trees=(score - 0.02, 0.4))
    assert not [each for each in recommend_from_test_set(worse) if "Beat" in each.title]
