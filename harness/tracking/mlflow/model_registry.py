"""Log the best model or an ensemble, register it, and give it its alias."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from harness.system.failpoints import failpoint
from harness.tracking.mlflow.client import Store
from harness.tracking.mlflow.model_lookup import ENSEMBLE_TAG, TEMPERATURE_TAG, list_logged_models
from harness.tracking.mlflow.naming import MAX_DESCRIPTION_LENGTH, shorten
from harness.tracking.types import CONFIRM_INFIX

CHAMPION_PREFIX = "★ "


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
    scoring: Mapping[str, str],
) -> str:
    """Log a model on the run `parent`, register it as `name`, and return the address that loads it.

    The format is pt2, a graph without pickle that loads without harness.

    Args:
        model: A torch module in eval mode.
        example: An array [2, *shape] of the input's dtype; torch.export would take a batch size
            of 1 as fixed.
        classes: The number of outputs.
        metadata: Stored with the model; read it with
            `mlflow.models.get_model_info(address).metadata`.
        scoring: The files that make a table's model take raw rows, see `harness.scoring.champion`.
    """
    trial = store.client.get_run(tags["harness.trial_run"])
    with _set_global_store(store.uri):
        version = _find_version(store, name, trial.info.experiment_id, tags, "harness.trial_run")
        if version is None:
            title = f"trial-{tags['harness.trial']}"
            model_uri = _log_model(
                store, parent, title, model, example, classes, note, tags, metadata, scoring,
                trial.data.params,
            )  # fmt: skip
            failpoint("champion.logged")
            version = _create_version(store, parent, name, model_uri, note, tags)
            failpoint("champion.registered")
    _log_model_metrics(store, parent, _link_version(store, name, version), trial)
    _mark_champion(store, trial)
    store.client.set_registered_model_alias(name, "champion", version.version)
    return f"models:/{name}@champion"


def log_ensemble(
    store: Store,
    parent: str,
    name: str,
    model: Any,
    example: Any,
    classes: int,
    note: str,
    digest: str,
    metadata: dict[str, Any],
    scoring: Mapping[str, str],
) -> str:
    """Log an ensemble on the run `parent`, register it, and return the address that loads it.

    `digest` identifies it: a model of it that an earlier driver registered is used again. See
    `log_champion` for the other arguments.
    """
    tags = {ENSEMBLE_TAG: digest}
    experiment = store.client.get_run(parent).info.experiment_id
    with _set_global_store(store.uri):
        version = _find_version(store, name, experiment, tags, ENSEMBLE_TAG)
        if version is None:
            model_uri = _log_model(
                store, parent, "ensemble", model, example, classes, note, tags, metadata, scoring
            )
            failpoint("ensemble.logged")
            version = _create_version(store, parent, name, model_uri, note, tags)
    _link_version(store, name, version)
    store.client.set_registered_model_alias(name, "ensemble", version.version)
    return f"models:/{name}@ensemble"


def _link_version(store: Store, name: str, version: ModelVersion) -> str:
    """Link a version from its model's page; return the model's id.

    The page finds the version only by this tag, which mlflow.register_model sets too.
    """
    versions = json.dumps([{"name": name, "version": version.version}])
    model_id = str(version.source).removeprefix("models:/")
    store.client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: versions})
    return model_id


def _find_version(
    store: Store, name: str, experiment: str, tags: Mapping[str, str], key: str
) -> ModelVersion | None:
    """Return the version that an earlier driver registered with this tag, if there is one.

    A calibrated model is another one than that of its network, with a version of its own. Deletes
    models that an earlier driver logged but did not register.
    """
    versions = list(store.client.search_model_versions(f"name = '{name}'"))
    for version in versions:
        if all(version.tags.get(each) == tags.get(each) for each in (key, TEMPERATURE_TAG)):
            return version
    registered = {str(version.source).removeprefix("models:/") for version in versions}
    for model in store.client.search_logged_models([experiment], f"tags.`{key}` = '{tags[key]}'"):
        if model.model_id not in registered:
            store.client.delete_logged_model(model.model_id)
    return None


def _log_model(
    store: Store,
    parent: str,
    title: str,
    model: Any,
    example: Any,
    classes: int,
    note: str,
    tags: dict[str, str],
    metadata: dict[str, Any],
    scoring: Mapping[str, str],
    params: dict[str, str] | None = None,
) -> str:
    """Export and log the model; return its address by id. Needs `_set_global_store`."""
    import mlflow.pytorch  # imports torch, which no other write needs
    import torch

    from harness.tracking.mlflow.table_flavor import TableFlavor

    signature = ModelSignature(
        Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, classes))]),
    )
    run = store.client.get_run(parent)
    logged = store.client.create_logged_model(
        run.info.experiment_id,
        title,
        source_run_id=parent,
        tags={**tags, "mlflow.note.content": shorten(note, MAX_DESCRIPTION_LENGTH)},
        params=params,
    )
    failpoint("champion.created")
    # Like mlflow.pytorch.log_model, but with a run id: that function uses the active run, and the
    # calling Python program may have an active run of its own.
    info = Model.log(
        artifact_path=None,
        model_id=logged.model_id,
        flavor=TableFlavor.of(scoring) if scoring else mlflow.pytorch,
        run_id=parent,
        step=len(list_logged_models(run)),
        pytorch_model=model,
        signature=signature,
        input_example=example,
        # MLflow takes 11 to 21 s to infer them.
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "numpy"],
        serialization_format="pt2",
        metadata=metadata,
    )
    return str(info.model_uri)


def _mark_champion(store: Store, trial: Run) -> None:
    """Mark the run's name with a star, because MLflow's tables may show an equal run first.

    If the model is from a confirmation run, its trial is marked too.
    """
    study = trial.data.tags["harness.uid"].partition("/")[0]
    marked_runs = store.client.search_runs(
        [trial.info.experiment_id],
        f"attributes.run_name LIKE '{CHAMPION_PREFIX}%' AND tags.`harness.uid` LIKE '{study}/%'",
    )
    for run in marked_runs:
        store.client.update_run(
            run.info.run_id, name=run.info.run_name.removeprefix(CHAMPION_PREFIX)
        )
    tags, runs = trial.data.tags, [trial]
    if CONFIRM_INFIX in tags["harness.uid"]:
        uid = f"{tags['harness.uid'].partition('/')[0]}/{tags['harness.number']}"
        trial_id = store.find_run_id(uid, trial.info.experiment_id)
        runs += [store.client.get_run(trial_id)] if trial_id else []
    for run in runs:
        name = run.info.run_name.removeprefix(CHAMPION_PREFIX)
        store.client.update_run(run.info.run_id, name=f"{CHAMPION_PREFIX}{name}")


def _log_model_metrics(store: Store, parent: str, model: str, trial: Run) -> None:
    """Log the trial's metrics and its dataset on the model's page."""
    inputs = store.client.get_run(parent).inputs
    when = trial.info.end_time or trial.info.start_time  # the same each time this is done
    data = inputs.dataset_inputs[0].dataset if inputs and inputs.dataset_inputs else None
    dataset_fields = {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
    metrics = [
        Metric(key, value, when, 0, model_id=model, **dataset_fields)
        for key, value in trial.data.metrics.items()
        if key.startswith("best/")
    ]
    store.log(parent, metrics)


def _create_version(
    store: Store, parent: str, name: str, model_uri: str, note: str, tags: dict[str, str]
) -> ModelVersion:
    """Create a new version of the registered model. Needs `_set_global_store`."""
    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    note = shorten(note, MAX_DESCRIPTION_LENGTH)
    store.client.update_registered_model(name, description=note)
    return store.client.create_model_version(
        name,
        model_uri,
        run_id=parent,
        tags=tags,
        description=note,
        model_id=model_uri.removeprefix("models:/"),
    )


STORE_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@contextmanager
def _set_global_store(uri: str) -> Iterator[None]:
    """Set MLflow's global store for mlflow.pytorch, and restore it afterwards.

    MLflow keeps it in the environment too, where it would redirect later runs.
    """
    variables = {name: os.environ.get(name) for name in STORE_VARIABLES}
    is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    tracking = mlflow.get_tracking_uri() if is_set else None
    registry = mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(tracking)  # type: ignore[arg-type]  # None: back to unset
        is_default = registry == mlflow.get_tracking_uri()
        mlflow.set_registry_uri(None if is_default else registry)  # type: ignore[arg-type]
        for name, value in variables.items():  # MLflow sets them too
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
