"""Forward and backward of K unequal networks at once, by hand: no graph is built or walked.

Held against `harness.models.mlp.MLP` under autograd by the tests, to 1e-12 in float64. Nothing here
waits for the device or looks at a value, so that a whole step can be captured as a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.engine import activations, losses
from harness.engine.masks import Masks
from harness.engine.matmul import Matmul
from harness.engine.parameter_buffer import ParameterBuffer
from harness.engine.rng import Dropout

MOMENTUM, EPSILON = 0.1, 1e-5  # torch.nn.BatchNorm1d's defaults
native_batch_norm = torch.ops.aten.native_batch_norm
native_batch_norm_backward = torch.ops.aten.native_batch_norm_backward


class Hidden(NamedTuple):
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
    """The members' networks over one arena; the switches say which member does what."""

    def __init__(self, arena: ParameterBuffer, switches: Masks, products: Matmul) -> None:
        layout = self.layout = arena.layout
        self.arena, self.switches, self.products = arena, switches, products
        self.prefixes = [layout.prefix(layer) for layer in range(len(layout.widths))]
        needs_mask = activations.NOT_ZERO_AT_ZERO.intersection(layout.activations)
        self.masked = bool(needs_mask) and not layout.exact
        self._flat_norms: dict[int, tuple[Tensor, ...]] = {}
        device = arena.params.device
        widest = max(layout.widths, default=0)
        self.dropout = (
            Dropout(layout.slots, layout.batch_size, widest, device) if layout.dropout else None
        )

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the mean loss into the arena; x [B, K, D], y [B, K].

        Returns each member's mean loss [K] and number of correct predictions [K].
        """
        saved: list[Hidden] = []
        top, outs = x, []
        for layer, slots in enumerate(self.prefixes):
            top = self._hidden(layer, _first(slots, top), saved)
            outs.append(top)
        if self.layout.mixed_depth:
            top = self._top(outs)
        logits = self.products.forward("linears.out", top)  # [B, K, C]

        if y.is_floating_point():  # a regression: nothing is right or wrong
            correct = y.new_zeros(y.shape[1], dtype=torch.int64)
        else:
            correct = (logits.argmax(2) == y).sum(0)
        loss, dz = losses.with_gradient(logits, y, self.switches, self.layout.smoothing)

        dtop = self._linear_backward("out", top, dz, wanted=bool(saved))
        dh = None if self.layout.mixed_depth else dtop
        for layer in reversed(range(len(saved))):
            if self.layout.mixed_depth:
                assert dtop is not None
                dh = self._from_above(layer, dtop, dh)
            assert dh is not None
            dz = self._hidden_backward(layer, saved[layer], dh)
            # Nobody needs the gradient of the images: a sixth of a step saved.
            dh = self._linear_backward(layer, saved[layer].inputs, dz, wanted=layer > 0)
        return loss, correct

    def logits(self, x: Tensor) -> Tensor:
        """Inference: x [B, K, D] to logits [B, K, C], with the running statistics, no dropout."""
        top, outs = x, []
        for layer, slots in enumerate(self.prefixes):
            if "before" in self.layout.batch_norms:
                z = self.products.forward(f"linears.{layer}", _first(slots, top))
                z = self._where_normed("before", self._norm(layer, z, training=False)[0], z)
                top = activations.forward(z, self.switches.activation)
            else:
                _, top = self._activated(layer, _first(slots, top))
            if "after" in self.layout.batch_norms:
                top = self._where_normed("after", self._norm(layer, top, training=False)[0], top)
            top = self._mask(layer, top)
            outs.append(top)
        top = self._top(outs) if self.layout.mixed_depth else top
        return self.products.forward("linears.out", top)

    def _hidden(self, layer: int, inputs: Tensor, saved: list[Hidden]) -> Tensor:
        """One hidden layer: Linear, BatchNorm before or after the activation, dropout."""
        normed = kept = None
        norms, act = self.layout.batch_norms, self.switches.activation
        if "before" in norms:
            z = self.products.forward(f"linears.{layer}", inputs)
        else:
            z, h = self._activated(layer, inputs)
        if norms == ("none",):
            out = h
        elif "after" not in norms:
            out, mean, inv_std = self._norm(layer, z, training=True)
            normed, z = (z, mean, inv_std), self._where_normed("before", out, z)
            h = out = activations.forward(z, act)
        elif "before" not in norms:
            out, mean, inv_std = self._norm(layer, h, training=True)
            normed, out = (h, mean, inv_std), self._where_normed("after", out, h)
        else:
            # Both placements: one BatchNorm, of z for some members and of h for the others.
            x = self._where_normed("before", z, activations.forward(z, act))
            out, mean, inv_std = self._norm(layer, x, training=True)
            normed, z = (x, mean, inv_std), self._where_normed("before", out, z)
            h = activations.forward(z, act)
            out = self._where_normed("after", out, h)
        if self.dropout is not None:
            kept = self._dropout_mask(self.dropout, layer, out)
            out = out * kept
        out = self._mask(layer, out)
        saved.append(Hidden(inputs, z, h, normed, kept))
        return out

    def _hidden_backward(self, layer: int, saved: Hidden, dout: Tensor) -> Tensor:
        norms = self.layout.batch_norms
        if saved.kept is not None:
            dout = dout * saved.kept
        if norms == ("none",):
            return self._activation_backward(dout, saved)
        if "after" not in norms:
            dz = self._activation_backward(dout, saved)
            return self._where_normed("before", self._norm_backward(layer, saved, dz), dz)
        if "before" not in norms:
            dh = self._where_normed("after", self._norm_backward(layer, saved, dout), dout)
            return self._activation_backward(dh, saved)
        # The gradient of BatchNorm's output, wherever it stands; none where there is no BatchNorm.
        dz = self._activation_backward(dout, saved)
        dx = self._norm_backward(layer, saved, self._where_normed("before", dz, dout))
        dz = self._activation_backward(self._where_normed("after", dx, dout), saved)
        return self._where_normed("before", dx, dz)

    def _activation_backward(self, dh: Tensor, saved: Hidden) -> Tensor:
        return activations.backward(dh, saved.z, saved.h, self.switches.activation)

    def _where_normed(self, placement: str, normed: Tensor, other: Tensor) -> Tensor:
        """`normed` for the members with BatchNorm at this place, `other` for the rest."""
        if len(self.layout.batch_norms) == 1:
            return normed
        return torch.where(self.switches.batch_norm[placement][:, : other.shape[1]], normed, other)

    def _top(self, outs: list[Tensor]) -> Tensor:
        """Each member's last hidden activation, [B, K, T]."""
        last = outs[0].new_zeros(len(outs[0]), self.layout.slots, self.layout.top(0))
        for ends, out in zip(self.switches.ends, outs, strict=True):
            _, slots, width = out.shape
            part = last[:, :slots, :width]
            part.copy_(torch.where(ends[:, :slots], out, part))
        return last

    def _from_above(self, layer: int, dtop: Tensor, above: Tensor | None) -> Tensor:
        """Gradient of a hidden layer's output: from the output layer where the member ends here,
        from the layer above where it goes on, else zero."""
        slots, width = self.prefixes[layer], self.layout.widths[layer]
        whole = dtop.new_zeros(len(dtop), slots, width)
        if above is not None:
            whole[:, : above.shape[1]] = above
        return torch.where(self.switches.ends[layer][:, :slots], dtop[:, :slots, :width], whole)

    def _activated(self, layer: int, h: Tensor) -> tuple[Tensor, Tensor]:
        """Into and out of the activation; where both come in one go, what comes out twice."""
        act = self.switches.activation
        if len(act) == 1:
            out = self.products.activated(f"linears.{layer}", h, *act)
            if out is not None:
                return out, out
        z = self.products.forward(f"linears.{layer}", h)
        return z, activations.forward(z, act)

    def _linear_backward(
        self, layer: int | str, h: Tensor, dz: Tensor, wanted: bool
    ) -> Tensor | None:
        """Weight and bias gradients into the arena; the input's gradient where it is wanted."""
        name = f"linears.{layer}"
        self.products.weight_gradient(name, dz, h)
        bias = self.arena.grad.get(f"{name}.bias")
        if bias is not None:
            if self.layout.exact:
                torch.sum(dz, 0, out=bias)
            else:
                has = self.switches.biased[-1 if layer == "out" else int(layer)][: dz.shape[1]]
                bias.copy_(torch.where(has, dz.sum(0), 0))
        return self.products.input_gradient(name, dz) if wanted else None

    def _norm(self, layer: int, x: Tensor, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """BatchNorm of [B, K, H] over B, as B rows of K * H columns; updates running statistics."""
        weight, bias, mean, variance = self._flat_norm(layer)
        out, batch_mean, inv_std = native_batch_norm(
            x.flatten(1), weight, bias, mean, variance, training, MOMENTUM, EPSILON
        )
        return out.view(x.shape), batch_mean, inv_std

    def _norm_backward(self, layer: int, saved: Hidden, dout: Tensor) -> Tensor:
        assert saved.normed is not None
        x, mean, inv_std = saved.normed
        weight = self._flat_norm(layer)[0]
        wanted = [True, True, True]
        dx, dweight, dbias = native_batch_norm_backward(
            dout.flatten(1), x.flatten(1), weight, None, None, mean, inv_std, True, EPSILON, wanted
        )
        self._keep_norm_gradients(f"norms.{layer}", dweight, dbias)
        out: Tensor = dx.view(x.shape)
        return out

    def _flat_norm(self, layer: int) -> tuple[Tensor, ...]:
        """Weight, bias, running mean and variance over K * H columns; views where K is 1."""
        if layer not in self._flat_norms:
            param, statistic, name = self.arena.param, self.arena.statistic, f"norms.{layer}"
            flat = (
                param[f"{name}.weight"].reshape(-1),
                param[f"{name}.bias"].reshape(-1),
                statistic[f"{name}.running_mean"].view(-1),
                statistic[f"{name}.running_var"].view(-1),
            )
            if self.layout.slots > 1:
                return flat
            self._flat_norms[layer] = flat
        return self._flat_norms[layer]

    def _keep_norm_gradients(self, name: str, dweight: Tensor, dbias: Tensor) -> None:
        if self.arena.lone:
            self.arena.elsewhere[f"{name}.weight"] = dweight
            self.arena.elsewhere[f"{name}.bias"] = dbias
            return
        grad = self.arena.grad
        shape = grad[f"{name}.weight"].shape
        dweight, dbias = dweight.view(shape), dbias.view(shape)
        if "none" in self.layout.batch_norms:
            has = ~self.switches.batch_norm["none"][0, : shape[0]]
            dweight, dbias = torch.where(has, dweight, 0), torch.where(has, dbias, 0)
        grad[f"{name}.weight"].copy_(dweight)
        grad[f"{name}.bias"].copy_(dbias)

    def _dropout_mask(self, dropout: Dropout, layer: int, out: Tensor) -> Tensor:
        """[B, K, H]: 0 where a unit is dropped, 1 / (1 - p) where it is kept."""
        _, slots, width = out.shape
        keep = dropout.keep(layer, self.switches.dropped[:, :slots], width)
        return keep * self.switches.kept_scale[:, :slots]

    def _mask(self, layer: int, out: Tensor) -> Tensor:
        """Zero in the columns that a member does not have."""
        if not self.masked:
            return out
        return torch.where(self.switches.columns[layer][:, : out.shape[1]], out, 0)


def _first(slots: int, h: Tensor) -> Tensor:
    """[B, K, H] of the first slots alone."""
    return h if h.shape[1] == slots else h[:, :slots]
