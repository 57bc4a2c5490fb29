"""Loading study files: values, --set overrides, and one line for each kind of mistake."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.config.study_files import find_study, study_folders
from harness.config.study_tables import parse_duration
from harness.errors import ConfigError, StudyError
from harness.trial import TrialSpec

STUDY = """
[study]
trials = 7
[data]
name = "digits"
[train]
epochs = 3
activation = "tanh"
[space]
depth = { low = 1, high = 3 }
width = { low = 8, high = 64, log = true }
learning_rate = { low = 1e-4, high = 1e-1, log = true }
batch_norm = ["none", "before", "after"]
l1 = { low = 1e-6, high = 1e-3, log = true, zero = 0.25 }
"""


def write(folder: Path, text: str = STUDY) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_fixed_and_sampled_fields_are_read(tmp_path: Path) -> None:
    config = load(write(tmp_path))
    assert (config.study.name, config.study.trials) == ("mine", 7)
    assert config.train == {"epochs": 3, "activation": "tanh"}
    assert config.space.sampled_fields == {"hidden", "learning_rate", "batch_norm", "l1"}


def draw_specs(config: StudyConfig, count: int = 400) -> list[TrialSpec]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [config.space.suggest(study.ask(), config.get_fixed_fields()) for _ in range(count)]


def test_draws_stay_in_the_space_and_cover_it(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    specs = draw_specs(load(write(tmp_path)))
    assert {len(spec.hidden) for spec in specs} == {1, 2, 3}
    widths = [width for spec in specs for width in spec.hidden]
    assert min(widths) >= 8
    assert max(widths) <= 64
    assert any(len(set(spec.hidden)) > 1 for spec in specs), "each layer draws its own width"
    assert {spec.batch_norm for spec in specs} == {"none", "before", "after"}
    assert all(spec.epochs == 3 and spec.activation == "tanh" for spec in specs)
    zeros = sum(spec.l1 == 0 for spec in specs) / len(specs)
    assert 0.18 < zeros < 0.32, "zero = 0.25: a quarter of the draws, 5 sd either way at n = 400"
    assert all(spec.l1 == 0 or 1e-6 <= spec.l1 <= 1e-3 for spec in specs)


def test_a_choice_may_be_of_lists_and_numbers(tmp_path: Path) -> None:
    config = load(write(tmp_path), ["space.batch_size=[16, 32]", "train.hidden=[4]"])
    assert {spec.batch_size for spec in draw_specs(config, 40)} == {16, 32}
    text = STUDY.replace("depth = { low = 1, high = 3 }", "hidden = [[30, 10], [20]]").replace(
        "width = { low = 8, high = 64, log = true }\n", ""
    )
    specs = draw_specs(load(write(tmp_path, text)), 40)
    assert {spec.hidden for spec in specs} == {(30, 10), (20,)}


def test_set_fixes_a_sampled_field(tmp_path: Path) -> None:
    overrides = ["train.hidden=[300,100]", "train.learning_rate=1e-3", "train.batch_norm=before"]
    config = load(write(tmp_path), [*overrides, "study.seed=5"])
    assert config.space.sampled_fields == {"l1"}
    assert {(spec.hidden, spec.learning_rate, spec.seed) for spec in draw_specs(config, 9)} == {
        ((300, 100), 1e-3, 5)
    }


def test_set_samples_a_fixed_field(tmp_path: Path) -> None:
    config = load(write(tmp_path), ['space.activation=["relu", "gelu"]'])
    assert "activation" in config.space.sampled_fields
    assert config.train == {"epochs": 3}


MISTAKES = {
    "unknown key, near": ("epochs = 3", "epoch = 3", r"\[train\] epoch: .* mean 'epochs'\?"),
    "unknown key in space": (
        "learning_rate =",
        "learning_rat =",
        r"\[space\] learning_rat: unknown key; did you mean 'learning_rate'\?",
    ),
    "unknown table": ("[train]", "[training]", r"\[training\]: unknown table.* mean 'train'\?"),
    "wrong type": ("epochs = 3", 'epochs = "three"', r"\[train\] epochs: .*integer, not 'three'"),
    "not an integer": ("epochs = 3", "epochs = 2.5", r"\[train\] epochs: .*integer, not 2.5"),
    "unknown choice": ('"tanh"', '"than"', r"\[train\] activation: .*'tanh'.*not 'than'"),
    "reversed range": ("low = 8, high = 64", "low = 64, high = 8", r"\[space\] width: low = 64"),
    "empty range": ("low = 8, high = 64", "low = 8, high = 8", r"\[space\] width: low = 8 must"),
    "empty choice": (
        '["none", "before", "after"]',
        "[]",
        r"\[space\] batch_norm: an empty choice",
    ),
    "log from 0": ("low = 1e-6", "low = 0.0", r"\[space\] l1: a log range must start above 0"),
    "range of a choice": (
        '["none", "before", "after"]',
        "{ low = 1, high = 2 }",
        r"\[space\] batch_norm: takes a list",
    ),
    "exact zeros of a positive field": (
        "low = 1e-4, high = 1e-1, log = true",
        "low = 1e-4, high = 1e-1, log = true, zero = 0.5",
        r"\[space\] learning_rate: must be above 0, not 0.0",
    ),
    "zeros without a log range": (
        "log = true, zero = 0.25",
        "zero = 0.25",
        r"\[space\] l1: zero = 0.25 needs a log range",
    ),
    "key of a range": ("zero = 0.25", "zeros = 0.25", r"\[space\] l1.zeros: .* mean 'zero'\?"),
    "fixed and sampled": (
        "epochs = 3",
        "learning_rate = 0.1",
        r"\[train\] learning_rate: also sampled in \[space\]",
    ),
    "hidden and width": (
        "epochs = 3",
        "hidden = [3]",
        r"\[train\] hidden: also sampled in \[space\]",
    ),
    "width alone": ("depth = { low = 1, high = 3 }\n", "", r"\[space\] width: needs 'depth'"),
    "bare value in space": (
        '["none", "before", "after"]',
        '"none"',
        r"\[space\] batch_norm: 'none' is neither a list .* put a fixed value into \[train\]",
    ),
    "outside the field": (
        "low = 1e-4, high = 1e-1",
        "low = -1.0, high = 1.0",
        r"\[space\] learning_rate: .*above 0|a log range must start above 0",
    ),
    "no trials": ("trials = 7", "trials = 0", r"\[study\] trials: .*greater than or equal to 1"),
    "unknown sampler": ("trials = 7", 'sampler = "cma"', r"\[study\] sampler: .*'tpe'"),
    "a name with a path": ("trials = 7", 'name = "../x"', r"\[study\] name: .*not '../x'"),
    "no data": ('name = "digits"', "", r"\[data\] name: field required"),
    "seed in train": ("epochs = 3", "seed = 3", r"\[train\] seed: belongs in \[study\]"),
    "seed in space": ('["none", "before", "after"]', '["none"]\nseed = [1, 2]', r"\[space\] seed:"),
    "not TOML": ("[train]", "[train", r"cannot be read as TOML: .*line"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_one_line_with_file_table_and_key(tmp_path: Path, name: str) -> None:
    old, new, message = MISTAKES[name]
    assert old in STUDY
    path = write(tmp_path, STUDY.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"^--set train\.epoch=3: \[train\] epoch: unknown"),
        ("space.l1={low=0.0,high=1.0,log=true}", r"^--set space.*: \[space\] l1: a log range"),
        ("train.hidden=300", r"must be a list of widths such as \[300, 100\], not 300"),
        ("train.width=300", r"width: belongs in \[space\]"),
        ("epochs=3", "write TABLE.KEY=VALUE"),
        ("trial.epochs=3", "write TABLE.KEY=VALUE with TABLE one of study, data, train, space"),
        ("train.epoch=3", "did you mean 'epochs'"),
        ("train.hidden=[3", "'\\[3' is not a TOML value"),
        ("train.dropout=1.5", r"dropout: must be in \[0, 1\), not 1.5"),
    ],
)
def test_a_wrong_set_is_one_line(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load(write(tmp_path), [override])
    assert "\n" not in str(raised.value)


GRID = ["study.sampler=grid", "space.depth=[1, 2]", "space.width=[8, 16]", "space.l1=[0.0, 0.1]"]


def load_grid(tmp_path: Path, *more: str) -> StudyConfig:
    """Load STUDY with a grid instead of its search space."""
    text = STUDY.partition("[space]")[0].replace("trials = 7\n", "") + "[space]\n"
    return load(write(tmp_path, text), [*GRID, *more])


def test_a_grid_has_every_combination_once_and_that_many_trials(tmp_path: Path) -> None:
    config = load_grid(tmp_path)
    points = config.space.list_grid()
    assert len(points) == config.study.trials == (2 + 4) * 2
    assert len({tuple(sorted(point.items())) for point in points}) == 12
    assert points[0] == {"depth": 1, "width_1": 8, "l1": 0.0}
    assert points[-1] == {"depth": 2, "width_1": 16, "width_2": 16, "l1": 0.1}
    assert config.study.pruner == "none"
    assert load_grid(tmp_path, "study.pruner=median").study.pruner == "median"
    assert load_grid(tmp_path, "study.trials=5").study.trials == 5


def test_a_grid_needs_lists_and_no_more_trials_than_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"learning_rate: a grid needs a list of values, not a r"):
        load_grid(tmp_path, "space.learning_rate={low=0.1, high=1.0}")
    with pytest.raises(ConfigError, match=r"width: a grid needs a list"):
        load_grid(tmp_path, "space.width={low=1, high=2}")
    with pytest.raises(ConfigError, match=r"trials: 13, but 12 settings with 1 seed make 12"):
        load_grid(tmp_path, "study.trials=13")


def test_different_losses_are_not_compared_by_val_loss(tmp_path: Path) -> None:
    sampled = 'space.loss=["mse", "cross-entropy"]'
    assert load(write(tmp_path), [sampled]).space.sampled_fields >= {"loss"}
    with pytest.raises(ConfigError, match=r"loss: val/loss is not comparable"):
        load(write(tmp_path), [sampled, "study.objective=val/loss"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["study.objective=val/r2"],
            r"objective: val/r2, but this is a classification study; use one of val/accuracy, "
            r"val/loss, val/auc, val/f1, val/balanced_accuracy, val/log_loss, val/brier$",
        ),
        (
            ["data.task=regression", "study.objective=val/auc"],
            r"objective: val/auc, but this is a regression study; use one of val/rmse, val/mae, "
            r"val/loss, val/r2, val/quantile_loss$",
        ),
        (["study.objective=val/roc"], r"'val/auc', .* not 'val/roc'$"),
        (["train.loss=quantile"], r"loss: quantile is for a regression; use cross-entropy"),
        (
            ["data.task=regression", "train.quantile=0.9"],
            r'quantile: has no effect without loss = "quantile"; add that, or leave it out$',
        ),
        (["data.task=regression", "train.loss=quantile", "train.quantile=1.5"], r"in \(0, 1\)"),
        (
            ['study.objectives=["val/acuracy", "parameters"]'],
            r"\[study\] objectives.0: input should",
        ),
        (
            ["data.task=regression", "train.loss=quantile", "space.quantile=[0.1, 0.9]"],
            r"objective: val/quantile_loss is not comparable between different levels",
        ),
    ],
)
def test_an_objective_that_does_not_fit_is_refused(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path), overrides)


def test_a_quantile_loss_is_its_own_objective(tmp_path: Path) -> None:
    overrides = ["data.task=regression", "train.loss=quantile", "train.quantile=0.9"]
    assert load(write(tmp_path), overrides).study.objective == "val/quantile_loss"


def test_a_study_in_the_current_folder_is_found_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = find_study("quickstart")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "quickstart.toml").write_text(STUDY)
    assert find_study("quickstart") == Path("studies/quickstart.toml")
    assert shipped.is_file()
    with pytest.raises(StudyError, match=r"no study 'quikstart'; did you mean 'quickstart'\?"):
        find_study("quikstart")
    with pytest.raises(StudyError, match=r"no study 'x'; known: (\S+, ){3}\S+ and \d+ more, see"):
        find_study("x")
    with pytest.raises(StudyError, match=r"no study file elsewhere/mine\.toml; known: .* more"):
        find_study("elsewhere/mine.toml")


def shipped() -> list[Path]:
    paths = (path for folder in study_folders() for path in folder.glob("*.toml"))
    return sorted({path.resolve() for path in paths})


NOT_MEASURED = ("cifar10", "fashion-mnist-conv", "mnist-conv")
"""The studies whose first lines have no result: no data here, or too long."""


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid_and_its_head_gives_the_measured_result(path: Path) -> None:
    config = load(path)
    assert config.study.name == path.stem
    head = config.text.splitlines()[:2]
    assert head[0] == f"# harness run-study {path.stem}"
    measured = re.search(r"2 cores.*: .* test (accuracy 0\.\d{4}|RMSE \d+,\d{3})", head[1])
    # Or the reason why it was not measured: CIFAR-10 could not be downloaded.
    assert measured or (path.stem in NOT_MEASURED and head[1].startswith("# not measured: "))
    assert (config.study.minutes is not None) == bool(measured)
    assert 10 < len(config.study.description) <= 50, "one line of `harness studies`"
    assert draw_specs(config, 20)


def test_description_and_minutes_may_change(tmp_path: Path) -> None:
    described = ["study.description=digits", "study.minutes=2.5"]
    assert load(write(tmp_path), described).definition() == load(write(tmp_path)).definition()
    with pytest.raises(ConfigError, match="minutes: input should be greater than 0"):
        load(write(tmp_path), ["study.minutes=0"])


def test_hung_after_is_a_duration_and_may_change(tmp_path: Path) -> None:
    config = load(write(tmp_path))
    assert config.study.hung_after == "60s"
    changed = load(write(tmp_path), ["study.hung_after=5m"])
    assert changed.study.hung_after == "5m"
    assert changed.definition() == config.definition()
    with pytest.raises(ConfigError, match=r"hung_after: .*'soon' is not a duration; write 90s"):
        load(write(tmp_path), ["study.hung_after=soon"])


def test_durations() -> None:
    assert [parse_duration(text) for text in ("90s", "10m", "2h", "45")] == [90, 600, 7200, 45]
    for wrong in ("", "ten", "5d", "0m", "-3s"):
        with pytest.raises(ValueError, match="is not a duration; write 90s, 10m or 2h"):
            parse_duration(wrong)
