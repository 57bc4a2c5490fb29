"""Which trials train together, and how long each takes: arithmetic on their settings alone.

On one CPU core, a step costs its matrix products and a fixed part, some 80 operations that each
take a microsecond to start. Trials that train together share the fixed part; they pay for their
padding, and their larger products are slower than a lone trial's (see engine/products.py). Four at
once against each alone, one thread of an AMD EPYC (Zen 5), batch 64, tests/benchmarks/fusing.py:

    inputs  hidden   MFLOP a step  times as fast
    784     32                6.5           1.5
    784     64                 13           1.1
    784     128                26           0.85
    784     300-100            72           0.64
    64      32                0.6           2.0
    64      128               2.6           1.65
    64      128-128           8.9           1.4

A model of one's own trains alone: nothing is known of its products.

So the fixed part is worth about 6 MFLOP, and trials above 10 train alone. Eight at once gain little
over four.

On a GPU a step's fixed part weighs far more, and every trial that fits is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.trial import TrialSpec

FIXED_FLOPS = 6e6
"""What a step costs beside its matrix products, as floating-point operations."""
LARGEST_FLOPS = 10e6
"""Trials whose step does more train alone."""
UNKNOWN_FLOPS = 1e7
"""For each example, of a model of one's own: of the order of a small convolutional network's."""
CPU_SLOTS = 4
"""Trials that one core trains at once where they are small."""


def step_flops(hidden: Sequence[int], batch_size: int, inputs: int, classes: int) -> int:
    """Of the matrix products of one training step.

    4 an element of the first weight matrix and 6 of the others, each example: nobody needs the
    gradient of the inputs.
    """
    widths = (inputs, *hidden, classes)
    first, *others = [wide * high for wide, high in pairwise(widths)]
    return batch_size * (4 * first + 6 * sum(others))


def work(spec: TrialSpec, inputs: int, classes: int) -> float:
    """Of a whole trial, in operations for each training example, a step's fixed part included."""
    step = _flops(spec, inputs, classes) + FIXED_FLOPS
    return spec.epochs * step / spec.batch_size


def groups(specs: Sequence[TrialSpec], inputs: int, classes: int) -> list[list[int]]:
    """Indices of the trials that are to train together on one core, deepest first in each group.

    Greedy, in order of size: a trial joins the group before it where that pays by the figures
    above.
    """
    found: list[list[int]] = []
    order = sorted(range(len(specs)), key=lambda index: _alike(specs[index], inputs, classes))
    for index in order:
        together = [*found[-1], index] if found else []
        if len(together) > 1 and _pays([specs[i] for i in together], inputs, classes):
            found[-1] = together
        else:
            found.append([index])
    return [sorted(group, key=lambda index: -len(specs[index].hidden)) for group in found]


def gain(specs: Sequence[TrialSpec], inputs: int, classes: int) -> float:
    """How many times faster these trials train in `groups` than one by one, by the rule above."""
    alone = sum(_flops(spec, inputs, classes) + FIXED_FLOPS for spec in specs)
    together = sum(
        _padded([specs[index] for index in group], inputs, classes) + FIXED_FLOPS
        for group in groups(specs, inputs, classes)
    )
    return alone / together


def _alike(spec: TrialSpec, inputs: int, classes: int) -> tuple[object, ...]:
    """Trials that differ in all but the size cannot, or had better not, train together."""
    return (*_kind(spec), _flops(spec, inputs, classes))


def _kind(spec: TrialSpec) -> tuple[object, ...]:
    dropped = spec.dropout > 0
    return spec.model, spec.batch_size, not spec.hidden, spec.activation, spec.batch_norm, dropped


def _pays(specs: Sequence[TrialSpec], inputs: int, classes: int) -> bool:
    if len(specs) > CPU_SLOTS or len({_kind(spec) for spec in specs}) > 1 or specs[0].model:
        return False
    alone = [_flops(spec, inputs, classes) for spec in specs]
    if max(alone) > LARGEST_FLOPS:
        return False
    # Half of what sharing saves may go into padding; the estimate is too rough to spend it all.
    return _padded(specs, inputs, classes) - sum(alone) < FIXED_FLOPS * (len(specs) - 1) / 2


def _flops(spec: TrialSpec, inputs: int, classes: int) -> int:
    if spec.model:
        return int(spec.batch_size * UNKNOWN_FLOPS)
    return step_flops(spec.hidden, spec.batch_size, inputs, classes)


def _padded(specs: Sequence[TrialSpec], inputs: int, classes: int) -> int:
    """Of a step of all of them side by side, every layer as wide as its widest."""
    if specs[0].model:
        return _flops(specs[0], inputs, classes)
    depth = max(len(spec.hidden) for spec in specs)
    widest = [
        max(spec.hidden[layer] for spec in specs if len(spec.hidden) > layer)
        for layer in range(depth)
    ]
    return sum(
        step_flops(widest[: len(spec.hidden)], spec.batch_size, inputs, classes) for spec in specs
    )
