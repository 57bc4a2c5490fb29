"""How K unequal networks lie padded side by side in one program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.trial import AugmentName, Loss, TrialSpec


@dataclass(frozen=True)
class Layout:
    """The shapes and features that a program of K slots is made for.

    A layer's prefix: slots stand deepest first, so hidden layer l is computed for the first
    `prefix(l)` slots alone. A member may be shallower and narrower than its slot: what it does not
    use is zero and stays zero.
    """

    batch_size: int
    depths: tuple[int, ...]
    """Hidden layers that each slot has room for, falling."""
    widths: tuple[int, ...]
    """Width of each hidden layer, the same in every slot."""
    activations: tuple[str, ...]
    batch_norms: tuple[str, ...]
    losses: tuple[Loss, ...]
    biases: tuple[bool, ...]
    """For each hidden layer and the output layer, whether any member has one."""
    dropout: bool
    smoothing: bool
    augments: tuple[AugmentName, ...]
    mixed_depth: bool
    """Whether members may end at different layers."""
    exact: bool
    """Whether every member fills its slot, so that nothing need be masked."""
    module: TrialSpec | None = None
    """The one trial that the program is for, where that has a model of its own; no hidden layers of
    ours then."""

    @property
    def slots(self) -> int:
        return len(self.depths)

    def prefix(self, layer: int) -> int:
        """How many slots have hidden layer `layer`."""
        return sum(depth > layer for depth in self.depths)

    def top(self, inputs: int) -> int:
        """Columns of the output layer's input."""
        if not self.widths:
            return inputs
        return max(self.widths) if self.mixed_depth else self.widths[-1]

    def fits(self, slot: int, spec: TrialSpec) -> bool:
        """Whether a member with this spec can train in a slot of this program."""
        depth = len(spec.hidden)
        output = spec.layer_biases[-1]
        return (
            spec.batch_size == self.batch_size
            and (depth > 0) == (self.depths[slot] > 0)
            and (depth <= self.depths[slot] if self.mixed_depth else depth == self.depths[slot])
            and all(mine <= room for mine, room in zip(spec.hidden, self.widths, strict=False))
            and spec.activation in self.activations
            and spec.batch_norm in self.batch_norms
            and spec.loss in self.losses
            and all(self.biases[i] for i, has in enumerate(spec.layer_biases[:-1]) if has)
            and (self.biases[-1] or not output)
            and (self.dropout or not spec.dropout)
            and (self.smoothing or not spec.label_smoothing)
            and set(spec.augment).issubset(self.augments)
            and not self.exact
        )

    @classmethod
    def of_module(cls, spec: TrialSpec) -> Layout:
        """For a trial with a model of its own."""
        return cls(
            batch_size=spec.batch_size,
            depths=(0,),
            widths=(),
            activations=(),
            batch_norms=("none",),
            losses=(spec.loss,),
            biases=(True,),
            dropout=False,
            smoothing=spec.label_smoothing > 0,
            augments=augments([spec]),
            mixed_depth=False,
            exact=True,
            module=spec,
        )

    @classmethod
    def tight(cls, specs: Sequence[TrialSpec]) -> Layout:
        """The smallest program for these members, given deepest first."""
        if specs[0].model:
            (alone,) = specs
            return cls.of_module(alone)
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
            biases=(*biases, any(spec.layer_biases[-1] for spec in specs)),
            dropout=any(spec.dropout for spec in specs),
            smoothing=any(spec.label_smoothing for spec in specs),
            augments=augments(specs),
            mixed_depth=len(set(depths)) > 1,
            exact=all(
                (spec.hidden, spec.layer_biases) == (first.hidden, first.layer_biases)
                for spec in specs
            ),
        )


def augments(specs: Sequence[TrialSpec]) -> tuple[AugmentName, ...]:
    """What any of them does to its pictures."""
    return tuple(sorted({name for spec in specs for name in spec.augment}))
