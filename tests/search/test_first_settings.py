"""[[first]] and [study] warm_start: which settings the first trials have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.config.loader import load_text
from harness.config.schema import StudyConfig
from harness.errors import ConfigError, UserError
from harness.results import EpochMetrics, TrialResult
from harness.search.open_study import open_search
from harness.trial import TrialSpec

SPACE = """
[data]
name = "digits"
[train]
epochs = 2
[space]
depth = { low = 1, high = 2 }
width = { low = 8, high = 64 }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
l2 = { low = 1e-6, high = 1e-3, log = true, zero = 0.5 }
activation = ["relu", "tanh"]
"""


def make(name: str, study: str = "", tables: str = "", space: str = SPACE) -> StudyConfig:
    trials = "" if "grid" in study else "trials = 12"
    return load_text(f'[study]\nname = "{name}"\n{trials}\n{study}\n{space}{tables}', "s.toml")


def run(config: StudyConfig, folder: Path, trials: int = 12) -> list[TrialSpec]:
    """Run trials whose accuracy is higher, the nearer their learning rate is to 0.03."""
    specs = []
    with open_search(config, folder) as search:
        while search.counts.done < trials:
            trial = search.ask()
            specs.append(trial.spec)
            value = 1 - abs(trial.spec.learning_rate - 0.03)
            search.tell_result(trial.number, make_result(value))
    return specs


def make_result(accuracy: float) -> TrialResult:
    best = EpochMetrics(
        epoch=1, train_loss=0.1, train_accuracy=0.5, penalty=0, val_loss=0.1,
        val_accuracy=accuracy, learning_rate=0.1, seconds=1, time=1,
    )  # fmt: skip
    values: dict[str, Any] = dict.fromkeys(TrialResult.__dataclass_fields__)
    return TrialResult(**values | {"best": best, "epochs": 1, "stopped": "finished"})


FIRST = """
[[first]]
hidden = [16, 32]
learning_rate = 0.05
l2 = 0.0
activation = "tanh"
[[first]]
learning_rate = 0.002
"""


def test_the_first_trials_have_the_listed_settings(tmp_path: Path) -> None:
    specs = run(make("a", tables=FIRST), tmp_path, 3)
    first = specs[0]
    assert (first.hidden, first.learning_rate, first.l2, first.activation) == (
        (16, 32), 0.05, 0.0, "tanh",
    )  # fmt: skip
    assert specs[1].learning_rate == 0.002
    assert specs[1].hidden, "what the table leaves out is drawn"
    assert specs[2].learning_rate not in (0.05, 0.002)


def test_a_study_that_was_interrupted_tries_the_same_settings_first(tmp_path: Path) -> None:
    config = make("a", tables=FIRST)
    whole = run(config, tmp_path / "whole", 6)
    parts = [*run(config, tmp_path / "parts", 1)]
    for count in (2, 6):
        parts += run(config, tmp_path / "parts", count)
    assert parts == whole


def test_a_warm_start_takes_the_best_settings_of_an_earlier_study(tmp_path: Path) -> None:
    earlier = run(make("earlier"), tmp_path)
    best = sorted(earlier, key=lambda spec: abs(spec.learning_rate - 0.03))
    later = run(make("later", 'warm_start = "earlier"'), tmp_path)
    assert later[:5] == best[:5]
    assert len(set(later)) == 12


def test_settings_outside_the_new_space_are_left_out(tmp_path: Path) -> None:
    earlier = run(make("earlier"), tmp_path)
    narrow = SPACE.replace('["relu", "tanh"]', '["relu"]')
    later = run(make("later", 'warm_start = "earlier"', space=narrow), tmp_path)
    best = sorted(earlier, key=lambda spec: abs(spec.learning_rate - 0.03))
    fitting = [spec for spec in best if spec.activation == "relu"][:5]
    assert later[: len(fitting)] == fitting


def test_a_wider_space_draws_what_the_earlier_study_fixed(tmp_path: Path) -> None:
    fixed = SPACE.replace('activation = ["relu", "tanh"]', "").replace(
        "epochs = 2", 'epochs = 2\nactivation = "tanh"'
    )
    run(make("earlier", space=fixed), tmp_path)
    later = run(make("later", 'warm_start = "earlier"'), tmp_path)
    assert {spec.activation for spec in later[:5]} == {"tanh"}, "as it was fixed there"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ("[[first]]\nlearning_rate = 1.0", "learning_rate: 1 is outside 0.001 to 0.1 in"),
        ("[[first]]\nlearning_rat = 1.0", "learning_rat: unknown key; did you mean 'learning_ra"),
        ('[[first]]\nactivation = "gelu"', "activation: 'gelu' is not one of the values in"),
        ("[[first]]\nhidden = [8, 8, 8]", "depth: 3 is outside 1 to 2"),
        ("[[first]]\nbatch_size = 32", "batch_size: is not sampled in [space]; leave it out"),
        ("[first]\nl2 = 0.0", "first: must be an array of tables; write [[first]]"),
    ],
)
def test_first_settings_that_the_space_does_not_have_are_one_line(
    tables: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        make("a", tables=tables)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ('warm_start = "earlyer"', "no study 'earlyer' on record; did you mean 'earlier'?"),
        ('warm_start = "later"', "'later' is this study; name an earlier one"),
        (
            'warm_start = "earlier"\nobjective = "val/loss"',
            "'earlier' has the objective val/accuracy, and this study has val/loss",
        ),
    ],
)
def test_a_warm_start_that_is_impossible_is_one_line(
    tmp_path: Path, study: str, message: str
) -> None:
    run(make("earlier"), tmp_path, 2)
    with pytest.raises(UserError) as error:
        run(make("later", study), tmp_path, 1)
    assert message in str(error.value)
    assert not list(tmp_path.glob("later*journal*")), "nothing is written"


def test_a_warm_start_from_a_study_of_other_settings_is_one_line(tmp_path: Path) -> None:
    run(make("earlier"), tmp_path, 2)
    other = SPACE.replace("low = 8, high = 64", "low = 300, high = 400")
    with pytest.raises(ConfigError, match=r"\[space\] has none of the settings that 'earlier'"):
        run(make("later", 'warm_start = "earlier"', space=other), tmp_path, 1)


def test_a_grid_has_neither() -> None:
    grid = '[data]\nname = "digits"\n[space]\nl2 = [0.0, 0.1]\n'
    with pytest.raises(ConfigError, match=r"\[\[first\]\]: a grid samples nothing"):
        make("a", 'sampler = "grid"', "[[first]]\nl2 = 0.0", grid)
    with pytest.raises(ConfigError, match="warm_start: a grid samples nothing; leave it out"):
        make("a", 'sampler = "grid"\nwarm_start = "b"', "", grid)
