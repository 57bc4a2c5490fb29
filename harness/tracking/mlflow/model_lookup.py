"""Find registered models by their runs, and runs by their models. Nothing here imports mlflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.errors import StoreError, Unavailable
from harness.tracking.mlflow.base_store import BaseStore

if TYPE_CHECKING:
    from mlflow.entities import LoggedModelOutput, Run

    from harness.tracking.mlflow.client import Store

ENSEMBLE_TAG = "harness.ensemble"
"""On an ensemble's model and version: what determines it. Others have `harness.trial_run`."""

TEMPERATURE_TAG = "harness.temperature"
"""On the model and version of a calibrated champion; others have none."""


def latest_model_id(store: Store, run: Run) -> str | None:
    """Return the id of the champion's model that was logged last on a study's run, if any."""
    for model in sorted(list_logged_models(run), key=lambda model: -model.step):
        try:
            tags = store.client.get_logged_model(model.model_id).tags
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # deleted, as its driver died before it was registered
        if ENSEMBLE_TAG not in tags:
            return model.model_id
    return None


def list_logged_models(run: Run) -> list[LoggedModelOutput]:
    """Return the models that were logged on a run."""
    return run.outputs.model_outputs if run.outputs else []


def find_model(store: BaseStore, run_id: str) -> str | None:
    """Return the address of the model with the weights of a run; None if there is none."""
    with store.map_errors():
        versions = store.client.search_model_versions(f"tags.`harness.trial_run` = '{run_id}'")
        for version in versions:
            aliases = store.client.get_registered_model(version.name).aliases
            if str(aliases.get("champion")) == str(version.version):
                return f"models:/{version.name}@champion"
    return f"models:/{versions[0].name}/{versions[0].version}" if versions else None


def find_model_run(store: BaseStore, address: str) -> str | None:
    """Return the run whose weights the model at `address` has; None if harness did not log it."""
    run: str | None = _read_tags(store, address).get("harness.trial_run")
    return run


def find_ensemble(store: BaseStore, address: str) -> tuple[str, str] | None:
    """Return the study and the digest of the ensemble at `address`; None if it is none."""
    digest = _read_tags(store, address).get(ENSEMBLE_TAG)
    if digest is None:
        return None
    with store.map_errors():
        versions = store.client.search_model_versions(f"tags.`{ENSEMBLE_TAG}` = '{digest}'")
    return (versions[0].name, digest) if versions else None


def _read_tags(store: BaseStore, address: str) -> Mapping[str, str]:
    """Return the tags of the model at `address`; none if there is no such model."""
    path, client = address.removeprefix("models:/"), store.client
    tags: Mapping[str, str]
    try:
        with store.map_errors():
            if "@" in path:
                name, _, alias = path.partition("@")
                tags = client.get_model_version_by_alias(name, alias).tags
            elif "/" in path:
                name, _, version = path.rpartition("/")
                tags = client.get_model_version(name, version).tags
            else:
                tags = client.get_logged_model(path).tags
    except StoreError as error:
        if hasattr(error.__cause__, "error_code") and not isinstance(error, Unavailable):
            return {}
        raise
    return tags
