"""The MLflow flavor of a table's champion: MLflow's pytorch model, whose pyfunc takes raw rows.

`mlflow.pytorch.load_model` gives the network, which takes features. `mlflow.pyfunc.load_model` runs
the files of `harness.scoring`, which are stored with the model: harness need not be installed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import FLAVOR_NAME, add_to_model
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType

import harness.scoring
from harness.scoring.champion import CHAMPION_FILE, DETAILS, GRAPH_FILE, TRANSFORM_FILE
from harness.scoring.column_features import ColumnFeatures
from harness.scoring.table_transform import TableTransform

CODE_FOLDER, DATA_FOLDER = "code", "data"


@dataclass(frozen=True)
class TableFlavor:
    """What `Model.log` takes as a flavor."""

    transform: TableTransform
    champion: Mapping[str, Any]
    """See `harness.scoring.champion`."""

    @classmethod
    def of(cls, files: Mapping[str, str]) -> TableFlavor:
        """Create it from the content of TRANSFORM_FILE and CHAMPION_FILE."""
        transform = TableTransform.from_json(files[TRANSFORM_FILE])
        return cls(transform, json.loads(files[CHAMPION_FILE]))

    def save_model(
        self, path: str, mlflow_model: Model, pip_requirements: list[str], **more: Any
    ) -> None:
        """Save the model as MLflow's pytorch flavor does, then replace the pyfunc flavor."""
        requirements = [*pip_requirements, f"pandas=={pd.__version__}"]
        mlflow.pytorch.save_model(
            path=path, mlflow_model=mlflow_model, pip_requirements=requirements, **more
        )
        folder = Path(path)
        data = folder / DATA_FOLDER
        assert (data / GRAPH_FILE).exists(), sorted(data.iterdir())
        (data / TRANSFORM_FILE).write_text(self.transform.to_json(), encoding="utf-8")
        (data / CHAMPION_FILE).write_text(json.dumps(self.champion), encoding="utf-8")
        environment = mlflow_model.flavors.pop(FLAVOR_NAME)["env"]
        add_to_model(  # type: ignore[no-untyped-call]
            mlflow_model,
            loader_module=f"{_copy_code(folder / CODE_FOLDER)}.champion",
            data=DATA_FOLDER,
            code=CODE_FOLDER,
            conda_env=environment.get("conda"),
            python_env=environment.get("virtualenv"),
        )
        mlflow_model.signature = build_signature(self.transform, self.champion)
        _save_example(mlflow_model, self.transform, folder)
        mlflow_model.save(str(folder / "MLmodel"))


def build_signature(transform: TableTransform, champion: Mapping[str, Any]) -> ModelSignature:
    """Return the signature: every column may be missing, and have any type that can be read."""
    untyped = AnyType()  # type: ignore[no-untyped-call]
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(untyped, name, required=False) for name in transform.inputs
    ]
    labels = champion.get("labels", ())
    types = {int: DataType.long, bool: DataType.boolean, str: DataType.string}
    output = types[type(labels[0])] if labels else DataType.double
    details = ParamSpec(DETAILS, DataType.boolean, False)
    return ModelSignature(Schema(inputs), Schema([ColSpec(output)]), ParamSchema([details]))


def build_example(transform: TableTransform) -> pd.DataFrame:
    """Return a raw row of typical values; nothing in it is a row of the data."""
    row = {each.column.name: _get_typical_value(each) for each in transform.columns}
    return pd.DataFrame([row])


def _get_typical_value(features: ColumnFeatures) -> Any:
    column = features.column
    if not features.names:
        return None
    if column.kind == "category":
        return (features.levels or (None,))[0]
    if column.kind == "boolean":
        text = column.levels[int(features.fill[0])]
        return {"True": True, "False": False}.get(text, text)
    if column.kind == "date":
        return str(np.datetime64(int(features.offset + 86_400 * features.fill[0]), "s"))
    if column.kind == "time":
        minutes = int(60 * features.fill[0])
        return f"{minutes // 60:02}:{minutes % 60:02}"
    return features.fill[0] + features.offset


def _copy_code(folder: Path) -> str:
    """Copy the code that scores rows, and return the name of its package.

    The name depends on the content, so that one process can load models of several versions.
    """
    assert harness.scoring.__file__
    files = sorted(Path(harness.scoring.__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    package = f"harness_table_{digest[:12]}"
    (folder / package).mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / package / file.name)
    return package


def _save_example(model: Model, transform: TableTransform, folder: Path) -> None:
    """Replace the example of features by a raw row."""
    for name in ("input_example.json", "serving_input_example.json"):
        (folder / name).unlink(missing_ok=True)
    from mlflow.models.utils import _save_example as save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas', about how MLflow compares columns
        save(model, build_example(transform), str(folder))
