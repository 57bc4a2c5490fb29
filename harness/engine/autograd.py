"""A custom model in place of the engine's network: the same training step, through autograd.

Only the way from a batch to its logits and back is the module's. Batches, augmentation, losses,
penalties, optimizers and schedules are the engine's. A custom model trains alone in its group: the
engine cannot fuse operations that it does not know. tests/engine/test_autograd.py compares it with
the engine's own network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from harness.engine import losses
from harness.engine.device_data import DeviceData
from harness.engine.masks import Masks
from harness.engine.padding import Layout
from harness.engine.parameter_buffer import NamedTensors, TrialTensors, cut_views
from harness.models.custom import CustomModel, network_input_shape
from harness.models.user_code import describe_error
from harness.trial import TrialSpec, derive_seed

VALIDATION_BATCH = 250
"""Examples validated at once: a convolution's activations are many times its input."""


class ModuleParameters:
    """The module's trainable parameters as views into one row: `ParameterRows` with K = 1.

    The module's other state, frozen parameters and buffers, stays in the module.
    """

    def __init__(self, layout: Layout, spec: TrialSpec, data: DeviceData) -> None:
        self.layout = layout
        shape = network_input_shape(data.shape)
        mean, inv_std = data.mean.cpu().view(shape), data.inv_std.cpu().view(shape)
        self.module = CustomModel(
            spec, data.classes, mean, inv_std, data.dtype, features=data.features
        ).to(data.device)
        named = [(name, p) for name, p in self.module.named_parameters() if p.requires_grad]
        shapes = {name: (1, parameter.shape) for name, parameter in named}
        size = sum(parameter.numel() for _, parameter in named)
        self.params = torch.zeros(1, size, dtype=data.dtype, device=data.device)
        self.grads, self.first_moment, self.second_moment = (
            torch.zeros_like(self.params) for _ in range(3)
        )
        self.param_views = cut_views(self.params, shapes)
        self.grad_views = cut_views(self.grads, shapes)
        self.first_views = cut_views(self.first_moment, shapes)
        self.second_views = cut_views(self.second_moment, shapes)
        self.external_grads: NamedTensors = {}
        for name, parameter in named:
            self.param_views[name][0].copy_(parameter.detach())
            parameter.data = self.param_views[name][0]
            parameter.grad = self.grad_views[name][0]  # autograd accumulates in place

    @property
    def statistics(self) -> NamedTensors:
        """The module's buffers and frozen parameters, not copied."""
        tensors = self.module.state_dict()
        return {name: tensor for name, tensor in tensors.items() if name not in self.param_views}

    def load(self, slot: int, spec: TrialSpec, tensors: TrialTensors) -> None:
        """Put the trial into the only slot."""
        for flat in (self.grads, self.first_moment, self.second_moment):
            flat.zero_()
        for views, named in (
            (self.param_views, tensors.params),
            (self.first_views, tensors.first_moment),
            (self.second_views, tensors.second_moment),
        ):
            for name, tensor in named.items():
                views[name][slot].copy_(tensor)
        statistics = self.statistics
        for name, tensor in tensors.statistics.items():
            statistics[name].copy_(tensor)

    def unload(self, slot: int, spec: TrialSpec) -> TrialTensors:
        """Return copies of the trial's tensors."""
        params, first, second = (
            {name: view[slot].clone() for name, view in views.items()}
            for views in (self.param_views, self.first_views, self.second_views)
        )
        statistics = {name: tensor.clone() for name, tensor in self.statistics.items()}
        return TrialTensors(params, first, second, statistics)

    def weights(self, slot: int, spec: TrialSpec) -> NamedTensors:
        """Return copies of all of the module's tensors, by the names of its state dict."""
        return {name: tensor.clone() for name, tensor in self.module.state_dict().items()}


class ModuleNetwork:
    """Forward and backward pass of the module, with the engine's axes and K = 1."""

    dropout = None
    """The module's dropout, if any, uses torch's generators."""

    def __init__(self, buffer: ModuleParameters, masks: Masks) -> None:
        self.buffer, self.masks = buffer, masks
        self.module = buffer.module
        self._device = buffer.params.device
        self._gpus = [self._device] if self._device.type == "cuda" else []
        self._generator_states: list[Tensor] = []

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Start an epoch: the module's random numbers depend on (seed, epoch) alone."""
        self._generator_states = self._seeded_states(derive_seed("dropout", seed, epoch))

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Write the gradients into the buffer, for x [B, 1, D] and y [B, 1].

        Returns the mean loss [1] and the number of correct predictions [1] as `Network` does.
        """
        self.buffer.grads.zero_()
        with self._use_generator_states(self._generator_states), torch.enable_grad():
            out = self._call_module(x, training=True)  # [B, C], or [B, M, C] of M members
            logits = out.detach()
            logits = logits.unsqueeze(1) if logits.ndim == 2 else logits  # [B, M, C]
            members = logits.shape[1]
            correct = losses.measure_batch(logits.mean(1, keepdim=True), y, self.masks)
            loss, dz = losses.compute_loss_and_gradient(
                logits, y.expand(-1, members), self.masks, self.buffer.layout.smoothing
            )
            if members > 1:  # each has its own loss; their mean is minimized
                loss, dz = loss.mean(0, keepdim=True), dz / members
            # The gradient of this sum is dz. `out.backward(dz)` imports sympy, 3 s a worker.
            (out * dz.view_as(out)).sum().backward()  # type: ignore[no-untyped-call]
            self._generator_states = [
                torch.get_rng_state(),
                *map(torch.cuda.get_rng_state, self._gpus),
            ]
        return loss, correct

    def logits(self, x: Tensor) -> Tensor:
        """Infer logits [B, 1, C] from x [B, 1, D]."""
        with self._use_generator_states(self._seeded_states(0)):
            batches: tuple[Tensor, ...] = torch.split(x, VALIDATION_BATCH)
            outputs = [self._call_module(batch, training=False) for batch in batches]
        return torch.cat(outputs).unsqueeze(1)

    def _seeded_states(self, seed: int) -> list[Tensor]:
        """Return seeded states of the CPU's generator and, when training on a GPU, of the GPU's."""
        devices = [torch.device("cpu"), *self._gpus]
        return [torch.Generator(device).manual_seed(seed).get_state() for device in devices]

    @contextmanager
    def _use_generator_states(self, states: Sequence[Tensor]) -> Iterator[None]:
        """Set torch's generators inside the context, and restore them after it."""
        with torch.random.fork_rng(devices=self._gpus):
            torch.set_rng_state(states[0])
            for gpu, state in zip(self._gpus, states[1:], strict=True):
                torch.cuda.set_rng_state(state, gpu)
            yield

    def _call_module(self, x: Tensor, training: bool) -> Tensor:
        """Run the module on normalized x [B, 1, D].

        Raises RuntimeError for any exception of the user's code.
        """
        network = self.module.network.train(training)
        try:
            out: Tensor = network(x.reshape(-1, *self.module.mean.shape))
        except RuntimeError:
            raise
        except Exception as error:
            raise RuntimeError(f"the model raised {describe_error(error)}") from error
        return out
