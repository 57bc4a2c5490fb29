"""The ranges and choices of a search space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """A range of numbers to sample from, both ends included.

    Examples:
        >>> harness.Range(1e-4, 1e-1, log=True)
        Range(low=0.0001, high=0.1, log=True, zero=0.0)
    """

    low: float
    high: float
    log: bool = False
    """Sample uniformly on a log scale."""
    zero: float = 0.0
    """Probability of exactly 0; needs `log`."""

    def to_plain(self) -> dict[str, Any]:
        """Return the range as a study file has it."""
        options = {"log": self.log, "zero": self.zero}
        return {"low": self.low, "high": self.high} | {k: v for k, v in options.items() if v}


@dataclass(frozen=True)
class Choice:
    """A list of values to sample from.

    Examples:
        >>> harness.Choice([32, 64, 128])
        Choice(values=[32, 64, 128])
    """

    values: Sequence[Any]

    def to_plain(self) -> list[Any]:
        """Return the choice as a study file has it."""
        return list(self.values)
