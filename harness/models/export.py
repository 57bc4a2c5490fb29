"""Whether a champion can be exported as a graph that needs no code: of its own model not for sure.

Where it cannot, none is registered. Its weights stay with its run, the code beside the study's.
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

FILE = "not-exported.json"


def why_not(model: nn.Module, example: npt.NDArray[np.uint8]) -> str:
    """Why `model`, in eval mode, cannot be exported for any number of examples; empty if it can.

    `example` is [2, *shape], as `Tracker.log_champion` takes it.
    """
    import torch

    two, three = (torch.from_numpy(example[[0] * n]) for n in (2, 3))
    told = logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        # Of what it cannot follow it prints the whole graph.
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
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"torch.export: {said}"
    finally:
        logging.disable(told)
    return ""


def to_file(run: str, reason: str) -> bytes:
    """That the model of the run with this uid is not exported."""
    return json.dumps({"run": run, "reason": reason}).encode()


def refused(tracker: Tracker, study: StudyRun, kept: RunRecord) -> str:
    """Why the model of `kept` is not exported, as the study's record has it; empty where it is."""
    content = tracker.read_file(study.run_id, FILE) if kept.spec.model else None
    told = json.loads(content) if content else {}
    return str(told["reason"]) if told.get("run") == kept.uid else ""
