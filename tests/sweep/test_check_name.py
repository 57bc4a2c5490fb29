"""A folder that was copied, moved or mounted, and a tracking store that several folders share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.config.loader import load
from harness.errors import StudyError
from harness.search.open_study import open_search, read_uid
from harness.sweep.check_name import _check_copy
from harness.sweep.environment import collect_origin
from harness.tracking.name_holder import NameHolder
from harness.workspace import Workspace
from tests.support.digits_study import STUDY


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("none", ""),
        ("copy", "was last run in .*/a, which still has it, .* Continue it there; .*name=tiny-2"),
        ("move", ""),
        ("link", ""),
        ("other study", ""),
        ("other host", "is recorded as running on host elsewhere, in .*/a; if it still runs"),
        ("other host, ended", ""),
        ("own database", ""),
        ("earlier version", ""),
    ],
)
def test_a_copied_folder_is_refused_and_a_moved_one_continues(
    change: str, expected: str, tmp_path: Path
) -> None:
    uri, first = f"sqlite:///{tmp_path / 's.db'}", Workspace(tmp_path / "a")
    (tmp_path / "tiny.toml").write_text(STUDY)
    config = load(tmp_path / "tiny.toml")
    with open_search(config, first.study_storage(uri)) as search:
        uid = search.uid
    origin, here = collect_origin(first.root), Workspace(tmp_path / "b")
    if change == "move":
        first.root.rename(here.root)
    elif change == "link":
        here.root.symlink_to(first.root)
    elif change == "none":
        here = first
    else:
        shutil.copytree(first.root, here.root)
    if change == "other study":
        shutil.rmtree(first.root)
        with open_search(config, first.study_storage(uri)):
            pass
    if change.startswith("other host"):
        origin["host"] = "elsewhere"
    if change == "own database":
        uri = here.local_uri
    if change == "earlier version":
        origin = {}
    holder = NameHolder(frozenset({uid}), origin, is_running=change != "other host, ended")

    messages: list[str] = []

    def check() -> None:
        _check_copy(here, "tiny", uid, uri, holder, messages.append)

    if change == "copy":
        before = sorted(first.root.rglob("*"))
        with pytest.raises(StudyError, match=expected):
            check()
        assert sorted(first.root.rglob("*")) == before
        assert read_uid(here.study_storage(uri), "tiny") == uid
    else:
        check()
    if change == "other host":
        with pytest.raises(StudyError, match=expected):
            raise StudyError(*messages)
    else:
        assert not messages
