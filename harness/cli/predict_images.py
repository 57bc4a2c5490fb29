"""`harness predict STUDY IMAGE...`: what the command prints and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import Format, get_wrap_width, show_stage
from harness.errors import ConfigError, DataError
from harness.system.terminal import escape

if TYPE_CHECKING:
    from harness.workspace import Workspace


def predict_images(
    workspace: Workspace,
    name: str,
    paths: list[str],
    show: bool,
    as_is: bool,
    handwriting: bool,
    tracking_uri: str | None,
    output: Format,
) -> None:
    """Run `predict` on images; with --show, a path that ends in .html is the page to write.

    The results of readable images are printed before an error names the others.
    """
    if as_is and handwriting:
        raise ConfigError("--as-is and --handwriting exclude each other; give one of them")
    pages = [path for path in paths if path.lower().endswith(".html")]
    images = [path for path in paths if path not in pages]
    if len(pages) > show:
        raise ConfigError(f"{pages[-1]}: is not an image; --show writes a page, to one file")
    if not images:
        raise ConfigError(f"{pages[0]}: is the page; add the images to show in it")
    with show_stage("classifying the images"):
        from harness.inference.classify_images import classify_images, default_page_path

        predictions = classify_images(
            workspace, name, images, tracking_uri, as_is=as_is, handwriting=handwriting
        )
    path = None
    if show:
        from harness.reports.image_predictions_page import build_predictions_page as page

        path = Path(pages[0]) if pages else default_page_path(workspace, predictions, tracking_uri)
        page(predictions).write(path)
    if output is Format.json:
        print(json.dumps(predictions.to_dict() | {"page": str(path) if path else None}))
    else:
        print(predictions.text(get_wrap_width()))
        if path:
            print(f"page   {escape(str(path))}")
    if predictions.errors:
        raise DataError(predictions.error_summary)
