"""MLflow's server as `harness ui` starts it, with the UI's defaults for model training.

MLflow 3 opens a new browser profile in its GenAI mode, and covers a third of the page with its
assistant. Its UI stores both in the browser, so the page sets them before the UI starts.
`mlflow server --app-name harness` loads this app by its entry point in pyproject.toml.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

APP_NAME = "harness"
BROWSER_DEFAULTS = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
}
"""Keys and values of the browser's storage; a value that the user chose stays."""
SCRIPT = """<script>
for (const [key, value] of Object.entries(%s))
  if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value));
</script>"""


def list_server_options() -> list[str]:
    """Return the options of `mlflow server` that load this app.

    The list is empty if harness was installed before it had the entry point.
    """
    is_installed = APP_NAME in {each.name for each in entry_points(group="mlflow.app")}
    return ["--app-name", APP_NAME] if is_installed else []


def create_app() -> FastAPI:
    """Return MLflow's app, whose first page sets the defaults."""
    import mlflow.server.fastapi_app
    from starlette.requests import Request
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    html = Path(mlflow.server.__file__).with_name("js").joinpath("build", "index.html").read_text()
    page = html.replace("<head>", f"<head>{SCRIPT % json.dumps(BROWSER_DEFAULTS)}", 1)

    async def show_page(request: Request) -> HTMLResponse:
        return HTMLResponse(page, headers={"Cache-Control": "no-cache"})

    app: FastAPI = mlflow.server.fastapi_app.app
    app.router.routes.insert(0, Route("/", show_page))
    return app
