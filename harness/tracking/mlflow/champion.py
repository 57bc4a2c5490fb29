"""The best model: logged with signature and example, registered, given the alias `champion`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import LoggedModelOutput, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from harness.tracking.mlflow.store import Store

STAR = "★ "


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
    trial = store.client.get_run(tags["harness.trial_run"])
    logged = store.client.create_logged_model(
        trial.info.experiment_id,
        f"trial-{tags['harness.trial']}",
        source_run_id=parent,
        tags={**tags, "mlflow.note.content": note},
        params=trial.data.params,
    )
    with _global_store(store.uri):
        # mlflow.pytorch.log_model, but for the run's id: that function wants an active run, and
        # whoever calls us from Python may have one of his own.
        info = Model.log(
            artifact_path=None,
            model_id=logged.model_id,
            flavor=mlflow.pytorch,
            run_id=parent,
            step=len(_models(store.client.get_run(parent))),
            pytorch_model=model,
            signature=signature,
            input_example=example,
            # Named here, because finding them out takes MLflow 11 to 21 s.
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "numpy"],
            serialization_format="pt2",
        )
        version = _register(store, parent, name, info, note, tags)
    _measure(store, parent, logged.model_id, trial)
    _mark(store, trial)
    store.client.set_registered_model_alias(name, "champion", version)
    return f"models:/{name}@champion"


def model_id(run: Run) -> str | None:
    """The model that was logged last on a study's run: the next reading is of that one."""
    models = _models(run)
    return max(models, key=lambda model: model.step).model_id if models else None


def _models(run: Run) -> list[LoggedModelOutput]:
    return run.outputs.model_outputs if run.outputs else []


def _mark(store: Store, trial: Run) -> None:
    """A star before the run's name: among equals MLflow's tables show another one first."""
    marked = store.client.search_runs(
        [trial.info.experiment_id], f"attributes.run_name LIKE '{STAR}%'"
    )
    for run in marked:
        store.client.update_run(run.info.run_id, name=run.info.run_name.removeprefix(STAR))
    name = trial.info.run_name.removeprefix(STAR)
    store.client.update_run(trial.info.run_id, name=f"{STAR}{name}")


def _measure(store: Store, parent: str, model: str, trial: Run) -> None:
    """How the trial did, on the model's own page, with the data it did so on."""
    now, inputs = int(time.time() * 1000), store.client.get_run(parent).inputs
    data = inputs.dataset_inputs[0].dataset if inputs and inputs.dataset_inputs else None
    named = {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
    metrics = [
        Metric(key, value, now, 0, model_id=model, **named)
        for key, value in trial.data.metrics.items()
        if key.startswith("best/")
    ]
    store.client.log_batch(parent, metrics=metrics, synchronous=True)


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
    # The model's page knows of the version by this tag alone; mlflow.register_model sets it too.
    versions = json.dumps([{"name": name, "version": version.version}])
    store.client.set_logged_model_tags(info.model_id, {MLFLOW_MODEL_VERSIONS: versions})
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
