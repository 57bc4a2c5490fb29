"""What a regression is to be held against: the mean, a linear regression, boosted trees.

scikit-learn's, with its own settings, fitted on the training part alone; judged on the validation
part, and on the test part within the one opening of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.stats.regression import fitted, rmse_interval

if TYPE_CHECKING:
    from harness.data.torch_datasets import Part, Splits

FILE = "baselines.json"
MEAN, LINEAR, TREES = "the training mean", "linear regression", "gradient-boosted trees"

Values = npt.NDArray[Any]
Models = Mapping[str, Callable[[Values], Values]]
"""By name: inputs [n, D] to values [n], in the target's own units."""


@dataclass(frozen=True)
class Figures:
    """Of one baseline on one part, in the target's own units."""

    rmse: float
    mae: float
    r2: float
    interval: tuple[float, float]
    """95 % for the RMSE, by the bootstrap."""

    @property
    def score(self) -> float:
        return self.rmse

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        return ()


@dataclass(frozen=True)
class Baselines:
    """Figures by part, then by the baseline's name."""

    parts: Mapping[str, Mapping[str, Figures]]

    def of(self, part: str) -> Mapping[str, Figures]:
        return self.parts.get(part, {})

    def with_part(self, part: str, figures: Mapping[str, Figures]) -> Baselines:
        return Baselines({**self.parts, part: figures})

    def metrics(self) -> dict[str, float]:
        """For MLflow, on the study's run: `baseline/test_rmse/linear regression`."""
        return {
            f"baseline/{part}_rmse/{name}": each.rmse
            for part, figures in self.parts.items()
            for name, each in figures.items()
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            part: {name: asdict(each) for name, each in figures.items()}
            for part, figures in self.parts.items()
        }

    def to_file(self) -> bytes:
        return json.dumps(self.to_dict()).encode()

    @classmethod
    def from_file(cls, content: bytes) -> Baselines:
        """Raises StoreError."""
        try:
            return cls(
                {
                    part: {
                        name: Figures(**each | {"interval": tuple(each["interval"])})
                        for name, each in figures.items()
                    }
                    for part, figures in json.loads(content).items()
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{FILE} of a run cannot be read ({error}); `harness doctor` finds which"
            ) from error


def fit(splits: Splits) -> Models:
    """The three, fitted on the training part. Raw inputs: trees need no scale, the line has one."""
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    x, y = _arrays(splits.train)
    scale, about = splits.inv_std.numpy(), splits.mean.numpy()
    line = LinearRegression().fit((x - about) * scale, y)
    return {
        MEAN: DummyRegressor().fit(x, y).predict,
        LINEAR: lambda inputs: np.asarray(line.predict((inputs - about) * scale)),
        TREES: HistGradientBoostingRegressor(random_state=0).fit(x, y).predict,
    }


def judge(models: Models, part: Part) -> dict[str, Figures]:
    x, y = _arrays(part)
    found = {}
    for name, model in models.items():
        said = model(x)
        found[name] = Figures(**fitted(said, y), interval=rmse_interval(said, y))
    return found


def _arrays(part: Part) -> tuple[Values, Values]:
    """[n, D] and [n], float64."""
    inputs = part.inputs[part.rows].flatten(1)
    return inputs.double().numpy(), part.labels[part.rows].double().numpy()
