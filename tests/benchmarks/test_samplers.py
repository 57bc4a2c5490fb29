"""The benchmark of samplers: its searches, its model of curves, its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.search.samplers import SAMPLERS, sample_random_specs
from harness.trial import TrialSpec
from tests.benchmarks.learning_curves import Curve, ModelledCurves
from tests.benchmarks.samplers import VARIANTS, Case, RecordedCurves, run_search
from tests.benchmarks.samplers_table import count_trials, find_best_within, format_tables
from tests.search.tiny_study import STUDY, score


class MadeCurves:
    """Curves that are a function of the settings."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config

    def get_curve(self, spec: TrialSpec) -> Curve:
        return [score(spec) * share for share in (0.8, 0.9, 1.0)]


@pytest.fixture
def curves(tmp_path: Path) -> MadeCurves:
    (tmp_path / "tiny.toml").write_text(STUDY + "[train]\nepochs = 3\n")
    return MadeCurves(load(tmp_path / "tiny.toml"))


@pytest.fixture(autouse=True)
def _variants(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, variant in VARIANTS.items():
        monkeypatch.setitem(SAMPLERS, name, variant)


@pytest.mark.parametrize("sampler", ["random", "tpe", "tpe, group", "tpe, all widths"])
def test_samplers_begin_with_the_same_trials_and_repeat_exactly(
    curves: MadeCurves, sampler: str
) -> None:
    case = Case("made", True, sampler, "none", trials=14)
    recorded, base = RecordedCurves(curves), RecordedCurves(curves)
    result = run_search(case, recorded)
    run_search(replace(case, sampler="random"), base)
    specs, others = list(recorded.pool), list(base.pool)
    assert specs[:10] == others[:10]
    assert (specs == others) == (sampler == "random")
    assert result["best"] == run_search(case, curves)["best"]
    assert result["best"][-1] == max(map(score, specs))
    assert result["epochs"] == [3] * 14


def test_trials_in_flight_are_drawn_before_the_results_of_earlier_ones(curves: MadeCurves) -> None:
    drawn = {}
    for in_flight in (1, 4, 14):
        recorded = RecordedCurves(curves)
        case = Case("made", True, "tpe", "none", in_flight, trials=14)
        assert len(run_search(case, recorded)["best"]) == 14
        drawn[in_flight] = list(recorded.pool)
    random = RecordedCurves(curves)
    run_search(Case("made", True, "random", "none", trials=14), random)
    assert drawn[14] == list(random.pool)
    assert drawn[4][:13] == drawn[14][:13]
    assert drawn[1][:10] == drawn[14][:10]
    assert drawn[1][10] != drawn[14][10]


def test_the_model_predicts_curves_and_adds_the_noise_of_seeds(curves: MadeCurves) -> None:
    specs = sample_random_specs(curves.config, 60)
    pool = {spec: curves.get_curve(spec) for spec in specs}
    repeats = [(spec, pool[spec], [each + 0.01 for each in pool[spec]]) for spec in specs[:20]]
    model = ModelledCurves(curves.config, pool, repeats)
    assert model.measure()["rank"] > 0.8
    assert model.measure()["noise"] == pytest.approx(0.01 / 2**0.5, rel=0.01)
    assert model.get_curve(specs[0]) == model.get_curve(specs[0])
    others = [model.get_curve(replace(specs[0], seed=seed)) for seed in range(1, 20)]
    ends = {round(each[-1], 6) for each in others}
    assert len(ends) == 2  # the noise has one size here, and a random sign
    assert others[0] == pytest.approx(pool[specs[0]], abs=0.1)


def test_figures_of_a_search() -> None:
    assert count_trials([0.1, 0.3, 0.3], 0.3) == 2
    assert count_trials([0.1, 0.3, 0.3], 0.4) == 4
    assert find_best_within({"best": [0.1, 0.2, 0.3], "epochs": [5, 1, 5]}, 6) == 0.2
    assert find_best_within({"best": [0.1], "epochs": [5]}, 4) == 0


def test_the_table_compares_with_random_search_by_seed() -> None:
    rows = [
        {"case": vars(Case("digits", False, sampler, trials=2, seed=seed)), "sampling": 0.5}
        | {"best": [0.8, best + 0.01 * seed], "epochs": [40, 10]}
        for sampler, best in (("random", 0.9), ("tpe", 0.92))
        for seed in range(3)
    ]
    table = format_tables(json.loads(json.dumps(rows)))
    assert table.splitlines()[0] == "### digits, trained curves, 2 trials"
    first, second = table.splitlines()[4:]
    assert first.startswith("| tpe | median | 1 | 3 | 0.8000 (0.8000 to 0.8000) | 0.9300 (")
    assert "| +2.00 (+2.00 to +2.00) | 2 (2 to 2) |" in first
    assert second.startswith("| random |")
