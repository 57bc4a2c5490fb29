"""The names that a shell completes: the user's studies, the built-in ones, those on record."""

from __future__ import annotations

from pathlib import Path


def complete_study(incomplete: str) -> list[str]:
    """Return the studies that can be run: those in ./studies and the built-in ones."""
    from harness.config.study_files import list_study_names

    return [name for name in list_study_names() if name.startswith(incomplete)]


def complete_recorded_study(incomplete: str) -> list[str]:
    """Return the studies on record in ./mlruns, for any tracking store, by their journals."""
    names = {path.stem for path in Path("mlruns/optuna").rglob("*.journal")}
    return sorted(name for name in names if name.startswith(incomplete))
