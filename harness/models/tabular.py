"""The built-in module `model = "tabular"`: a multilayer perceptron for the rows of a table.

The ideas are those of RealMLP (Holzmüller et al. 2024, arXiv 2407.04491): a scaling of each input,
the neural tangent parametrization, parametric activations, weights and biases initialized from the
training data, and periodic embeddings of numbers. Piecewise linear embeddings are from Gorishniy
et al. 2022 (arXiv 2203.05556), members that share their weights from TabM (arXiv 2410.24210).

Adam moves every parameter by the same step. A parameter phi that enters as 0.1 phi therefore has a
tenth of the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOW, FAST = 0.1, 6.0
"""The learning rates of biases, activations and embeddings, and of the scaling, as factors."""
FREQUENCIES = 16
"""Waves of a number's periodic embedding."""
BINS = 16
"""Pieces of a number's piecewise linear embedding."""
MAX_ONE_HOT = 9
"""Categories of more levels get an embedding."""
SIMPLEX = 5
"""Training rows whose random mean a unit's bias puts at 0."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "selu": F.selu,
    "mish": F.mish,
    "relu": F.relu,
    "silu": F.silu,
}


class TabularNet(nn.Module):
    """A multilayer perceptron with embeddings, for float [B, inputs] -> [B, classes].

    In training the output is [B, members, classes]: each member has its own loss. Their mean is the
    prediction.

    Args:
        inputs: Number of inputs.
        classes: Number of outputs.
        features: For each input 0 if it is a number, else the number of its category.
        width: Units of each hidden layer.
        depth: Hidden layers.
        activation: `selu`, `mish`, `relu` or `silu`; each unit learns how much of it is used.
        dropout: Probability that a hidden unit is dropped, rounded to 1/256.
        numbers: What the network gets of each number: itself (`linear`), or also learned waves
            (`periodic`) or its place among the quantiles of the training set (`piecewise`).
        size: Values that a number's or category's embedding has.
        frequency: Standard deviation of the initial frequencies of `periodic`.
        members: Networks that share all weights but their scaling of the inputs and their last
            layer.

    Raises:
        ValueError: an argument is out of range.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        inputs: int,
        classes: int,
        features: Sequence[int],
        width: int = 128,
        depth: int = 3,
        activation: str = "selu",
        dropout: float = 0.1,
        numbers: str = "periodic",
        size: int = 4,
        frequency: float = 0.1,
        members: int = 1,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: {activation!r} is not one of {', '.join(ACTIVATIONS)}")
        if numbers not in EMBEDDINGS:
            raise ValueError(f"numbers: {numbers!r} is not one of {', '.join(EMBEDDINGS)}")
        counts = {"width": width, "depth": depth, "size": size, "members": members}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name}: must be at least 1, not {value}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: must be in [0, 1), not {dropout}")
        if not frequency > 0:
            raise ValueError(f"frequency: must be above 0, not {frequency}")
        self.members, self.activation = members, ACTIVATIONS[activation]
        self.dropped = round(dropout * 256)
        self.inputs = InputEmbeddings(features, numbers, size, frequency)
        widths = [self.inputs.outputs, *[width] * depth]
        self.scale = nn.Parameter(torch.zeros(widths[0]))
        self.signs = nn.Parameter(torch.zeros(members, widths[0])) if members > 1 else None
        if members > 1:
            self.register_buffer("first_signs", 2.0 * torch.randint(2, (members, widths[0])) - 1)
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList(torch.randn(a, b) for a, b in pairs)
        self.biases = nn.ParameterList(torch.randn(b) / SLOW for _, b in pairs)
        self.slopes = nn.ParameterList(torch.zeros(b) for _, b in pairs)
        self.last_weight = nn.Parameter(torch.randn(members, width, classes))
        self.last_bias = nn.Parameter(torch.zeros(members, 1, classes))
        self.is_regression = classes == 1
        self.register_buffer("low", torch.tensor(-math.inf))
        self.register_buffer("high", torch.tensor(math.inf))

    def forward(self, x: Tensor) -> Tensor:
        h = self._scale(self.inputs(x.flatten(1)))
        for layer in range(len(self.weights)):
            h = self._drop(self._activate(layer, self._linear(layer, h)))
        h = h.view(self.members, -1, h.shape[1])  # [M, B, H]
        factor = 1 / math.sqrt(h.shape[2])
        out = torch.baddbmm(SLOW * self.last_bias, h, self.last_weight, alpha=factor)  # [M, B, C]
        if self.training:
            return out.transpose(0, 1)
        mean = out.mean(0)
        return mean.clamp(self.low, self.high) if self.is_regression else mean

    @torch.no_grad()
    def initialize_from(self, x: Tensor, y: Tensor) -> None:
        """Initialize from normalized training inputs [N, D] and their targets [N].

        Each unit's input gets the standard deviation 1 over the training rows, and a bias that is 0
        at the mean of some of them. A regression's output is limited to the targets' range.
        """
        self.inputs.initialize_from(x)
        h = self._scale(self.inputs(x))
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            bias.zero_()
            z = self._linear(layer, h)
            std = z.std(0, correction=0).clamp(min=1e-6)
            weight /= std
            z = z / std
            rows = torch.randint(len(z), (SIMPLEX, z.shape[1]))
            shares = torch.empty(SIMPLEX, z.shape[1]).exponential_().to(z.dtype)
            shares /= shares.sum(0)
            bias.copy_(-(z.gather(0, rows.to(z.device)) * shares.to(z.device)).sum(0) / SLOW)
            h = self._activate(layer, z + SLOW * bias)
        if self.is_regression:
            self.low.copy_(y.min())
            self.high.copy_(y.max())

    def _scale(self, h: Tensor) -> Tensor:
        """Scale the inputs [B, P], by each member in its way: [M * B, P]."""
        h = h * (1 + FAST * self.scale)
        if self.signs is None:
            return h
        signs = self.get_buffer("first_signs") + self.signs
        return (h * signs.unsqueeze(1)).flatten(0, 1)

    def _linear(self, layer: int, h: Tensor) -> Tensor:
        factor = 1 / math.sqrt(h.shape[1])
        return torch.addmm(SLOW * self.biases[layer], h, self.weights[layer], alpha=factor)

    def _activate(self, layer: int, z: Tensor) -> Tensor:
        """Return z + a (f(z) - z), where each unit learns its a, which starts at 1."""
        return torch.lerp(z, self.activation(z), 1 + SLOW * self.slopes[layer])

    def _drop(self, h: Tensor) -> Tensor:
        """Dropout with a random byte a unit: F.dropout takes ten times as long on a CPU."""
        if not self.training or not self.dropped:
            return h
        words = torch.empty(-(-h.numel() // 8), dtype=torch.int64, device=h.device)
        random = words.random_(-(2**63), None).view(torch.uint8)[: h.numel()].view_as(h)
        return h * ((random >= self.dropped) * (256 / (256 - self.dropped))).to(h.dtype)


class InputEmbeddings(nn.Module):
    """The inputs with their embeddings, float [B, D] -> [B, outputs]."""

    def __init__(self, features: Sequence[int], numbers: str, size: int, frequency: float) -> None:
        super().__init__()
        number_places = [place for place, group in enumerate(features) if not group]
        groups: dict[int, list[int]] = {}
        for place, group in enumerate(features):
            if group:
                groups.setdefault(group, []).append(place)
        large = [places for places in groups.values() if len(places) > MAX_ONE_HOT]
        others = [p for places in groups.values() if len(places) <= MAX_ONE_HOT for p in places]
        for name, each in enumerate((number_places, others, *large)):
            places = torch.tensor(each, dtype=torch.int64)
            self.register_buffer(f"places_{name}", places, persistent=False)
        self.levels = nn.ParameterList(torch.randn(len(places), size) for places in large)
        self.numbers = EMBEDDINGS[numbers](len(number_places), size, frequency)
        self.outputs = self.numbers.outputs + len(others) + size * len(large)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            self.numbers(x.index_select(1, self.get_buffer("places_0"))),
            x.index_select(1, self.get_buffer("places_1")),
        ]
        for number, levels in enumerate(self.levels, 2):
            parts.append(x.index_select(1, self.get_buffer(f"places_{number}")) @ levels)
        return torch.cat(parts, 1)

    def initialize_from(self, x: Tensor) -> None:
        """Initialize the embeddings of numbers from training inputs [N, D]."""
        self.numbers.initialize_from(x.index_select(1, self.get_buffer("places_0")))


class LinearNumbers(nn.Module):
    """Each number as it is: [B, N] -> [B, N]."""

    def __init__(self, count: int, size: int, frequency: float) -> None:
        super().__init__()
        self.outputs = count

    def forward(self, x: Tensor) -> Tensor:
        return x

    def initialize_from(self, x: Tensor) -> None:
        """Do nothing: it has no parameters."""


class PeriodicNumbers(LinearNumbers):
    """Each number x with a linear map of cos(2 pi (f x + b)): [B, N] -> [B, N * size].

    The embedding `PBLD` of RealMLP.
    """

    def __init__(self, count: int, size: int, frequency: float) -> None:
        super().__init__(count, size, frequency)
        self.outputs = count * size
        waves = (count, 1, FREQUENCIES)
        self.frequencies = nn.Parameter(frequency * torch.randn(waves) / SLOW)
        self.phases = nn.Parameter(math.pi * (2 * torch.rand(waves) - 1) / SLOW)
        bound = 1 / math.sqrt(FREQUENCIES)
        maps = bound * (2 * torch.rand(count, FREQUENCIES, size - 1) - 1)
        self.maps = nn.Parameter(maps / SLOW)
        self.shifts = nn.Parameter(bound * (2 * torch.rand(count, 1, size - 1) - 1) / SLOW)

    def forward(self, x: Tensor) -> Tensor:
        column = x.t().unsqueeze(2)  # [N, B, 1]
        turns = torch.addcmul(
            SLOW * self.phases, column, 2 * math.pi * SLOW * self.frequencies
        )  # [N, B, FREQUENCIES]
        mapped = torch.baddbmm(SLOW * self.shifts, turns.cos(), SLOW * self.maps)
        return torch.cat([column, mapped], 2).transpose(0, 1).flatten(1)


class PiecewiseNumbers(LinearNumbers):
    """Each number with a linear map of its place in each bin: [B, N] -> [B, N * size].

    A bin between two quantiles of the training set is 0 below it, 1 above it, and linear in it.
    """

    edges: Tensor

    def __init__(self, count: int, size: int, frequency: float) -> None:
        super().__init__(count, size, frequency)
        self.outputs = count * size
        self.register_buffer("edges", torch.linspace(-2, 2, BINS + 1).repeat(count, 1))
        self.maps = nn.Parameter(torch.randn(count, BINS, size - 1) / SLOW)

    def forward(self, x: Tensor) -> Tensor:
        column, edges = x.t().unsqueeze(2), self.edges.unsqueeze(1)  # [N, B, 1], [N, 1, BINS + 1]
        widths = (edges[..., 1:] - edges[..., :-1]).clamp(min=1e-6)
        place = ((column - edges[..., :-1]) / widths).clamp(0, 1)  # [N, B, BINS]
        mapped = place @ (SLOW * self.maps) / math.sqrt(BINS)
        return torch.cat([column, mapped], 2).transpose(0, 1).flatten(1)

    def initialize_from(self, x: Tensor) -> None:
        """Put the edges at the quantiles of training inputs [N, numbers]."""
        quantiles = torch.linspace(0, 1, BINS + 1, dtype=x.dtype, device=x.device)
        self.edges.copy_(torch.quantile(x, quantiles, dim=0).t())


EMBEDDINGS: dict[str, type[LinearNumbers]] = {
    "linear": LinearNumbers,
    "periodic": PeriodicNumbers,
    "piecewise": PiecewiseNumbers,
}
"""The embeddings of numbers by name."""
