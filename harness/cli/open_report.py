"""`harness report --open`: show the report in a browser, and update it while the study runs."""

from __future__ import annotations

import contextlib
import sys
import webbrowser
from pathlib import Path

from harness.cli.options import show_stage


def open_report(study: str, tracking_uri: str | None) -> None:
    """Open the report; return when the study has ended, or at Ctrl-C. Raises HarnessError."""
    with contextlib.ExitStack() as stage:
        stage.enter_context(show_stage("writing the report"))
        from harness.reports.live_page import follow_study
        from harness.workspace import Workspace, resolve_storage

        def show(path: Path, is_running: bool) -> None:
            stage.close()
            print(path, flush=True)
            is_open = webbrowser.open(path.resolve().as_uri())
            if not is_open:
                print("no browser can be opened here; open this file yourself", file=sys.stderr)
            if is_running:
                print("updated until the study ends; Ctrl-C stops that", file=sys.stderr)

        follow_study(Workspace(Path("mlruns"), resolve_storage()), study, tracking_uri, show)
