"""The parameters of K members as the rows of one [K, P] buffer, every layer a view into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.model import MLP


class Arena:
    """Parameters, gradients and BatchNorm statistics of K networks of equal structure.

    One flat row a member lets an optimiser treat all of a member's layers as one tensor, and a
    member be copied, kept or replaced in one move. Views carry the names of `MLP`'s state dict
    with K in front: `linears.0.weight` is [K, H, D], `norms.0.weight` [K, H].
    """

    def __init__(self, models: Sequence[MLP], device: torch.device) -> None:
        first = models[0]
        self.members = len(models)
        shapes = {name: parameter.shape for name, parameter in first.named_parameters()}
        size = sum(shape.numel() for shape in shapes.values())
        dtype = first.mean.dtype
        self.params = torch.zeros(self.members, size, dtype=dtype, device=device)
        self.grads = torch.zeros_like(self.params)
        self.param = _views(self.params, shapes)
        self.grad = _views(self.grads, shapes)
        self.buffer = {
            name: torch.stack([model.get_buffer(name) for model in models]).to(device)
            for name, _ in first.named_buffers()
        }
        for member, model in enumerate(models):
            for name, parameter in model.named_parameters():
                self.param[name][member].copy_(parameter.detach())

    def snapshot(self, member: int) -> dict[str, Tensor]:
        """A member's state dict as it stands, copied to the CPU; loads into `MLP`."""
        named = self.param | self.buffer
        return {name: view[member].detach().to("cpu", copy=True) for name, view in named.items()}


def _views(flat: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Cut a [K, P] buffer into {name: [K, *shape]} views, in order."""
    views, start = {}, 0
    for name, shape in shapes.items():
        stop = start + shape.numel()
        views[name] = flat[:, start:stop].view(flat.shape[0], *shape)
        start = stop
    return views
