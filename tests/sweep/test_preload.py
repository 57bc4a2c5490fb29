"""What the end of a study needs is imported while its last trials are trained."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.sweep import preload
from harness.sweep.preload import PreloadingDisplay


@dataclass
class Loading:
    """An outbox that imports mlflow until `loaded` is set."""

    loaded: threading.Event = field(default_factory=threading.Event)

    @property
    def is_loading(self) -> bool:
        return not self.loaded.is_set()


def make_progress(done: int, running: int, target: int = 5) -> Any:
    return SimpleNamespace(
        counts=SimpleNamespace(done=done), running=dict.fromkeys(range(running)), target=target
    )


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(preload, "import_module", names.append)
    return names


def make_display(tracker: Loading) -> PreloadingDisplay:
    silent = SimpleNamespace(refresh=lambda progress: None)
    return PreloadingDisplay(cast("Any", silent), cast("Any", tracker))


def test_the_imports_begin_with_the_last_trials_once_mlflow_is_imported(
    imported: list[str],
) -> None:
    tracker = Loading()
    display = make_display(tracker)
    display.refresh(make_progress(done=1, running=3))
    assert display._thread is None
    display.refresh(make_progress(done=1, running=4))
    assert display._thread is not None
    assert imported == []
    tracker.loaded.set()
    display._thread.join(10)
    assert imported == list(preload.MODULES)


def test_a_study_that_ends_first_does_not_wait_for_the_imports(imported: list[str]) -> None:
    display = make_display(Loading())
    display.refresh(make_progress(done=4, running=1))
    display.finish()
    assert imported == []


def test_every_module_exists() -> None:
    """An error in the thread is suppressed, so a name that is wrong would not show."""
    import importlib

    for name in preload.MODULES:
        importlib.import_module(name)
