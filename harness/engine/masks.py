"""What tells the members of one program apart, as tensors: a slot is refilled by writing them.

Members are told apart by selecting (`torch.where`), never by multiplying with 0 or 1: NaN times 0
is NaN, and a diverged member would leak into its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.engine.padding import Layout
from harness.engine.rng import threshold
from harness.trial import TrialSpec


class Masks:
    """Which slot does what. Shapes [1, K, 1], to stand beside activations of [B, K, H]."""

    def __init__(
        self, layout: Layout, classes: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        def per_slot(value: float, kind: torch.dtype) -> Tensor:
            return torch.full((1, layout.slots, 1), value, dtype=kind, device=device)

        self._classes = classes
        self.activation = {name: per_slot(0, torch.bool) for name in layout.activations}
        self.batch_norm = {name: per_slot(0, torch.bool) for name in layout.batch_norms}
        self.loss = {name: per_slot(0, torch.bool) for name in layout.losses}
        self.ends = [per_slot(0, torch.bool) for _ in layout.widths]
        """Whether a hidden layer is the member's last."""
        self.columns = [
            torch.zeros(1, layout.slots, width, dtype=torch.bool, device=device)
            for width in layout.widths
        ]
        """Which columns of a hidden layer the member has."""
        self.biased = [per_slot(0, torch.bool)[0] for _ in layout.biases]
        """[K, 1] for each hidden layer and the output layer."""
        self.dropped = per_slot(threshold(0.0), torch.int32)
        self.kept_scale = per_slot(1.0, dtype)
        """1 / (1 - p)."""
        self.true_weight = per_slot(1.0, dtype)
        """Label smoothing: weight of the true class in the target, beside that of every class."""
        self.minus_true_weight = per_slot(-1.0, dtype)
        self.every_weight = per_slot(0.0, dtype)

    def load(self, slot: int, spec: TrialSpec) -> None:
        for mine, switches in (
            (spec.activation, self.activation),
            (spec.batch_norm, self.batch_norm),
            (spec.loss, self.loss),
        ):
            for name, switch in switches.items():
                switch[0, slot] = name == mine
        depth = len(spec.hidden)
        for layer, (ends, columns) in enumerate(zip(self.ends, self.columns, strict=True)):
            ends[0, slot] = layer == depth - 1
            columns[0, slot] = False
            if layer < depth:
                columns[0, slot, : spec.hidden[layer]] = True
        biases: Sequence[bool] = spec.layer_biases
        for layer, biased in enumerate(self.biased[:-1]):
            biased[slot] = layer < depth and biases[layer]
        self.biased[-1][slot] = biases[-1]
        self.dropped[0, slot] = threshold(spec.dropout)
        self.kept_scale[0, slot] = 1 / (1 - spec.dropout)
        self.true_weight[0, slot] = 1 - spec.label_smoothing
        self.minus_true_weight[0, slot] = spec.label_smoothing - 1
        self.every_weight[0, slot] = spec.label_smoothing / self._classes
