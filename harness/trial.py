"""What a trial trains: `TrialSpec`, the settings that together with the data determine its result.

Everything here is a frozen value of the standard library, so that it crosses process boundaries,
goes into JSON and is compared by value. `harness.results` has what a trial returns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from harness.model_arguments import (
    ARGUMENT_PREFIX,
    BUILT_IN_FIELDS,
    check_model_name,
    describe_model,
    explain_built_in_field,
    explain_missing_model,
    freeze,
    unfreeze,
)

Activation = Literal[
    "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid"
]  # fmt: skip
BatchNorm = Literal["none", "before", "after"]
Init = Literal["default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"]
ClassWeights = Literal["none", "balanced"]
TargetTransform = Literal["standard", "log", "quantile"]
Loss = Literal["cross-entropy", "mse", "bce", "quantile"]
REGRESSION_LOSSES: tuple[Loss, ...] = ("mse", "quantile")
AugmentName = Literal["shift", "rotate", "scale", "elastic", "flip", "erase"]
OptimizerName = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "step", "cosine", "flat-cosine", "coslog4", "one-cycle"]


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """The settings of a trial; with the data they determine its result.

    Each field is a key of [train] and [space] in a study file, except for `seed` (a key of
    [study]), `arguments` (written `arguments.<name>`) and `code` (set by harness).

    Raises:
        ValueError: a value cannot be trained; the message starts with the field.
    """

    model: str = ""
    """The torch.nn.Module of a custom model, written `package.module:Class`; or a module that is
    part of harness: `tabular` for tables, `conv` for images. Empty (the default) for the built-in
    network, which `hidden`, `activation`, `batch_norm`, `bias`, `init` and `dropout` describe."""
    arguments: tuple[tuple[str, Any], ...] = ()
    """Arguments of the constructor of the custom model, of `tabular` or of `conv`. A value is a
    boolean, a number, a string, or a list of these."""
    # (name, value), sorted by name; a list is a tuple
    code: str = ""
    """The source files that the custom model was made of, such as `nets.py 3f2a91c0d2e4`: each with
    the start of its SHA-256, see harness.models.user_code. A trial is refused if the files
    differ. Empty (the default) accepts any."""
    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers, input side first, 1 or more each. Empty for a linear model.
    Default (300, 100). [space] may sample it as `depth` and `width`."""
    activation: Activation = "relu"
    """Activation function of the hidden layers, torch's of the same name. Default `relu`."""
    batch_norm: BatchNorm = "none"
    """Batch normalization of the hidden layers: `none` (the default), `before` the activation, or
    `after` it. Needs a batch_size of 2 or more."""
    bias: bool | None = None
    """Whether the Linear layers have biases. None (the default) gives a bias to each, except for
    those followed directly by a BatchNorm, where its gradient would be zero."""
    init: Init = "default"
    """Initialization of the weights, torch's of the same name. `default` is torch.nn.Linear's."""
    dropout: float = 0.0
    """Probability that a hidden unit is dropped during training, in [0, 1). Default 0."""
    loss: Loss = "cross-entropy"
    """The loss that is minimized. For classification `cross-entropy` (the default); `mse` of the
    logits to the one-hot target; or `bce`, the binary cross-entropy of each class against the
    others. `mse` and `bce` are means over the classes too. A regression takes `mse` of its output
    to the transformed target, or `quantile`, the pinball loss: the model then predicts the
    quantile of level `quantile` instead of the mean, 0.5 for the median."""
    target_transform: TargetTransform = "standard"
    """Transform of a regression's target, fitted on the training set: `standard` (the default)
    subtracts the mean and divides by the standard deviation; `log` does so with the logarithm, for
    targets above 0; `quantile` maps the targets to a normal distribution by their ranks. The loss
    is measured on the transformed target; RMSE, MAE, R2 and predictions are in the target's units.
    Predictions are limited: with `log` to between a tenth of the smallest training target and ten
    times the largest, with `quantile` to between the smallest and the largest."""
    quantile: float = 0.5
    """The level of `loss = "quantile"` and of the objective `val/quantile_loss`, in (0, 1): 0.9 for
    a value that 90 % of the targets are below. Default 0.5."""
    optimizer: OptimizerName = "adam"
    """The optimizer: `sgd`, `adam` (the default) or `adamw`, each as in torch.optim."""
    learning_rate: float = 1e-3
    """Step size of the optimizer, above 0; the schedule may lower it. Default 0.001."""
    momentum: float = 0.0
    """Momentum of `sgd`, in [0, 1). Default 0."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients of `adam` and `adamw`, in (0, 1); beta1 is 0.9.
    Default 0.999, torch's. A lower value adapts faster, for short trainings: 0.95 in RealMLP."""
    nesterov: bool = False
    """Nesterov momentum for `sgd` with a momentum above 0; has no effect otherwise. Default
    false."""
    weight_decay: float = 0.01
    """Decoupled weight decay of `adamw`, 0 or more: each step subtracts learning_rate *
    weight_decay * p from every parameter p. Default 0.01, torch's. For a penalty in the loss, with
    any optimizer, see `l2`."""
    schedule: Schedule = "constant"
    """Learning rate over the steps of all epochs. `constant` (the default) keeps it. `step` divides
    it by 10 after half of the steps, and by 10 again after three quarters. `cosine` lowers it from
    learning_rate to 0. `flat-cosine` keeps it for half of the steps, then lowers it as `cosine`.
    `coslog4` raises it from 0 and lowers it to 0 four times, each time twice as long:
    learning_rate (1 - cos(2 pi log2(1 + 15 t))) / 2 after the share t of the steps, from RealMLP
    (arXiv 2407.04491). `one-cycle` raises it to learning_rate over the first 30 % and then lowers
    it to nearly 0, as torch's OneCycleLR with cycle_momentum=False does: the momentum stays."""
    batch_size: int = 64
    """Examples per step, 1 or more. Default 64. An epoch has as many full batches as the training
    set allows; the few examples that remain, others in each epoch, are left out."""
    l1: float = 0.0
    """Penalty l1 * sum |p| over all parameters, added to the loss, 0 or more. Default 0."""
    l2: float = 0.0
    """Penalty l2 * sum p^2 over all parameters, added to the loss, 0 or more. Default 0."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes during training, in [0, 1).
    Default 0. Not for a regression."""
    class_weights: ClassWeights = "none"
    """Weights of the classes in the training loss. `balanced` gives a class n / (classes * its
    count) in the training set, as scikit-learn does, so that rare classes count as much as frequent
    ones. The loss of a batch is the weighted mean, as torch's with `weight=`. Validation and test
    losses are not weighted. Default `none`. Not for a regression."""
    augment: tuple[AugmentName, ...] = ()
    """Random changes of each training image, new ones in each epoch: `shift` by up to 8 % of its
    side, `rotate` by up to 10 degrees, `scale` by up to 10 %, `elastic` distort it like rubber,
    `flip` half of the images horizontally, `erase` a square of half of them. Default none."""
    epochs: int = 10
    """Passes over the training set, 1 or more. Default 10. The best epoch's weights are kept."""
    patience: int = 0
    """Stop after this many epochs without an improvement of the objective. 0 (the default) never
    stops early."""
    evaluate_every: int = 1
    """Validate every so many epochs, and after the last one, 1 or more. Default 1. Only validated
    epochs are recorded, may be the best, and may be pruned."""
    seed: int = 0
    """Seed of the initial weights, the order of the examples, dropout and augmentation, 0 or more.
    Default 0."""

    def __post_init__(self) -> None:
        self._check_model()
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden: every width must be at least 1, not {list(self.hidden)}")
        choices = [(name, getattr(self, name), known) for name, known in CHOICES.items()]
        choices += [("augment", name, get_args(AugmentName)) for name in self.augment]
        for name, value, known in choices:
            if value not in known:
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(known)}")
        for name in ("dropout", "momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: must be in [0, 1), not {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate: must be above 0, not {self.learning_rate}")
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile: must be in (0, 1), not {self.quantile}")
        if not 0 < self.beta2 < 1:
            raise ValueError(f"beta2: must be in (0, 1), not {self.beta2}")
        for name in ("l1", "l2", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be 0 or more, not {getattr(self, name)}")
        minima = {"batch_size": 1, "epochs": 1, "patience": 0, "evaluate_every": 1, "seed": 0}
        for name, minimum in minima.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name}: must be at least {minimum}, not {getattr(self, name)}")
        if self.batch_norm != "none" and self.batch_size < 2:
            raise ValueError("batch_size: BatchNorm needs at least 2 examples in a batch, not 1")

    def _check_model(self) -> None:
        if self.arguments and not self.model:
            raise ValueError(explain_missing_model(self.arguments[0][0]))
        if self.model:
            check_model_name(self.model)
            for field in fields(self):
                if field.name in BUILT_IN_FIELDS and getattr(self, field.name) != field.default:
                    raise ValueError(explain_built_in_field(field.name, self.model))

    def is_evaluated(self, epoch: int) -> bool:
        """Whether this epoch, counted from 1, is validated and reported."""
        return epoch % self.evaluate_every == 0 or epoch == self.epochs

    @property
    def layer_biases(self) -> tuple[bool, ...]:
        """Whether each Linear layer has a bias, the output layer last."""
        if self.bias is not None:
            return (self.bias,) * (len(self.hidden) + 1)
        return (self.batch_norm != "before",) * len(self.hidden) + (True,)

    def describe(self, more: Collection[str] = ()) -> str:
        """A short name, such as `256-128 · bn before · adam 0.003` or `SmallConv() · sgd 0.1`.

        Further settings in `more` are added: `64 · adam 0.003 · dropout=0.2`.
        """
        parts = ["-".join(map(str, self.hidden)) or "linear"]
        if self.model:
            parts = [describe_model(self.model, self.arguments)]
        if self.batch_norm != "none":
            parts.append(f"bn {self.batch_norm}")
        if self.augment:
            parts.append("+".join(self.augment))
        parts.append(f"{self.optimizer} {self.learning_rate:.3g}")
        for name, value in self.to_dict().items():
            if name in more and name not in DESCRIBED and not name.startswith(ARGUMENT_PREFIX):
                parts.append(f"{name}={f'{value:.3g}' if isinstance(value, float) else value}")
        return " · ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The settings by name as plain values, for JSON; `from_dict` reads them.

        Tuples become lists, and an argument of a custom model has the key `arguments.<name>`.
        Fields that do not apply are left out: those of the built-in network for a custom model,
        `model` and `code` for the built-in network.
        """
        arguments = {ARGUMENT_PREFIX + name: value for name, value in self.arguments}
        values = {"model": self.model, **arguments} if self.model else {}
        left_out = ("model", "arguments", *(BUILT_IN_FIELDS if self.model else ("code",)))
        values |= {name: getattr(self, name) for name in SPEC_FIELDS if name not in left_out}
        return {name: unfreeze(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialSpec:
        """Read what `to_dict` wrote; a missing field gets its default.

        Raises ValueError for a field that this version of harness does not have.
        """
        arguments = {
            name.removeprefix(ARGUMENT_PREFIX): freeze(value)
            for name, value in values.items()
            if name.startswith(ARGUMENT_PREFIX)
        }
        fields = {k: value for k, value in values.items() if not k.startswith(ARGUMENT_PREFIX)}
        for name in fields:
            if name not in SPEC_FIELDS or name == "arguments":
                raise ValueError(f"{name}: this version of harness has no such setting")
        fields |= {name: tuple(fields[name]) for name in LIST_FIELDS if name in fields}
        return cls(**fields, arguments=tuple(sorted(arguments.items())))


SPEC_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(TrialSpec))
FIELD_TYPES: dict[str, Any] = get_type_hints(TrialSpec)
CHOICES: dict[str, tuple[str, ...]] = {
    name: get_args(hint) for name, hint in FIELD_TYPES.items() if get_origin(hint) is Literal
}
"""The possible values of each field that has a finite set of them."""
DESCRIBED = ("model", "hidden", "batch_norm", "augment", "optimizer", "learning_rate")
"""The fields in each description."""
LIST_FIELDS = ("hidden", "augment")
"""Fields that are lists in JSON and TOML, tuples in a TrialSpec."""
WHOLE = -1
"""The number of the split that trains on all training and validation examples."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One attempt at training a TrialSpec, as the driver gives it to an executor."""

    number: int
    """Number in the study, counted from 0; each attempt has its own."""
    uid: str
    """Unique over all studies; the trial's run in MLflow is found by it."""
    spec: TrialSpec
    attempt: int = 1
    """1, or more for the retry of a trial that was interrupted."""
    confirms: int | None = None
    """The number of the trial whose settings a confirmation run repeats with another seed; None for
    a trial of the study itself."""
    name: str = ""
    """The name of its [[trial]] table, with its seed if the study has several; else empty."""
    costs: tuple[tuple[str, float], ...] = ()
    """Names and values of further metrics `cost/...` of its run, known before it is trained."""
    split: int = 0
    """The split that it is trained on: 0 for the study's own, 1 for the first that is drawn again,
    for a confirmation run; WHOLE for the final model of a study with folds."""

    @property
    def label(self) -> str:
        """`trial 12`, or the name of its [[trial]] table."""
        return self.name or f"trial {self.title}"

    @property
    def title(self) -> str:
        """`12`, or `12, split 2` for a confirmation run; `12, seed 3` on the study's own split."""
        if self.confirms is None:
            return str(self.number)
        run = f"split {self.split}" if self.split else f"seed {self.spec.seed}"
        return f"{self.confirms}, {run}"


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from any values: equal on every machine, unrelated for similar values."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
