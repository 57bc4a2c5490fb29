"""Opening a study that has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.loader import load
from harness.config.schema import StudyConfig
from harness.errors import StudyError
from harness.search.open_study import open_search
from tests.search.tiny_study import run_trials


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
