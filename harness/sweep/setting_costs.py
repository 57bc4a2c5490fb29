"""What a setting costs before it is trained: the parameters and the time of its network.

The parameters of the built-in network follow from its settings. A custom model is built, in this
process, and so is every network whose predictions are timed.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.config.limits import format_limits
from harness.config.schema import GRID_OR_LIST, StudyConfig
from harness.data.prepare import PreparedDataset
from harness.data.training_files import TrainingFiles
from harness.results import Cost
from harness.search.limits import MAX_LISTED, MAX_MEASURED, Limits, list_specs
from harness.search.samplers import sample_random_specs
from harness.trial import TrialSpec

if TYPE_CHECKING:
    from harness.models.custom import CustomModel
    from harness.models.mlp import MLP

RANDOM_SPECS = 500
"""Random settings of a space that is too large to be listed, which show how many are within."""


class CostMeter:
    """Measures the settings of a study on its data: with folds, as the final model."""

    def __init__(self, files: TrainingFiles) -> None:
        self._files = files.whole or files  # the features of a table are other ones in each fold

    def measure(self, spec: TrialSpec, name: Cost) -> float:
        """Return one cost of a setting. Raises ConfigError for a model that cannot be built."""
        if name == "milliseconds":
            return self._time_prediction(spec)
        if not spec.model:
            outputs = len(self._files.classes) or 1
            return count_parameters(spec, math.prod(self._files.shape), outputs)
        model = self._build(spec)
        return sum(each.numel() for each in model.parameters() if each.requires_grad)

    def _time_prediction(self, spec: TrialSpec) -> float:
        """Return the milliseconds of a prediction for one example. The weights do not matter."""
        import torch

        from harness.models.prediction_time import time_batches

        example = torch.zeros(1, *self._files.shape, dtype=getattr(torch, self._files.dtype))
        (seconds,) = time_batches(self._build(spec).eval(), example)
        return 1000 * seconds

    def _build(self, spec: TrialSpec) -> MLP | CustomModel:
        import torch

        from harness.models.custom import network_input_shape
        from harness.models.mlp import build_model

        files = self._files
        shape = network_input_shape(files.shape) if spec.model else (math.prod(files.shape),)
        mean, features = torch.zeros(shape), None
        if files.features:
            features = torch.tensor(files.features)
        target = None if files.classes else spec.target_transform
        return build_model(
            spec, len(files.classes) or 1, mean, mean, target=target, features=features
        )


def count_parameters(spec: TrialSpec, inputs: int, outputs: int) -> int:
    """Return the number of trainable parameters of the built-in network."""
    widths = (inputs, *spec.hidden, outputs)
    weights = sum(fan_in * fan_out for fan_in, fan_out in pairwise(widths))
    biases = sum(width for width, has in zip(widths[1:], spec.layer_biases, strict=True) if has)
    norms = 2 * sum(spec.hidden) if spec.batch_norm != "none" else 0
    return weights + biases + norms


def check_limits(config: StudyConfig, prepared: PreparedDataset) -> str:
    """Return which share of a study's settings is within [limits]; empty without limits.

    Raises ConfigError if none is.
    """
    limits = Limits(config, CostMeter(prepared.training).measure)
    if not limits.values:
        return ""
    count = config.count_settings()
    is_grid_or_list = config.study.sampler in GRID_OR_LIST
    times = "milliseconds" in limits.values
    if is_grid_or_list or (not times and count is not None and count <= MAX_LISTED):
        specs = list(list_specs(config))
    else:
        specs = sample_random_specs(config, MAX_MEASURED if times else RANDOM_SPECS)
    if error := limits.explain_none(specs):
        raise error
    text = f"[limits] allows {format_limits(limits.values)}"
    if is_grid_or_list:
        outside = sum(not limits.is_within(spec) for spec in specs)
        settings = f"{outside} of {len(specs)} settings"
        return f"{text}: {settings} are outside; they are trained, but cannot win" * (outside > 0)
    if times or config.models:
        return f"{text}; settings outside are not trained"  # to count them takes too long
    share = sum(map(limits.is_within, specs)) / len(specs)
    return f"{text}: {share:.0%} of [space]; settings outside are not trained" * (share < 1)
