"""The model that MLflow loads by `mlflow.pyfunc.load_model`: raw rows in, labels or numbers out.

MLflow calls `_load_pyfunc` with the folder of the model's files: the exported graph, the transform
and the description that `describe_champion` returns. Nothing of harness is needed, and no pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .table_transform import TableTransform

if TYPE_CHECKING:
    import pandas as pd

GRAPH_FILE, TRANSFORM_FILE, CHAMPION_FILE = "model.pt2", "transform.json", "champion.json"
DETAILS = "details"
"""The parameter of `predict` that adds probabilities, or the interval of a number."""
CHUNK = 10_000
"""Rows that go through the network at once."""


class ChampionModel:
    """A network with the transform of its table."""

    def __init__(self, network: Any, transform: TableTransform, champion: Mapping[str, Any]):
        """`network`: features, a float32 tensor [N, D] -> logits [N, C] or targets [N, 1]."""
        self._network, self._transform = network, transform
        self._labels: list[Any] = list(champion.get("labels", ()))
        self._loss = str(champion.get("loss", ""))
        self._width: float | None = champion.get("interval")
        self._scale: Mapping[str, Any] | None = champion.get("interval_scale")

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return a label or a number for each raw row.

        With `params={"details": True}`, return a frame: `prediction`, then `probability LABEL` of
        each class, or `low` and `high` of the 90 % interval of a number.
        """
        frame = self.predict_frame(_to_frame(model_input, self._transform.inputs))
        return frame if (params or {}).get(DETAILS) else frame["prediction"].to_numpy()

    def predict_frame(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the frame of `predict` with details."""
        import pandas as pd

        outputs = self._run(self._transform.read_features(rows))
        if self._labels:
            columns = describe_classes(outputs, self._labels, self._loss)
        else:
            columns = describe_numbers(outputs[:, 0], self._width, self._scale)
        return pd.DataFrame(columns, index=rows.index)

    def _run(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        import torch

        chunks = torch.split(torch.from_numpy(features), CHUNK)
        with torch.inference_mode():
            outputs = [self._network(chunk) for chunk in chunks]
        result: npt.NDArray[np.float64] = torch.cat(outputs).double().numpy()
        return result


def describe_classes(
    logits: npt.NDArray[np.float64], labels: Sequence[Any], loss: str
) -> dict[str, npt.NDArray[Any]]:
    """Return the most probable label of each row, and the probability of each."""
    probabilities = compute_probabilities(logits, loss)
    best = logits.argmax(1)
    kinds = {type(label) for label in labels}
    dtype = kinds.pop() if len(kinds) == 1 and kinds <= {int, bool} else object
    columns: dict[str, npt.NDArray[Any]] = {"prediction": np.array(labels, dtype)[best]}
    for place, label in enumerate(labels):
        columns[f"probability {label}"] = probabilities[:, place]
    return columns


def compute_probabilities(logits: npt.NDArray[np.float64], loss: str) -> npt.NDArray[np.float64]:
    """Return what logits of a model trained by this loss mean as probabilities."""
    if loss == "bce":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))
    if loss == "mse":
        return np.clip(logits, 0, 1)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def describe_numbers(
    values: npt.NDArray[np.float64],
    width: float | None,
    scale: Mapping[str, Any] | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Return the predictions of a regression, with an interval if its half width is known."""
    columns = {"prediction": values}
    if width is None:
        return columns
    center = to_scale(values, scale)
    low, high = (from_scale(each, scale) for each in (center - width, center + width))
    return columns | {"low": low, "high": high}


def to_scale(values: npt.NDArray[Any], scale: Mapping[str, Any] | None) -> npt.NDArray[np.float64]:
    """Return targets on the scale of their transform: `log`, or the normal scores between knots."""
    exact = np.asarray(values, np.float64)
    if scale is None:
        return exact
    if "log" in scale:
        return np.asarray(np.clip(np.log(np.maximum(exact, 1e-300)), *scale["log"]))
    return np.asarray(np.interp(exact, scale["knots"], scale["scores"]))


def from_scale(
    scaled: npt.NDArray[np.float64], scale: Mapping[str, Any] | None
) -> npt.NDArray[np.float64]:
    """Return the targets whose `to_scale` these are, within the bounds of predictions."""
    if scale is None:
        return scaled
    if "log" in scale:
        return np.asarray(np.exp(np.clip(scaled, *scale["log"])))
    return np.asarray(np.interp(scaled, scale["scores"], scale["knots"]))


def _to_frame(rows: Any, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, Mapping):
        return pd.DataFrame(rows)
    if isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows):
        return pd.DataFrame.from_records(rows)
    return pd.DataFrame(rows, columns=list(names))


def _load_pyfunc(path: str) -> ChampionModel:
    """Load the model from the folder of its files, for MLflow."""
    import torch

    folder = Path(path)
    # MLflow wrote the graph without a pickle, and torch reads its tensors as plain bytes.
    graph = torch.export.load(folder / GRAPH_FILE).module()
    transform = TableTransform.from_json((folder / TRANSFORM_FILE).read_bytes())
    return ChampionModel(graph, transform, json.loads((folder / CHAMPION_FILE).read_bytes()))
