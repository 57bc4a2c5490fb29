"""Who holds a study's name in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.tracking.types import ORIGIN_FACTS


@dataclass(frozen=True)
class NameHolder:
    """The studies that hold a name in the store, and where they were run."""

    uids: frozenset[str] = frozenset()
    """Empty if no study holds the name; several only in records of earlier versions."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """ORIGIN_FACTS of the last driver; empty in records of earlier versions."""
    artifacts: str = ""
    """The address of the experiment's files."""
    is_running: bool = False
    """Whether a study is recorded as running. A driver that was killed leaves it so."""

    def is_from(self, origin: Mapping[str, str], artifacts: Path | None) -> bool:
        """Whether it was run in this folder, as far as is on record.

        Args:
            origin: ORIGIN_FACTS of this folder.
            artifacts: the folder of a local store's files. MLflow's record of it follows a move.
        """
        if artifacts is not None and self.artifacts.startswith(f"{artifacts.as_uri()}/"):
            return True
        if self.origin:
            return all(self.origin.get(key) == origin.get(key) for key in ORIGIN_FACTS)
        return artifacts is None
