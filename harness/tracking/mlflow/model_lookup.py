"""Find registered models by their runs, and runs by their models. Nothing here imports mlflow."""

from __future__ import annotations

from harness.errors import StoreError, Unavailable
from harness.tracking.mlflow.base_store import BaseStore


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
        if hasattr(error.__cause__, "error_code") and not isinstance(error, Unavailable):
            return None
        raise
    run: str | None = tags.get("harness.trial_run")
    return run
