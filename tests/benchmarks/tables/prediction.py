"""What a method returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """The predictions of one fit for the outer test part."""

    values: np.ndarray
    """Numbers [n], or probabilities [n, classes] in the order of the task's classes."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What was chosen."""
    trials: int = 1
    """Settings that were compared."""
