"""Cost model: which trials train fused in one group, and how long each takes.

It uses the trials' settings alone and needs no torch. On one CPU core, a step costs its matrix
products and a fixed part: about 80 operations, each of which takes a microsecond to start. Fused
trials share the fixed part. But they pay for their padding, and their large products are slower
than a single trial's (see engine/matmul.py). Speed of four fused trials relative to one by one, on
one thread of an AMD EPYC (Zen 5), batch 64, by tests/benchmarks/fusing.py:

    inputs  hidden   MFLOP a step  times as fast
    784     32                6.5           1.5
    784     64                 13           1.1
    784     128                26           0.85
    784     300-100            72           0.64
    64      32                0.6           2.0
    64      128               2.6           1.65
    64      128-128           8.9           1.4

So the fixed part is worth about 6 MFLOP, and trials above 10 MFLOP train alone. Eight fused trials
gain little over four. A custom model trains alone, since its operations are unknown.

On a GPU the fixed part of a step weighs far more, so all trials that fit are fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.trial import TrialSpec

FIXED_FLOPS = 6e6
"""Cost of a step's fixed part, in floating-point operations."""
LARGEST_FLOPS = 10e6
"""Trials with more operations a step train alone."""
UNKNOWN_FLOPS = 1e7
"""Assumed operations per example of a custom model: those of a small convolutional network."""
CPU_SLOTS = 4
"""Most small trials that one core trains fused."""


def count_step_flops(hidden: Sequence[int], batch_size: int, inputs: int, classes: int) -> int:
    """Return the operations of one training step's matrix products.

    Per example, 4 for each element of the first weight matrix and 6 for each of the others: the
    gradient of the inputs is not computed.
    """
    widths = (inputs, *hidden, classes)
    first, *others = [fan_in * fan_out for fan_in, fan_out in pairwise(widths)]
    return batch_size * (4 * first + 6 * sum(others))


def estimate_work(spec: TrialSpec, inputs: int, classes: int) -> float:
    """Return the operations of a whole trial per training example, its fixed part included."""
    step = _count_flops(spec, inputs, classes) + FIXED_FLOPS
    return spec.epochs * step / spec.batch_size


def group_trials(
    specs: Sequence[TrialSpec], inputs: int, classes: int, most: int = CPU_SLOTS
) -> list[list[int]]:
    """Group trials to train fused on one core: lists of indices, deepest first in each group.

    Greedy, in order of size: a trial joins the group before it if the cost model says that pays
    and it has fewer than `most` trials.
    """
    groups: list[list[int]] = []
    order = sorted(range(len(specs)), key=lambda index: _sort_key(specs[index], inputs, classes))
    for index in order:
        together = [*groups[-1], index] if groups else []
        is_room = 1 < len(together) <= most
        if is_room and _is_worthwhile([specs[i] for i in together], inputs, classes):
            groups[-1] = together
        else:
            groups.append([index])
    return [sorted(group, key=lambda index: -len(specs[index].hidden)) for group in groups]


def estimate_gain(specs: Sequence[TrialSpec], inputs: int, classes: int) -> float:
    """Return how many times faster these trials train in groups than one by one."""
    alone = sum(_count_flops(spec, inputs, classes) + FIXED_FLOPS for spec in specs)
    together = sum(
        _count_padded_flops([specs[index] for index in group], inputs, classes) + FIXED_FLOPS
        for group in group_trials(specs, inputs, classes)
    )
    return alone / together


def _sort_key(spec: TrialSpec, inputs: int, classes: int) -> tuple[object, ...]:
    """Return a key that puts trials that may be fused next to each other, by size."""
    return (*_fusable_key(spec), _count_flops(spec, inputs, classes))


def _fusable_key(spec: TrialSpec) -> tuple[object, ...]:
    """Return what trials must have in common to be fused on a CPU."""
    has_dropout = spec.dropout > 0
    return (
        spec.model,
        spec.batch_size,
        not spec.hidden,
        spec.activation,
        spec.batch_norm,
        has_dropout,
        spec.target_transform,
    )


def _is_worthwhile(specs: Sequence[TrialSpec], inputs: int, classes: int) -> bool:
    if len({_fusable_key(spec) for spec in specs}) > 1 or specs[0].model:
        return False
    alone = [_count_flops(spec, inputs, classes) for spec in specs]
    if max(alone) > LARGEST_FLOPS:
        return False
    # Padding may cost half of what fusing saves; the estimate is too rough to spend it all.
    return (
        _count_padded_flops(specs, inputs, classes) - sum(alone)
        < FIXED_FLOPS * (len(specs) - 1) / 2
    )


def _count_flops(spec: TrialSpec, inputs: int, classes: int) -> int:
    if spec.model:
        return int(spec.batch_size * UNKNOWN_FLOPS)
    return count_step_flops(spec.hidden, spec.batch_size, inputs, classes)


def _count_padded_flops(specs: Sequence[TrialSpec], inputs: int, classes: int) -> int:
    """Return the operations of a fused step of these trials, every layer padded to its widest."""
    if specs[0].model:
        return _count_flops(specs[0], inputs, classes)
    depth = max(len(spec.hidden) for spec in specs)
    widest = [
        max(spec.hidden[layer] for spec in specs if len(spec.hidden) > layer)
        for layer in range(depth)
    ]
    return sum(
        count_step_flops(widest[: len(spec.hidden)], spec.batch_size, inputs, classes)
        for spec in specs
    )
