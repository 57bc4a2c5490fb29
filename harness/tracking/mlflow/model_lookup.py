"""Find registered models, and the runs whose weights they have."""

from __future__ import annotations

from mlflow.entities import LoggedModelOutput, Run
from mlflow.exceptions import MlflowException

from harness.errors import StoreError, Unavailable
from harness.tracking.mlflow.client import Store

ENSEMBLE_TAG = "harness.ensemble"
"""On an ensemble's model and version: what determines it. Others have `harness.trial_run`."""


def latest_model_id(store: Store, run: Run) -> str | None:
    """Return the id of the champion's model that was logged last on a study's run, if any."""
    for model in sorted(list_logged_models(run), key=lambda model: -model.step):
        try:
            tags = store.client.get_logged_model(model.model_id).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # deleted, as its driver died before it was registered
        if ENSEMBLE_TAG not in tags:
            return model.model_id
    return None


def find_model(store: Store, run_id: str) -> str | None:
    """Return the address of the model with the weights of a run; None if there is none."""
    with store.map_errors():
        versions = store.client.search_model_versions(f"tags.`harness.trial_run` = '{run_id}'")
        for version in versions:
            aliases = store.client.get_registered_model(version.name).aliases
            if str(aliases.get("champion")) == str(version.version):
                return f"models:/{version.name}@champion"
    return f"models:/{versions[0].name}/{versions[0].version}" if versions else None


def find_model_run(store: Store, address: str) -> str | None:
    """Return the run whose weights the model at `address` has; None if harness did not log it."""
    path, client = address.removeprefix("models:/"), store.client
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
        if isinstance(error.__cause__, MlflowException) and not isinstance(error, Unavailable):
            return None
        raise
    return tags.get("harness.trial_run")


def list_logged_models(run: Run) -> list[LoggedModelOutput]:
    """Return the models that were logged on a run."""
    return run.outputs.model_outputs if run.outputs else []
