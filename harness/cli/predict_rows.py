"""`harness predict STUDY rows.csv`: what the command prints and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import Format, get_wrap_width, show_stage
from harness.data.custom import TABLE_SUFFIXES
from harness.errors import ConfigError
from harness.system.terminal import escape

if TYPE_CHECKING:
    from harness.workspace import Workspace


def has_table(paths: list[str]) -> bool:
    """Whether one of the paths is a table."""
    return any(path.lower().endswith(TABLE_SUFFIXES) for path in paths)


def predict_rows(
    workspace: Workspace,
    name: str,
    paths: list[str],
    out: Path | None,
    data_dir: Path | None,
    tracking_uri: str | None,
    output: Format,
    sets: bool = False,
) -> None:
    """Run `predict` on a table; with --out, all rows are written to a file."""
    if len(paths) > 1:
        raise ConfigError(f"predict takes one table at a time, not {len(paths)} files")
    if out is not None:
        from harness.inference.row_predictions import check_output

        check_output(out, paths[0])
    with show_stage("predicting the rows"):
        from harness.inference.score_rows import score_rows

        result = score_rows(workspace, name, paths[0], tracking_uri, data_dir, sets)
        if out is not None:
            result.write(out)
    if output is Format.json:
        print(json.dumps(result.to_dict() | {"out": str(out) if out else None}))
    elif out is not None:
        print(f"wrote {len(result.rows):,} rows to {escape(str(out))}\n")
        print(result.describe(get_wrap_width()))
    else:
        print(result.text(get_wrap_width()))
