"""Check whether a champion's custom model can be exported with torch.export.

An exported graph loads without the model's code. A model that cannot be exported is not registered;
its weights stay with its run and its code with the study.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import nn

    from harness.tracking.base import Tracker
    from harness.tracking.types import RunRecord, StudyRun

NOT_EXPORTED_FILE = "not-exported.json"


def find_export_problem(model: nn.Module, example: npt.NDArray[np.uint8]) -> str:
    """Return why `model` cannot be exported for any batch size; empty if it can.

    `model` is in eval mode; `example` is [2, *shape], as `Tracker.log_champion` takes it.
    """
    import torch

    two, three = (torch.from_numpy(example[[0] * n]) for n in (2, 3))
    disabled_level = logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        # On failure torch.export prints the whole graph.
        with (
            redirect_stderr(io.StringIO()),
            redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            batch = {0: torch.export.Dim.AUTO}
            graph = torch.export.export(model, (two,), dynamic_shapes=[batch]).module()
            graph(three)
    except Exception as error:
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"torch.export: {message}"
    finally:
        logging.disable(disabled_level)
    return ""


def export_problem_to_json(run: str, reason: str) -> bytes:
    """Return the content of NOT_EXPORTED_FILE for the champion's run uid."""
    return json.dumps({"run": run, "reason": reason}).encode()


def read_export_problem(tracker: Tracker, study: StudyRun, champion: RunRecord) -> str:
    """Return the recorded reason why the champion is not exported; empty if it is exported."""
    custom = bool(champion.spec.model)
    content = tracker.read_file(study.run_id, NOT_EXPORTED_FILE) if custom else None
    record = json.loads(content) if content else {}
    return str(record["reason"]) if record.get("run") == champion.uid else ""
