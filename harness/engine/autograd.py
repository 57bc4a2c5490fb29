"""A model of one's own in the place of the engine's network: the same step, through autograd.

Batches, augmentation, losses, penalties, optimisers and schedules are the engine's own; of the step
only the way from a batch to its logits and back is the module's. It trains alone, for nobody knows
what is inside. Held against the engine's own network by tests/engine/test_module.py.
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
from harness.engine.parameter_buffer import Named, State, views_of
from harness.models.custom import CustomModel, shape_of
from harness.models.user_code import in_words
from harness.trial import TrialSpec, derived_seed

EVALUATED = 250
"""Examples at a time: a convolution's activations are many times its input."""


class ModuleParameters:
    """The module's trainable parameters in one row, K = 1, each of them a view into it.

    What else the module has, frozen parameters and buffers, stays in it.
    """

    def __init__(self, layout: Layout, spec: TrialSpec, data: DeviceData) -> None:
        self.layout = layout
        shape = shape_of(data.shape)
        mean, inv_std = (each.cpu().view(shape) for each in (data.mean, data.inv_std))
        self.module = CustomModel(spec, data.classes, mean, inv_std, data.dtype).to(data.device)
        named = [(name, p) for name, p in self.module.named_parameters() if p.requires_grad]
        shapes = {name: (1, parameter.shape) for name, parameter in named}
        size = sum(parameter.numel() for _, parameter in named)
        self.params = torch.zeros(1, size, dtype=data.dtype, device=data.device)
        self.grads, self.first_moment, self.second_moment = (
            torch.zeros_like(self.params) for _ in range(3)
        )
        self.param, self.grad = views_of(self.params, shapes), views_of(self.grads, shapes)
        self.first = views_of(self.first_moment, shapes)
        self.second = views_of(self.second_moment, shapes)
        self.elsewhere: Named = {}
        for name, parameter in named:
            self.param[name][0].copy_(parameter.detach())
            parameter.data = self.param[name][0]
            parameter.grad = self.grad[name][0]  # autograd adds to what is there, in its place

    @property
    def statistic(self) -> Named:
        """Buffers and frozen parameters, as they are now."""
        return {n: tensor for n, tensor in self.module.state_dict().items() if n not in self.param}

    def load(self, slot: int, spec: TrialSpec, state: State) -> None:
        """Put the member into its only slot."""
        for flat in (self.grads, self.first_moment, self.second_moment):
            flat.zero_()
        for views, named in (
            (self.param, state.params),
            (self.first, state.first_moment),
            (self.second, state.second_moment),
        ):
            for name, tensor in named.items():
                views[name][slot].copy_(tensor)
        own = self.statistic
        for name, tensor in state.statistics.items():
            own[name].copy_(tensor)

    def unload(self, slot: int, spec: TrialSpec) -> State:
        """Copies of what the member is made of."""
        params, first, second = (
            {name: view[slot].clone() for name, view in views.items()}
            for views in (self.param, self.first, self.second)
        )
        statistics = {name: tensor.clone() for name, tensor in self.statistic.items()}
        return State(params, first, second, statistics)

    def weights(self, slot: int, spec: TrialSpec) -> Named:
        """Copies, by the names of `OwnModel`'s state dict."""
        return {name: tensor.clone() for name, tensor in self.module.state_dict().items()}


class ModuleNetwork:
    """Forward and backward of the module; the engine's axes with K = 1."""

    dropout = None
    """It has its own, from torch's generators."""

    def __init__(self, arena: ModuleParameters, switches: Masks) -> None:
        self.arena, self.switches = arena, switches
        self.module = arena.module
        self._device = arena.params.device
        self._gpus = [self._device] if self._device.type == "cuda" else []
        self._random: list[Tensor] = []

    def begin(self, seed: int, epoch: int) -> None:
        """Start an epoch: what the module draws is a function of (seed, epoch) alone."""
        self._random = self._seeded(derived_seed("dropout", seed, epoch))

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """As `Network.gradients`: into the arena; x [B, 1, D], y [B, 1]."""
        self.arena.grads.zero_()
        with self._drawing(self._random), torch.enable_grad():
            out = self._called(x, training=True)
            logits = out.detach().unsqueeze(1)  # [B, 1, C]
            correct = (logits.argmax(2) == y).sum(0)
            loss, dz = losses.with_gradient(logits, y, self.switches, self.arena.layout.smoothing)
            # Its gradient is dz. `out.backward(dz)` imports sympy, 3 s in every worker.
            (out * dz.squeeze(1)).sum().backward()  # type: ignore[no-untyped-call]
            self._random = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._gpus)]
        return loss, correct

    def logits(self, x: Tensor) -> Tensor:
        """Inference: x [B, 1, D] to logits [B, 1, C]."""
        with self._drawing(self._seeded(0)):
            batches: tuple[Tensor, ...] = torch.split(x, EVALUATED)
            parts = [self._called(part, training=False) for part in batches]
        return torch.cat(parts).unsqueeze(1)

    def _seeded(self, key: int) -> list[Tensor]:
        """Of the CPU's generator, and the GPU's where that is what it trains on."""
        devices = [torch.device("cpu"), *self._gpus]
        return [torch.Generator(each).manual_seed(key).get_state() for each in devices]

    @contextmanager
    def _drawing(self, states: Sequence[Tensor]) -> Iterator[None]:
        """With torch's generators in these states inside; whoever else uses them sees nothing."""
        with torch.random.fork_rng(devices=self._gpus):
            torch.set_rng_state(states[0])
            for gpu, state in zip(self._gpus, states[1:], strict=True):
                torch.cuda.set_rng_state(state, gpu)
            yield

    def _called(self, x: Tensor, training: bool) -> Tensor:
        """x [B, 1, D], normalised; raises RuntimeError for whatever the user's code raises."""
        network = self.module.network.train(training)
        try:
            out: Tensor = network(x.reshape(-1, *self.module.mean.shape))
        except RuntimeError:
            raise
        except Exception as error:
            raise RuntimeError(f"the model raised {in_words(error)}") from error
        return out
