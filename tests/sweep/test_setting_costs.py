"""What a setting costs before it is trained, and how many settings are within [limits]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.config.loader import load_text
from harness.data.prepare import PreparedDataset, prepare
from harness.errors import ConfigError
from harness.sweep.setting_costs import CostMeter, check_limits, count_parameters
from harness.trial import TrialSpec

STUDY = """
[study]
{study}
[data]
name = "digits"
[space]
hidden = [[], [8], [16], [64, 64]]
[limits]
{limits}
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    cache = tmp_path_factory.mktemp("cache")
    return prepare("digits", validation=0.1, test=0.2, split_seed=0, normalize=True, cache=cache)


@pytest.mark.parametrize(
    "spec",
    [
        TrialSpec(hidden=()),
        TrialSpec(hidden=(), bias=False),
        TrialSpec(hidden=(7, 5)),
        TrialSpec(hidden=(7, 5), bias=False, batch_norm="after"),
        TrialSpec(hidden=(7, 5), batch_norm="before"),
        TrialSpec(model="tests.support.custom_models:SmallConv"),
    ],
    ids=lambda spec: spec.describe(),
)
def test_parameters_are_those_of_the_built_network(
    spec: TrialSpec, digits: PreparedDataset
) -> None:
    meter = CostMeter(digits.training)
    built = sum(each.numel() for each in meter._build(spec).parameters() if each.requires_grad)
    assert meter.measure(spec, "parameters") == built
    if not spec.model:
        assert count_parameters(spec, 64, 10) == built
    assert 0 < meter.measure(spec, "milliseconds") < 1000


def test_with_folds_the_final_model_is_measured(tmp_path: Path) -> None:
    kinds = np.array(["a", "b"] * 40)
    kinds[::20] = ["p", "q", "r", "s"]  # each fold lacks some of them in its training set
    y = np.tile([0, 0, 1, 1], 20)
    pd.DataFrame({"kind": kinds, "x": np.arange(80), "y": y}).to_csv(tmp_path / "t.csv")
    options = {"target": "y", "task": "classes", "ignore": ["Unnamed: 0"], "test": 0.0}
    more = {"validation": 0.5, "split_seed": 0, "normalize": True, "cache": tmp_path / "cache"}
    files = prepare(str(tmp_path / "t.csv"), folds=2, **options | more).training  # type: ignore[arg-type]
    assert files.whole is not None
    shapes = [each.shape[0] for each in (files, files.whole)]
    assert shapes[0] < shapes[1]
    spec = TrialSpec(hidden=(5,))
    assert CostMeter(files).measure(spec, "parameters") == count_parameters(spec, shapes[1], 2)


def test_a_study_says_how_many_settings_are_within_its_limits(digits: PreparedDataset) -> None:
    def check(study: str, limits: str) -> str:
        config = load_text(STUDY.format(study=study, limits=limits), "s.toml")
        return check_limits(config, digits)

    text = check("trials = 3", "parameters = 700")
    assert text.startswith("[limits] allows at most 700 parameters: 50% of [space]")
    assert "1 of 4 settings are outside; they are trained, but cannot win" in check(
        'sampler = "grid"', "parameters = 2_000"
    )
    assert check("trials = 3", "parameters = 100_000") == ""
    with pytest.raises(ConfigError, match=r"none of 4 settings is within.* 610 parameters"):
        check("trials = 3", "parameters = 500")
    with pytest.raises(ConfigError, match=r"milliseconds: .* greater than 0"):
        check("", "milliseconds = 0")
