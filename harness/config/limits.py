"""[limits]: the largest network and the slowest prediction that a study's champion may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import Field

from harness.config.study_tables import Table
from harness.results import Cost

COSTS: tuple[Cost, ...] = get_args(Cost)


class LimitsTable(Table):
    """[limits]: the highest costs of the champion; a search trains no setting above them."""

    parameters: int | None = Field(default=None, ge=1)
    """The largest number of trainable parameters of the network. No limit by default."""
    milliseconds: float | None = Field(default=None, gt=0)
    """The longest time of a prediction for one example, on one core of the machine that runs the
    study, in milliseconds. It is measured before a setting is trained, once for each architecture.
    No limit by default."""

    def to_dict(self) -> dict[str, float]:
        """Return the limits that are set, by the name of the cost."""
        values: dict[str, float] = self.model_dump(exclude_none=True)
        return values


def is_within(limits: Mapping[str, float], costs: Mapping[str, float | None]) -> bool:
    """Return whether no cost is above its limit; a cost that is not on record is not."""
    values = ((limit, costs.get(name)) for name, limit in limits.items())
    return all(value is None or value <= limit for limit, value in values)


def format_cost(name: str, value: float) -> str:
    """`31,436 parameters` or `0.0213 ms`."""
    return f"{value:,.0f} parameters" if name == "parameters" else f"{value:.3g} ms"


def format_limits(limits: Mapping[str, float]) -> str:
    """`at most 100,000 parameters and 1 ms`; empty without limits."""
    texts = [format_cost(name, limit) for name, limit in limits.items()]
    return f"at most {' and '.join(texts)}" if texts else ""
