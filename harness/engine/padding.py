"""The padded shape that K different networks share: depth, widths and features of each slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.trial import AugmentName, Loss, TargetTransform, TrialSpec


@dataclass(frozen=True)
class Layout:
    """The shapes and features that a group of K slots is built for.

    Slots are ordered deepest first, so hidden layer l is computed only for the first
    `slots_with_layer(l)` slots. A trial may be shallower and narrower than its slot: the parameters
    that it does not use are zero and stay zero.
    """

    batch_size: int
    depths: tuple[int, ...]
    """Hidden layers that each slot has room for, in descending order."""
    widths: tuple[int, ...]
    """Width of each hidden layer, the same in every slot."""
    activations: tuple[str, ...]
    batch_norms: tuple[str, ...]
    losses: tuple[Loss, ...]
    target_transform: TargetTransform
    """The same for all trials: each of them would need other targets."""
    biases: tuple[bool, ...]
    """For each hidden layer and the output layer, whether any trial has one."""
    dropout: bool
    smoothing: bool
    class_weights: bool
    """Whether any trial weights the classes."""
    augmentations: tuple[AugmentName, ...]
    mixed_depth: bool
    """Whether trials may have different depths."""
    exact: bool
    """Whether every trial fills its slot exactly, so nothing needs masking."""
    module: TrialSpec | None = None
    """The trial with a custom model that the group is for, if it is for one. Then the engine
    computes no hidden layers."""

    @property
    def slots(self) -> int:
        return len(self.depths)

    def slots_with_layer(self, layer: int) -> int:
        """Return the number of slots with hidden layer `layer`: the first ones."""
        return sum(depth > layer for depth in self.depths)

    def top_width(self, inputs: int) -> int:
        """Return T, the inputs of the output layer."""
        if not self.widths:
            return inputs
        return max(self.widths) if self.mixed_depth else self.widths[-1]

    def fits(self, slot: int, spec: TrialSpec) -> bool:
        """Return whether a trial with this spec can train in this slot."""
        depth = len(spec.hidden)
        output = spec.layer_biases[-1]
        return (
            spec.batch_size == self.batch_size
            and spec.target_transform == self.target_transform
            and (depth > 0) == (self.depths[slot] > 0)
            and (depth <= self.depths[slot] if self.mixed_depth else depth == self.depths[slot])
            and all(width <= room for width, room in zip(spec.hidden, self.widths, strict=False))
            and spec.activation in self.activations
            and spec.batch_norm in self.batch_norms
            and spec.loss in self.losses
            and all(self.biases[i] for i, has in enumerate(spec.layer_biases[:-1]) if has)
            and (self.biases[-1] or not output)
            and (self.dropout or not spec.dropout)
            and (self.smoothing or not spec.label_smoothing)
            and (self.class_weights or spec.class_weights == "none")
            and set(spec.augment).issubset(self.augmentations)
            and not self.exact
        )

    @classmethod
    def for_module(cls, spec: TrialSpec) -> Layout:
        """Return the layout for a trial with a custom model."""
        return cls(
            batch_size=spec.batch_size,
            depths=(0,),
            widths=(),
            activations=(),
            batch_norms=("none",),
            losses=(spec.loss,),
            target_transform=spec.target_transform,
            biases=(True,),
            dropout=False,
            smoothing=spec.label_smoothing > 0,
            class_weights=spec.class_weights != "none",
            augmentations=collect_augmentations([spec]),
            mixed_depth=False,
            exact=True,
            module=spec,
        )

    @classmethod
    def tight(cls, specs: Sequence[TrialSpec]) -> Layout:
        """Return the smallest layout for these trials, given deepest first."""
        if specs[0].model:
            (alone,) = specs
            return cls.for_module(alone)
        depths = tuple(len(spec.hidden) for spec in specs)
        widths = tuple(
            max(spec.hidden[layer] for spec in specs if len(spec.hidden) > layer)
            for layer in range(depths[0])
        )
        biases = [
            any(spec.layer_biases[layer] for spec in specs if len(spec.hidden) > layer)
            for layer in range(depths[0])
        ]
        first = specs[0]
        return cls(
            batch_size=first.batch_size,
            depths=depths,
            widths=widths,
            activations=tuple(sorted({spec.activation for spec in specs})),
            batch_norms=tuple(sorted({spec.batch_norm for spec in specs})),
            losses=tuple(sorted({spec.loss for spec in specs})),
            target_transform=first.target_transform,
            biases=(*biases, any(spec.layer_biases[-1] for spec in specs)),
            dropout=any(spec.dropout for spec in specs),
            smoothing=any(spec.label_smoothing for spec in specs),
            class_weights=any(spec.class_weights != "none" for spec in specs),
            augmentations=collect_augmentations(specs),
            mixed_depth=len(set(depths)) > 1,
            exact=all(
                (spec.hidden, spec.layer_biases) == (first.hidden, first.layer_biases)
                for spec in specs
            ),
        )


def collect_augmentations(specs: Sequence[TrialSpec]) -> tuple[AugmentName, ...]:
    """Return every augmentation that any of the trials uses."""
    return tuple(sorted({name for spec in specs for name in spec.augment}))
