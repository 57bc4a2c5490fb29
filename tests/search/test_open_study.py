"""Opening a study that has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.errors import ConfigError, StudyError
from harness.search.open_study import open_search
from tests.search.tiny_study import run_trials


def test_a_record_without_a_trained_trial_is_replaced_if_the_study_changes(
    config: StudyConfig, tmp_path: Path
) -> None:
    """Version 0.1.0 left such a record for settings that could not be trained."""
    wrong = load(config.source, ["train.batch_norm=after", "space.batch_size=[1]"])
    with (
        open_search(wrong, tmp_path) as search,
        pytest.raises(
            ConfigError,
            match=r"tiny.toml: \[space\] draws .* batch_size: BatchNorm needs at least 2",
        ),
    ):
        search.ask()
    with open_search(wrong, tmp_path) as search:
        assert not search.replaced
    with open_search(config, tmp_path, split="a") as search:
        assert search.replaced
        assert search.set_aside
        assert search.counts.done == 0
    with open_search(config, tmp_path, split="b") as search:  # other data
        assert search.replaced
        search.ask()  # and the driver dies: this trial may have been trained
    with pytest.raises(StudyError, match="other data"), open_search(config, tmp_path, split="c"):
        pass
    assert len(list(tmp_path.glob("tiny.*.journal"))) == 2


def test_a_changed_study_is_rejected_with_the_difference(
    config: StudyConfig, tmp_path: Path
) -> None:
    with open_search(config, tmp_path) as search:
        run_trials(search, 2)
    changed = load(config.source, ["train.epochs=3", "space.depth={low=1,high=4}"])
    with (
        pytest.raises(
            StudyError,
            match=r"\[train\] epochs: nothing -> 3; \[space\] depth: .*3.* -> .*4.*--fresh",
        ),
        open_search(changed, tmp_path),
    ):
        pass
    longer = load(config.source, ["study.trials=20"])
    with open_search(longer, tmp_path) as search:
        assert search.counts.done == 2
    with open_search(changed, tmp_path, fresh=True) as search:
        assert search.counts.done == 0
        assert search.set_aside
    assert len(list(tmp_path.glob("tiny.*.journal"))) == 1
