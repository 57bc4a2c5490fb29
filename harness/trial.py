"""A trial: what is to be trained; with harness.results, what came of it.

Frozen values of the standard library only, so that they cross process boundaries, go into JSON
and are compared by value. A `TrialSpec` and the data determine the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from harness.model_arguments import (
    ARGUMENT,
    BUILT_IN,
    check_name,
    described,
    frozen,
    no_model,
    not_its_own,
    thawed,
)

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
BatchNorm = Literal["none", "before", "after"]
Init = Literal["default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"]
Loss = Literal["cross-entropy", "mse", "bce"]
AugmentName = Literal["shift", "rotate", "scale", "flip", "erase"]
OptimizerName = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "step", "cosine", "one-cycle"]

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": get_args(Activation),
    "batch_norm": get_args(BatchNorm),
    "init": get_args(Init),
    "loss": get_args(Loss),
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(Schedule),
}


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """Everything that determines a trial's result, its data apart.

    Raises ValueError, naming the field, for a value that cannot be trained.
    """

    model: str = ""
    """A torch.nn.Module of one's own, `package.module:Class`, see harness.own_model; empty for the
    built-in network, which the fields of BUILT_IN describe."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """Its constructor's, as (name, value), by name. Values are true or false, numbers, texts, or
    tuples of these."""
    code: str = ""
    """The files that it is made of, `nets.py 3f2a91c0d2e4`, see harness.imported.code_of; of others
    it is not made. Empty takes what is there."""
    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers, input side first; empty for a linear classifier."""
    activation: Activation = "relu"
    batch_norm: BatchNorm = "none"
    """Where BatchNorm stands: nowhere, or before or after the activation."""
    bias: bool | None = None
    """Biases in the Linear layers; None leaves out those in front of a BatchNorm, whose true
    gradient is zero."""
    init: Init = "default"
    """`default` is torch.nn.Linear's own."""
    dropout: float = 0.0
    """Probability that a hidden unit is dropped while training."""
    loss: Loss = "cross-entropy"
    """Beside it `mse`, of the logits to the one-hot target, and `bce`, of each class against the
    others; both are means over the classes too. A regression takes `mse`, of its one output to
    the standardised target."""
    optimizer: OptimizerName = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    """For sgd; those of adam and adamw are torch's (0.9, 0.999)."""
    nesterov: bool = False
    """For sgd with momentum; without, it changes nothing."""
    weight_decay: float = 0.01
    """For adamw: each step takes learning_rate * weight_decay of every parameter away, beside the
    loss; 0.01 is torch's."""
    schedule: Schedule = "constant"
    """`step` divides the rate by 10 after half and again after three quarters of all steps;
    `cosine` falls from learning_rate to 0; `one-cycle` rises to learning_rate over the first 30 %
    and falls to nearly 0, as torch's OneCycleLR."""
    batch_size: int = 64
    """An epoch is as many full batches as there are; the rest, another one each epoch, waits."""
    l1: float = 0.0
    """Penalty l1 * sum |p| over all parameters, added to the loss."""
    l2: float = 0.0
    """Penalty l2 * sum p^2 over all parameters, added to the loss."""
    label_smoothing: float = 0.0
    augment: tuple[AugmentName, ...] = ()
    """What is done to each training picture anew: shift by up to 8 % of its side, rotate by up to
    10 degrees, scale by up to 10 %, flip half of them, erase a square of half of them."""
    epochs: int = 10
    patience: int = 0
    """Stop after so many epochs without improvement of the objective; 0 never stops."""
    evaluate_every: int = 1
    """Validate, report and judge every so many epochs, and after the last."""
    seed: int = 0
    """Seeds the initial weights, the order of the batches and dropout."""

    def __post_init__(self) -> None:
        self._check_model()
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden: every width must be at least 1, not {list(self.hidden)}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: {getattr(self, name)!r} is none of {', '.join(known)}")
        for change in self.augment:
            if change not in get_args(AugmentName):
                raise ValueError(
                    f"augment: {change!r} is none of {', '.join(get_args(AugmentName))}"
                )
        for name in ("dropout", "momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: must be in [0, 1), not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: must be above 0, not {self.learning_rate}")
        for name in ("l1", "l2", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be 0 or more, not {getattr(self, name)}")
        leasts = {"batch_size": 1, "epochs": 1, "patience": 0, "evaluate_every": 1, "seed": 0}
        for name, least in leasts.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, not {getattr(self, name)}")
        if self.batch_norm != "none" and self.batch_size < 2:
            raise ValueError("batch_size: BatchNorm needs at least 2 examples in a batch, not 1")

    def _check_model(self) -> None:
        if self.arguments and not self.model:
            raise ValueError(no_model(self.arguments[0][0]))
        if self.model:
            check_name(self.model)
            for field in fields(self):
                if field.name in BUILT_IN and getattr(self, field.name) != field.default:
                    raise ValueError(not_its_own(field.name, self.model))

    def evaluates(self, epoch: int) -> bool:
        """Whether this epoch is validated and reported."""
        return epoch % self.evaluate_every == 0 or epoch == self.epochs

    @property
    def layer_biases(self) -> tuple[bool, ...]:
        """For each Linear, the output layer included, whether it has a bias."""
        if self.bias is not None:
            return (self.bias,) * (len(self.hidden) + 1)
        return (self.batch_norm != "before",) * len(self.hidden) + (True,)

    def describe(self) -> str:
        """A short name: `256-128 · bn before · adam 3e-03`, `SmallConv(channels=16) · sgd 0.1`."""
        parts = ["-".join(map(str, self.hidden)) or "linear"]
        if self.model:
            parts = [described(self.model, self.arguments)]
        if self.batch_norm != "none":
            parts.append(f"bn {self.batch_norm}")
        if self.loss != "cross-entropy":
            parts.append(self.loss)
        if self.augment:
            parts.append("+".join(self.augment))
        parts.append(f"{self.optimizer} {self.learning_rate:.3g}")
        return " · ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Settings by name, as plain values: what goes into JSON and comes back by `from_dict`.

        Tuples are lists, an argument of the model stands under `arguments.<name>`. What does not
        apply is left out: BUILT_IN of a model of one's own, `model` and `code` of the built-in one.
        """
        own = {ARGUMENT + name: value for name, value in self.arguments}
        values = {"model": self.model, **own} if self.model else {}
        gone = ("model", "arguments", *(BUILT_IN if self.model else ("code",)))
        values |= {name: getattr(self, name) for name in SPEC_FIELDS if name not in gone}
        return {name: thawed(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialSpec:
        """Raises ValueError for settings of a version that has others."""
        own = {name: value for name, value in values.items() if name.startswith(ARGUMENT)}
        fields = {name: value for name, value in values.items() if name not in own}
        for name in fields:
            if name not in SPEC_FIELDS or name == "arguments":
                raise ValueError(f"{name}: no setting that this version of harness knows")
        fields |= {name: tuple(fields[name]) for name in LISTS if name in fields}
        named = ((name.removeprefix(ARGUMENT), frozen(value)) for name, value in own.items())
        return cls(**fields, arguments=tuple(sorted(named)))


LISTS = ("hidden", "augment")
SPEC_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(TrialSpec))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attempt at training one spec, as the driver hands it to an executor."""

    number: int
    uid: str
    """Unique over all studies; the tracker finds a run by it."""
    spec: TrialSpec
    attempt: int = 1
    confirms: int | None = None
    """The trial of the study whose settings these are, with another seed; None for a trial."""

    @property
    def title(self) -> str:
        """What people know it by: `12`, or `12, seed 3`."""
        if self.confirms is None:
            return str(self.number)
        return f"{self.confirms}, seed {self.spec.seed}"


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from any values: the same on every machine, unrelated for near values."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
