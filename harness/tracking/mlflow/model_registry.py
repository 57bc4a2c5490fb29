"""The best model: logged with signature and example, registered, given the alias `champion`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import LoggedModelOutput, Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from harness.errors import StoreError, Unavailable
from harness.system.failpoints import failpoint
from harness.tracking.mlflow.client import Store
from harness.tracking.types import CONFIRMING

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
    metadata: dict[str, Any],
) -> str:
    """Log `model`, a torch module in eval mode, on the run `parent`; register it as `name`.

    `example` is an array [2, *shape] of the inputs' own type: torch.export takes a batch axis of 1
    for fixed. `classes` are the columns of the output. The format is pt2, a graph without pickle,
    which loads without harness. `metadata` stands beside it, for whoever loads it:
    `mlflow.models.get_model_info(address).metadata`.
    """
    trial = store.client.get_run(tags["harness.trial_run"])
    with _global_store(store.uri):
        version = _registered(store, name, trial)
        if version is None:
            model_uri = _log(store, parent, model, example, classes, note, tags, metadata)
            failpoint("champion.logged")
            version = _register(store, parent, name, model_uri, note, tags)
            failpoint("champion.registered")
    # The model's page knows of the version by this tag alone; mlflow.register_model sets it too.
    versions = json.dumps([{"name": name, "version": version.version}])
    model_id = str(version.source).removeprefix("models:/")
    store.client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: versions})
    _measure(store, parent, model_id, trial)
    _mark(store, trial)
    store.client.set_registered_model_alias(name, "champion", version.version)
    return f"models:/{name}@champion"


def _registered(store: Store, name: str, trial: Run) -> ModelVersion | None:
    """The version that was made of this trial before, by a driver that died or was interrupted.

    Models that such a driver logged, but did not come to register, are deleted.
    """
    for version in store.client.search_model_versions(f"name = '{name}'"):
        if version.tags.get("harness.trial_run") == trial.info.run_id:
            return version
    half_made = store.client.search_logged_models(
        [trial.info.experiment_id], f"tags.`harness.trial_run` = '{trial.info.run_id}'"
    )
    for model in half_made:
        store.client.delete_logged_model(model.model_id)
    return None


def _log(
    store: Store,
    parent: str,
    model: Any,
    example: Any,
    classes: int,
    note: str,
    tags: dict[str, str],
    metadata: dict[str, Any],
) -> str:
    """Export `model`; returns its address by id. MLflow finds our store as its global one."""
    import torch

    signature = ModelSignature(
        Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
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
    failpoint("champion.created")
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
        metadata=metadata,
    )
    return str(info.model_uri)


def model_id(run: Run) -> str | None:
    """The model that was logged last on a study's run: the next reading is of that one."""
    models = _models(run)
    return max(models, key=lambda model: model.step).model_id if models else None


def model_run(store: Store, address: str) -> str | None:
    """The run whose weights the registered model at `address` has; None for one of others."""
    name, at, alias = address.removeprefix("models:/").partition("@")
    name, slash, version = (name, "", "") if at else name.rpartition("/")
    client = store.client
    try:
        with store.errors():
            if at:
                tags = client.get_model_version_by_alias(name, alias).tags
            elif slash:
                tags = client.get_model_version(name, version).tags
            else:
                tags = client.get_logged_model(version).tags
    except StoreError as error:
        if isinstance(error.__cause__, MlflowException) and not isinstance(error, Unavailable):
            return None
        raise
    return tags.get("harness.trial_run")


def _models(run: Run) -> list[LoggedModelOutput]:
    return run.outputs.model_outputs if run.outputs else []


def _mark(store: Store, trial: Run) -> None:
    """A star before the run's name: among equals MLflow's tables show another one first.

    Where another seed's model is kept, on the trial that it confirms too.
    """
    marked = store.client.search_runs(
        [trial.info.experiment_id], f"attributes.run_name LIKE '{STAR}%'"
    )
    for run in marked:
        store.client.update_run(run.info.run_id, name=run.info.run_name.removeprefix(STAR))
    tags, starred = trial.data.tags, [trial]
    if CONFIRMING in tags["harness.uid"]:
        uid = f"{tags['harness.uid'].partition('/')[0]}/{tags['harness.number']}"
        own = store.find(uid, trial.info.experiment_id)
        starred += [store.client.get_run(own)] if own else []
    for run in starred:
        name = run.info.run_name.removeprefix(STAR)
        store.client.update_run(run.info.run_id, name=f"{STAR}{name}")


def _measure(store: Store, parent: str, model: str, trial: Run) -> None:
    """How the trial did, on the model's own page, with the data it did so on."""
    inputs = store.client.get_run(parent).inputs
    when = trial.info.end_time or trial.info.start_time  # the same each time this is done
    data = inputs.dataset_inputs[0].dataset if inputs and inputs.dataset_inputs else None
    named = {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
    metrics = [
        Metric(key, value, when, 0, model_id=model, **named)
        for key, value in trial.data.metrics.items()
        if key.startswith("best/")
    ]
    store.client.log_batch(parent, metrics=metrics, synchronous=True)


def _register(
    store: Store, parent: str, name: str, model_uri: str, note: str, tags: dict[str, str]
) -> ModelVersion:
    """A new version of the registered model; finds the logged one through the global store."""
    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    store.client.update_registered_model(name, description=note)
    return store.client.create_model_version(
        name,
        model_uri,
        run_id=parent,
        tags=tags,
        description=note,
        model_id=model_uri.removeprefix("models:/"),
    )


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
