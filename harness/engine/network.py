"""Forward and backward of K networks at once, by hand: no graph is built and none is walked.

Held against `harness.model.MLP` under autograd by the tests, to 1e-12 in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.engine.activations import BACKWARD, FORWARD
from harness.engine.arena import Arena
from harness.trial import TrialSpec

MOMENTUM, EPSILON = 0.1, 1e-5  # torch.nn.BatchNorm1d's defaults
native_batch_norm = torch.ops.aten.native_batch_norm
native_batch_norm_backward = torch.ops.aten.native_batch_norm_backward


class Layer(NamedTuple):
    """What the backward pass needs of a hidden layer's forward pass; [B, K, H] each."""

    inputs: Tensor
    z: Tensor
    """Into the activation."""
    h: Tensor
    """Out of the activation."""
    normed: tuple[Tensor, Tensor, Tensor] | None
    """BatchNorm's input, batch mean and inverse standard deviation."""
    kept: Tensor | None
    """Dropout's mask, scaled by 1 / (1 - p)."""


class Network:
    """The members' networks over one arena. `specs` agree in everything that shapes a layer."""

    def __init__(self, specs: list[TrialSpec], classes: int, arena: Arena) -> None:
        first = specs[0]
        self.depth = len(first.hidden)
        self.activation, self.batch_norm = first.activation, first.batch_norm
        self.biased = first.layer_biases
        self.arena = arena
        device = arena.params.device
        self.dropouts = [spec.dropout for spec in specs]
        self.generators = [torch.Generator(device) for _ in specs]
        """Dropout's, one a member; the epoch loop seeds them at each epoch's start."""
        smoothing = [spec.label_smoothing for spec in specs]
        self.smooths = any(smoothing)
        as_row = torch.tensor(smoothing, dtype=arena.params.dtype, device=device).view(1, -1, 1)
        self.true_weight = 1 - as_row
        """[1, K, 1]: weight of the true class in the target, beside that of every class."""
        self.every_weight = as_row / classes

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the mean loss into the arena; x [B, K, D], y [B, K].

        Returns each member's mean loss [K] and number of correct predictions [K].
        """
        layers: list[Layer] = []
        h = x
        for index in range(self.depth):
            h = self._hidden(index, h, layers)
        logits = self._linear(self.depth, h)  # [B, K, C]

        correct = (logits.argmax(2) == y).sum(0)
        log_p = torch.log_softmax(logits, 2)
        true = y.unsqueeze(2)
        loss = -(log_p.gather(2, true) * self.true_weight).mean(0).squeeze(1)
        if self.smooths:
            loss -= (log_p * self.every_weight).sum(2).mean(0)
        dz = log_p.exp_()  # d loss / d logits = (softmax - target) / B
        dz.scatter_add_(2, true, -self.true_weight.expand(true.shape))
        if self.smooths:
            dz -= self.every_weight
        dz *= 1 / len(x)

        dh = self._linear_backward(self.depth, h, dz, wanted=self.depth > 0)
        for index in reversed(range(self.depth)):
            assert dh is not None
            dz = self._hidden_backward(index, layers[index], dh)
            # Nobody needs the gradient of the images: a sixth of a step saved.
            dh = self._linear_backward(index, layers[index].inputs, dz, wanted=index > 0)
        return loss, correct

    def logits(self, x: Tensor) -> Tensor:
        """Inference: x [B, K, D] to logits [B, K, C], with the running statistics, no dropout."""
        h = x
        for index in range(self.depth):
            z = self._linear(index, h)
            if self.batch_norm == "before":
                z, _, _ = self._norm(index, z, training=False)
            h = FORWARD[self.activation](z)
            if self.batch_norm == "after":
                h, _, _ = self._norm(index, h, training=False)
        return self._linear(self.depth, h)

    def _linear(self, index: int, h: Tensor) -> Tensor:
        """[B, K, in] to [B, K, out], each member by its own weights."""
        weight = self.arena.param[f"linears.{index}.weight"]  # [K, out, in]
        z = h.new_empty(h.shape[0], h.shape[1], weight.shape[1])
        h_by_member, z_by_member = h.transpose(0, 1), z.transpose(0, 1)
        if self.biased[index]:
            bias = self.arena.param[f"linears.{index}.bias"].unsqueeze(1)  # [K, 1, out]
            torch.baddbmm(bias, h_by_member, weight.transpose(1, 2), out=z_by_member)
        else:
            torch.bmm(h_by_member, weight.transpose(1, 2), out=z_by_member)
        return z

    def _linear_backward(self, index: int, h: Tensor, dz: Tensor, wanted: bool) -> Tensor | None:
        """Weight and bias gradients into the arena; the input's gradient where it is wanted."""
        grad, dz_by_member = self.arena.grad, dz.transpose(0, 1)  # [K, B, out]
        torch.bmm(
            dz_by_member.transpose(1, 2), h.transpose(0, 1), out=grad[f"linears.{index}.weight"]
        )
        if self.biased[index]:
            torch.sum(dz, 0, out=grad[f"linears.{index}.bias"])
        if not wanted:
            return None
        dh = torch.empty_like(h)
        weight = self.arena.param[f"linears.{index}.weight"]
        torch.bmm(dz_by_member, weight, out=dh.transpose(0, 1))
        return dh

    def _hidden(self, index: int, inputs: Tensor, layers: list[Layer]) -> Tensor:
        normed = kept = None
        z = self._linear(index, inputs)
        if self.batch_norm == "before":
            out, mean, inv_std = self._norm(index, z, training=True)
            normed, z = (z, mean, inv_std), out
        h = out = FORWARD[self.activation](z)
        if self.batch_norm == "after":
            out, mean, inv_std = self._norm(index, h, training=True)
            normed = (h, mean, inv_std)
        if any(self.dropouts):
            kept = self._dropout_mask(out)
            out = out * kept
        layers.append(Layer(inputs, z, h, normed, kept))
        return out

    def _hidden_backward(self, index: int, layer: Layer, dout: Tensor) -> Tensor:
        if layer.kept is not None:
            dout = dout * layer.kept
        if self.batch_norm == "after":
            dout = self._norm_backward(index, layer, dout)
        dz = BACKWARD[self.activation](dout, layer.z, layer.h)
        return self._norm_backward(index, layer, dz) if self.batch_norm == "before" else dz

    def _norm(self, index: int, x: Tensor, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """BatchNorm of [B, K, H] over B, as B rows of K * H columns; updates running statistics."""
        param, buffer, name = self.arena.param, self.arena.buffer, f"norms.{index}"
        out, mean, inv_std = native_batch_norm(
            x.flatten(1),
            param[f"{name}.weight"].reshape(-1),
            param[f"{name}.bias"].reshape(-1),
            buffer[f"{name}.running_mean"].view(-1),
            buffer[f"{name}.running_var"].view(-1),
            training,
            MOMENTUM,
            EPSILON,
        )
        if training:
            buffer[f"{name}.num_batches_tracked"] += 1
        return out.view(x.shape), mean, inv_std

    def _norm_backward(self, index: int, layer: Layer, dout: Tensor) -> Tensor:
        assert layer.normed is not None
        x, mean, inv_std = layer.normed
        weight = self.arena.param[f"norms.{index}.weight"].reshape(-1)
        wanted = [True, True, True]
        dx, dweight, dbias = native_batch_norm_backward(
            dout.flatten(1), x.flatten(1), weight, None, None, mean, inv_std, True, EPSILON, wanted
        )
        grad = self.arena.grad
        grad[f"norms.{index}.weight"].copy_(dweight.view(x.shape[1:]))
        grad[f"norms.{index}.bias"].copy_(dbias.view(x.shape[1:]))
        out: Tensor = dx.view(x.shape)
        return out

    def _dropout_mask(self, like: Tensor) -> Tensor:
        """[B, K, H], each member's columns drawn from its own generator."""
        mask = torch.empty_like(like)
        for member, (p, generator) in enumerate(zip(self.dropouts, self.generators, strict=True)):
            drawn = like.new_empty(like.shape[0], like.shape[2])
            mask[:, member] = drawn.bernoulli_(1 - p, generator=generator).div_(1 - p)
        return mask
