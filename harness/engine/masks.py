"""Per-slot masks and coefficients: what each trial of a fused group does differently.

They are tensors, so refilling a slot only writes values into them. Results are selected with
`torch.where`, never multiplied by 0 or 1: NaN times 0 is NaN, and a diverged trial would spoil its
neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.engine.padding import Layout
from harness.engine.rng import dropout_threshold
from harness.models.activations import ACTIVATIONS
from harness.models.target_transform import Statistics
from harness.trial import TargetTransform, TrialSpec


class Masks:
    """The masks of K slots, [1, K, 1] unless noted: they broadcast over activations [B, K, H]."""

    def __init__(
        self, layout: Layout, classes: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        def per_slot(value: float, kind: torch.dtype) -> Tensor:
            return torch.full((1, layout.slots, 1), value, dtype=kind, device=device)

        self._classes = classes
        self.activation = {name: per_slot(0, torch.bool) for name in layout.activations}
        self.batch_norm = {name: per_slot(0, torch.bool) for name in layout.batch_norms}
        self.loss = {name: per_slot(0, torch.bool) for name in layout.losses}
        self.is_last_layer = [per_slot(0, torch.bool) for _ in layout.widths]
        """For each hidden layer, whether it is the trial's last."""
        self.columns = [
            torch.zeros(1, layout.slots, width, dtype=torch.bool, device=device)
            for width in layout.widths
        ]
        """For each hidden layer, which columns the trial has: [1, K, H]."""
        self.has_bias = [per_slot(0, torch.bool)[0] for _ in layout.biases]
        """For each hidden layer and the output layer: [K, 1]."""
        self.dropout_threshold = per_slot(dropout_threshold(0.0), torch.int32)
        self.keep_scale = per_slot(1.0, dtype)
        """1 / (1 - p) of dropout."""
        self.true_weight = per_slot(1.0, dtype)
        """Label smoothing: extra weight of the true class in the target, on top of
        `uniform_weight`."""
        self.minus_true_weight = per_slot(-1.0, dtype)
        self.uniform_weight = per_slot(0.0, dtype)
        """Label smoothing: weight of every class in the target."""
        self.target: tuple[TargetTransform, Statistics] | None = None
        """The transform of the target, if it is another than `standard`."""
        self.class_weight: Tensor | None = None
        """Weight of each class in the training loss, [1, K, C]; None if no trial weights them."""
        if layout.class_weights:
            self.class_weight = torch.ones(1, layout.slots, classes, dtype=dtype, device=device)

        # As tensors: a number would be made into one in every step.
        self.minus_examples = torch.full((), -layout.batch_size, dtype=dtype, device=device)
        self.per_example = torch.full((), 1 / layout.batch_size, dtype=dtype, device=device)
        """1 / B."""
        self.quantile = per_slot(0.5, dtype)
        """The level of the quantile loss."""

    def load(self, slot: int, spec: TrialSpec, balanced: Tensor | None = None) -> None:
        """Write a trial's settings into its slot; `balanced` are its class weights, [C]."""
        for choice, masks in (
            (spec.activation, self.activation),
            (spec.batch_norm, self.batch_norm),
            (spec.loss, self.loss),
        ):
            for name, mask in masks.items():
                mask[0, slot] = name == choice
        depth = len(spec.hidden)
        for layer, (is_last, columns) in enumerate(
            zip(self.is_last_layer, self.columns, strict=True)
        ):
            is_last[0, slot] = layer == depth - 1
            columns[0, slot] = False
            if layer < depth:
                columns[0, slot, : spec.hidden[layer]] = True
        biases: Sequence[bool] = spec.layer_biases
        for layer, has_bias in enumerate(self.has_bias[:-1]):
            has_bias[slot] = layer < depth and biases[layer]
        self.has_bias[-1][slot] = biases[-1]
        self.dropout_threshold[0, slot] = dropout_threshold(spec.dropout)
        self.keep_scale[0, slot] = 1 / (1 - spec.dropout)
        self.true_weight[0, slot] = 1 - spec.label_smoothing
        self.minus_true_weight[0, slot] = spec.label_smoothing - 1
        self.quantile[0, slot] = spec.quantile
        self.uniform_weight[0, slot] = spec.label_smoothing / self._classes
        if self.class_weight is not None:
            self.class_weight[0, slot] = 1.0 if balanced is None else balanced

    def activate(self, z: Tensor) -> Tensor:
        """Apply each slot's activation to z [B, K, H]."""
        (first, _), *others = self.activation.items()
        h = ACTIVATIONS[first].forward(z)
        for name, mask in others:
            h = torch.where(mask[:, : z.shape[1]], ACTIVATIONS[name].forward(z), h)
        return h

    def activate_backward(self, dh: Tensor, z: Tensor, h: Tensor) -> Tensor:
        """Return dz [B, K, H] from the gradient dh of h = activate(z)."""
        (first, _), *others = self.activation.items()
        dz = ACTIVATIONS[first].backward(dh, z, h)
        for name, mask in others:
            dz = torch.where(mask[:, : z.shape[1]], ACTIVATIONS[name].backward(dh, z, h), dz)
        return dz
