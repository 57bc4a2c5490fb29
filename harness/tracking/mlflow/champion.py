"""The best model: logged with signature and example, registered, given the alias `champion`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema, TensorSpec

from harness.tracking.mlflow.store import Store


def log_champion(
    store: Store,
    parent: str,
    name: str,
    model: Any,
    example: Any,
    classes: int,
    note: str,
    tags: dict[str, str],
) -> str:
    """Log `model`, a torch module in eval mode, on the run `parent`; register it as `name`.

    `example` is a uint8 array [2, *shape]: torch.export takes a batch axis of 1 for fixed. The
    format is pt2, a graph without pickle, which loads without harness.
    """
    import torch

    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, *example.shape[1:]))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, classes))]),
    )
    experiment = store.client.get_run(parent).info.experiment_id
    logged = store.client.create_logged_model(experiment, "champion", source_run_id=parent)
    with _global_store(store.uri):
        # mlflow.pytorch.log_model, but for the run's id: that function wants an active run, and
        # whoever calls us from Python may have one of his own.
        info = Model.log(
            artifact_path=None,
            model_id=logged.model_id,
            flavor=mlflow.pytorch,
            run_id=parent,
            pytorch_model=model,
            signature=signature,
            input_example=example,
            # Named here, because finding them out takes MLflow 11 to 21 s.
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "numpy"],
            serialization_format="pt2",
        )
        version = _register(store, parent, name, info, note, tags)
    store.client.set_registered_model_alias(name, "champion", version)
    return f"models:/{name}@champion"


def _register(
    store: Store, parent: str, name: str, info: ModelInfo, note: str, tags: dict[str, str]
) -> str:
    """A new version of the registered model; finds the logged one through the global store."""
    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    store.client.update_registered_model(name, description=note)
    version = store.client.create_model_version(
        name,
        info.model_uri,
        run_id=parent,
        tags=tags,
        description=note,
        model_id=info.model_id,
    )
    return str(version.version)


@contextmanager
def _global_store(uri: str) -> Iterator[None]:
    """mlflow.pytorch knows only MLflow's global state: lend it ours and take it back.

    MLflow keeps that state in the environment too, where it would redirect later runs.
    """
    before = [os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")]
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before[0])  # type: ignore[arg-type]  # None: back to unset
        mlflow.set_registry_uri(before[1])  # type: ignore[arg-type]
        if before[1] is None:
            os.environ.pop("MLFLOW_REGISTRY_URI", None)  # which MLflow forgets to
