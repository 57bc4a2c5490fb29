"""Forward and backward pass of K different networks at once, written by hand without autograd.

Tests hold it to `harness.models.mlp.MLP` under autograd, to 1e-12 in float64. No operation here
waits for the device or reads a value from it, so a whole step can be captured as a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.engine import losses
from harness.engine.masks import Masks
from harness.engine.matmul import Matmul
from harness.engine.parameter_buffer import ParameterBuffer
from harness.engine.rng import Dropout
from harness.models.activations import ACTIVATIONS

MOMENTUM, EPSILON = 0.1, 1e-5  # torch.nn.BatchNorm1d's defaults
native_batch_norm = torch.ops.aten.native_batch_norm
native_batch_norm_backward = torch.ops.aten.native_batch_norm_backward


class SavedLayer(NamedTuple):
    """A hidden layer's tensors that the backward pass needs, each [B, K, H]."""

    inputs: Tensor
    """The layer's input."""
    z: Tensor
    """The activation's input."""
    h: Tensor
    """The activation's output."""
    norm_saved: tuple[Tensor, Tensor, Tensor] | None
    """BatchNorm's input, batch mean and inverse standard deviation."""
    dropout_mask: Tensor | None
    """Dropout's mask, scaled by 1 / (1 - p)."""


class Network:
    """The networks of all K slots, over one parameter buffer; masks select what each slot does."""

    def __init__(self, buffer: ParameterBuffer, masks: Masks, matmul: Matmul) -> None:
        layout = self.layout = buffer.layout
        self.buffer, self.masks, self.matmul = buffer, masks, matmul
        self.slots_of_layer = [
            layout.slots_with_layer(layer) for layer in range(len(layout.widths))
        ]
        keep_zero = all(ACTIVATIONS[name].keeps_zero for name in layout.activations)
        self.masks_padding = not keep_zero and not layout.exact
        self._flat_norms: dict[int, tuple[Tensor, ...]] = {}
        device = buffer.params.device
        widest = max(layout.widths, default=0)
        self.dropout = (
            Dropout(layout.slots, layout.batch_size, widest, device) if layout.dropout else None
        )

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Write the gradients of the mean loss into the buffer, for x [B, K, D] and y [B, K].

        Returns each trial's mean loss [K], and what `losses.measure_batch` returns.
        """
        saved: list[SavedLayer] = []
        top, outs = x, []
        for layer, slots in enumerate(self.slots_of_layer):
            top = self._hidden(layer, _first_slots(slots, top), saved)
            outs.append(top)
        if self.layout.mixed_depth:
            top = self._gather_last_layers(outs)
        logits = self.matmul.forward("linears.out", top)  # [B, K, C]

        correct = losses.measure_batch(logits, y, self.masks)
        loss, dz = losses.compute_loss_and_gradient(logits, y, self.masks, self.layout.smoothing)

        dtop = self._linear_backward("out", top, dz, needs_input=bool(saved))
        dh = None if self.layout.mixed_depth else dtop
        for layer in reversed(range(len(saved))):
            if self.layout.mixed_depth:
                assert dtop is not None
                dh = self._gradient_of_output(layer, dtop, dh)
            assert dh is not None
            dz = self._hidden_backward(layer, saved[layer], dh)
            # The gradient of the input is not needed: this saves a sixth of a step.
            dh = self._linear_backward(layer, saved[layer].inputs, dz, needs_input=layer > 0)
        return loss, correct

    def logits(self, x: Tensor) -> Tensor:
        """Infer logits [B, K, C] from x [B, K, D], with running statistics and without dropout."""
        top, outs = x, []
        for layer, slots in enumerate(self.slots_of_layer):
            if "before" in self.layout.batch_norms:
                z = self.matmul.forward(f"linears.{layer}", _first_slots(slots, top))
                z = self._where_norm("before", self._norm(layer, z, training=False)[0], z)
                top = self.masks.activate(z)
            else:
                _, top = self._linear_activation(layer, _first_slots(slots, top))
            if "after" in self.layout.batch_norms:
                top = self._where_norm("after", self._norm(layer, top, training=False)[0], top)
            top = self._mask_padding(layer, top)
            outs.append(top)
        top = self._gather_last_layers(outs) if self.layout.mixed_depth else top
        return self.matmul.forward("linears.out", top)

    def _hidden(self, layer: int, inputs: Tensor, saved: list[SavedLayer]) -> Tensor:
        """Run one hidden layer: Linear, BatchNorm before or after the activation, dropout."""
        norm_saved = dropout_mask = None
        norms = self.layout.batch_norms
        if "before" in norms:
            z = self.matmul.forward(f"linears.{layer}", inputs)
        else:
            z, h = self._linear_activation(layer, inputs)
        if norms == ("none",):
            out = h
        elif "after" not in norms:
            out, mean, inv_std = self._norm(layer, z, training=True)
            norm_saved, z = (z, mean, inv_std), self._where_norm("before", out, z)
            h = out = self.masks.activate(z)
        elif "before" not in norms:
            out, mean, inv_std = self._norm(layer, h, training=True)
            norm_saved, out = (h, mean, inv_std), self._where_norm("after", out, h)
        else:
            # Some trials normalize z, others h: one BatchNorm of whichever each trial needs.
            x = self._where_norm("before", z, self.masks.activate(z))
            out, mean, inv_std = self._norm(layer, x, training=True)
            norm_saved, z = (x, mean, inv_std), self._where_norm("before", out, z)
            h = self.masks.activate(z)
            out = self._where_norm("after", out, h)
        if self.dropout is not None:
            dropout_mask = self._dropout_mask(self.dropout, layer, out)
            out = out * dropout_mask
        out = self._mask_padding(layer, out)
        saved.append(SavedLayer(inputs, z, h, norm_saved, dropout_mask))
        return out

    def _hidden_backward(self, layer: int, saved: SavedLayer, dout: Tensor) -> Tensor:
        """Return the gradient of Linear's output from that of the layer's output, [B, K, H]."""
        norms = self.layout.batch_norms
        if saved.dropout_mask is not None:
            dout = dout * saved.dropout_mask
        if norms == ("none",):
            return self._activation_backward(dout, saved)
        if "after" not in norms:
            dz = self._activation_backward(dout, saved)
            return self._where_norm("before", self._norm_backward(layer, saved, dz), dz)
        if "before" not in norms:
            dh = self._where_norm("after", self._norm_backward(layer, saved, dout), dout)
            return self._activation_backward(dh, saved)
        # First the gradient of BatchNorm's output, then that of its input, before or after the
        # activation as in the forward pass. Trials without BatchNorm pass through.
        dz = self._activation_backward(dout, saved)
        dx = self._norm_backward(layer, saved, self._where_norm("before", dz, dout))
        dz = self._activation_backward(self._where_norm("after", dx, dout), saved)
        return self._where_norm("before", dx, dz)

    def _activation_backward(self, dh: Tensor, saved: SavedLayer) -> Tensor:
        return self.masks.activate_backward(dh, saved.z, saved.h)

    def _where_norm(self, placement: str, normed: Tensor, other: Tensor) -> Tensor:
        """Select `normed` for the trials with BatchNorm at this place and `other` for the rest."""
        if len(self.layout.batch_norms) == 1:
            return normed
        return torch.where(self.masks.batch_norm[placement][:, : other.shape[1]], normed, other)

    def _gather_last_layers(self, outs: list[Tensor]) -> Tensor:
        """Gather each trial's last hidden layer from all layers' outputs: [B, K, T]."""
        last = outs[0].new_zeros(len(outs[0]), self.layout.slots, self.layout.top_width(0))
        for is_last, out in zip(self.masks.is_last_layer, outs, strict=True):
            _, slots, width = out.shape
            view = last[:, :slots, :width]
            view.copy_(torch.where(is_last[:, :slots], out, view))
        return last

    def _gradient_of_output(self, layer: int, dtop: Tensor, above: Tensor | None) -> Tensor:
        """Return the gradient of a hidden layer's output, [B, K, H].

        It comes from the output layer where this layer is the trial's last, from the layer above
        where the trial is deeper, and is zero where it is shallower.
        """
        slots, width = self.slots_of_layer[layer], self.layout.widths[layer]
        dout = dtop.new_zeros(len(dtop), slots, width)
        if above is not None:
            dout[:, : above.shape[1]] = above
        is_last = self.masks.is_last_layer[layer][:, :slots]
        return torch.where(is_last, dtop[:, :slots, :width], dout)

    def _linear_activation(self, layer: int, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activation's input and output; where both are fused, the output twice."""
        names = self.masks.activation
        if len(names) == 1:
            out = self.matmul.forward_activation(f"linears.{layer}", h, *names)
            if out is not None:
                return out, out
        z = self.matmul.forward(f"linears.{layer}", h)
        return z, self.masks.activate(z)

    def _linear_backward(
        self, layer: int | str, h: Tensor, dz: Tensor, needs_input: bool
    ) -> Tensor | None:
        """Write the gradients of weight and bias; return the input's gradient if `needs_input`."""
        name = f"linears.{layer}"
        self.matmul.weight_gradient(name, dz, h)
        bias = self.buffer.grad_views.get(f"{name}.bias")
        if bias is not None:
            if self.layout.exact:
                torch.sum(dz, 0, out=bias)
            else:
                has_bias = self.masks.has_bias[-1 if layer == "out" else int(layer)]
                bias.copy_(torch.where(has_bias[: dz.shape[1]], dz.sum(0), 0))
        return self.matmul.input_gradient(name, dz) if needs_input else None

    def _norm(self, layer: int, x: Tensor, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize [B, K, H] over B, as B rows of K * H columns; update the running statistics.

        Returns the output, the batch mean and the inverse standard deviation.
        """
        weight, bias, mean, variance = self._flat_norm(layer)
        out, batch_mean, inv_std = native_batch_norm(
            x.flatten(1), weight, bias, mean, variance, training, MOMENTUM, EPSILON
        )
        return out.view(x.shape), batch_mean, inv_std

    def _norm_backward(self, layer: int, saved: SavedLayer, dout: Tensor) -> Tensor:
        assert saved.norm_saved is not None
        x, mean, inv_std = saved.norm_saved
        weight = self._flat_norm(layer)[0]
        output_mask = [True, True, True]
        dx, dweight, dbias = native_batch_norm_backward(
            dout.flatten(1),
            x.flatten(1),
            weight,
            None,
            None,
            mean,
            inv_std,
            True,
            EPSILON,
            output_mask,
        )
        self._store_norm_gradients(f"norms.{layer}", dweight, dbias)
        out: Tensor = dx.view(x.shape)
        return out

    def _flat_norm(self, layer: int) -> tuple[Tensor, ...]:
        """Return weight, bias, running mean and variance, [K * H] each; cached views if K is 1."""
        if layer not in self._flat_norms:
            param, statistic, name = (
                self.buffer.param_views,
                self.buffer.statistics,
                f"norms.{layer}",
            )
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

    def _store_norm_gradients(self, name: str, dweight: Tensor, dbias: Tensor) -> None:
        if self.buffer.is_single:
            self.buffer.external_grads[f"{name}.weight"] = dweight
            self.buffer.external_grads[f"{name}.bias"] = dbias
            return
        grad = self.buffer.grad_views
        shape = grad[f"{name}.weight"].shape
        dweight, dbias = dweight.view(shape), dbias.view(shape)
        if "none" in self.layout.batch_norms:
            has_norm = ~self.masks.batch_norm["none"][0, : shape[0]]
            dweight, dbias = torch.where(has_norm, dweight, 0), torch.where(has_norm, dbias, 0)
        grad[f"{name}.weight"].copy_(dweight)
        grad[f"{name}.bias"].copy_(dbias)

    def _dropout_mask(self, dropout: Dropout, layer: int, out: Tensor) -> Tensor:
        """Return [B, K, H]: 0 where a unit is dropped, 1 / (1 - p) where it is kept."""
        _, slots, width = out.shape
        keep = dropout.keep_mask(layer, self.masks.dropout_threshold[:, :slots], width)
        return keep * self.masks.keep_scale[:, :slots]

    def _mask_padding(self, layer: int, out: Tensor) -> Tensor:
        """Set the columns that a trial does not have to zero."""
        if not self.masks_padding:
            return out
        return torch.where(self.masks.columns[layer][:, : out.shape[1]], out, 0)


def _first_slots(slots: int, h: Tensor) -> Tensor:
    """Return the first slots of h [B, K, H]."""
    return h if h.shape[1] == slots else h[:, :slots]
