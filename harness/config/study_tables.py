"""The tables of a study file as pydantic models: every key, its type and its default."""

from __future__ import annotations

import codecs
import math
import re
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.data.types import MISSING_TEXTS, ColumnKind
from harness.errors import did_you_mean
from harness.results import MAX_FOLDS, Cost, Objective, Task

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""A study's name is also that of files."""
MAX_TRIALS = 1_000_000
"""A larger number is a typing error, and a list of so many trials fills the memory."""
MAX_SEED = 2**32 - 1
"""The largest seed that NumPy and scikit-learn take."""


class Table(BaseModel):
    """A table of a study file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyTable(Table):
    """[study]: how settings are chosen, and by which metric they are compared."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    """What the study is about, in one line, for `harness studies`."""
    minutes: float | None = Field(default=None, gt=0)
    """Measured time of the whole command on 2 CPU cores, for `harness studies`."""
    trials: int = Field(default=50, ge=1, le=MAX_TRIALS)
    """Number of trials; of a grid or list by default one for each setting and seed."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the sampler and of every trial."""
    objective: Objective = "val/accuracy"
    """The metric by which trials are compared and pruned. For classes `val/accuracy` (the default),
    `val/loss`, `val/auc`, `val/f1`, `val/balanced_accuracy`, `val/log_loss` or `val/brier`; for a
    regression `val/rmse` (the default), `val/mae`, `val/loss`, `val/r2` or `val/quantile_loss`.
    For more than two classes, AUC is the mean of each against the others; F1 and balanced accuracy
    are always means over the classes. A class without validation examples is left out of these
    means."""
    objectives: list[Literal[Objective, Cost]] = []
    """Two or three objectives at once, such as `["val/accuracy", "parameters"]`. The search looks
    for the Pareto front: the trials for which no other is as good by every objective and better by
    one. The first is the `objective`, by which the champion is chosen. The others are further
    validation metrics, `parameters` or `milliseconds` (see [limits]). No trial is pruned."""
    sampler: Literal["tpe", "gp", "random", "qmc", "grid", "list"] = "tpe"
    """How settings are chosen. `tpe` (Parzen estimators), `gp` (a Gaussian process), `random` and
    `qmc` (quasi-random) draw them from [space]; `grid` takes every combination of the choices in
    [space]; `list` takes the [[trial]] tables, and is the default where there are any."""
    seeds: int = Field(default=1, ge=1, le=MAX_TRIALS)
    """Number of seeds for each setting of a grid or list: `seed`, `seed` + 1, ..."""
    pruner: Literal["none", "median", "successive-halving", "hyperband", "wilcoxon"] = "median"
    """How unpromising trials are stopped early; `none` by default for a grid or list. `wilcoxon`
    needs 5 folds or more: it stops a trial whose folds are significantly worse than those of the
    best trial after the same epoch."""
    calibrated: bool = False
    """For classes: scale the champion's probabilities by a temperature that is fitted on the
    validation set. Its predictions stay the same. May change when a study is continued."""
    warm_start: str = ""
    """The name of an earlier study on record: the first trials have its best settings, as far as
    [space] has them."""
    timeout: str | None = None
    """Start no trial after this time: `90s`, `10m`, `2h`. No limit by default."""
    stop_when: str = "never"
    """When a search ends before its last trial: `never`; after so many trials without a better
    one, such as `30 trials`; or `settled`: from 20 trials on, once half as many would come within
    one standard error of the best score (within 1 % for objectives other than accuracy and RMSE).
    """
    hung_after: str = "60s"
    """Replace a worker that reports no epoch for this long, and for ten times the slowest epoch."""

    @field_validator("timeout", "hung_after")
    @classmethod
    def _is_duration(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    @field_validator("stop_when")
    @classmethod
    def _is_stop_rule(cls, value: str) -> str:
        parse_patience(value)
        return value


class DataTable(Table):
    """[data]: the dataset, and how it is split."""

    name: str
    """A built-in dataset, or the path of a file or folder."""
    task: Task = "classes"
    """Predict a class, or a number (`regression`)."""
    target: str = ""
    """The column of a table to predict."""
    ignore: list[str] = []
    """Columns of a table to leave out."""
    size: list[int] = []
    """Resize the images of a folder to this height and width."""
    sheet: str = ""
    """The sheet of an Excel file; by default the first visible one that has the target."""
    encoding: str = ""
    """The encoding of a text file, such as `cp1250` or `shift_jis`; by default UTF-8, UTF-16, or
    else Windows-1252."""
    decimal: Literal["", ".", ","] = ""
    """The decimal mark of numbers that are written as strings, such as `12,5` or `$1,234`; guessed
    by default."""
    missing: list[str] = list(MISSING_TEXTS)
    """The strings of a table that count as missing; an empty cell always does. With [], the string
    NA is a category."""
    max_categories: int = Field(default=0, ge=0)
    """The most categories of a text column that get a feature each; all others share one. By
    default 50, and at most half of the rows."""
    columns: dict[str, ColumnKind] = {}
    """The kinds of a table's columns that are not guessed, as `zip = "category"`: `number`,
    `category`, `boolean`, `date`, `date-dmy` or `date-mdy` for the day or the month first, `time`,
    or `ignore`."""
    group: str = ""
    """A column of a table: rows with the same value stay together in the training, validation or
    test set. It is not a feature."""
    time: str = ""
    """A column of numbers or dates: the test set has the last rows, and the validation set those
    before them."""
    stratify: bool = False
    """For a regression: give each set the same share of low and high targets."""
    validation: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the training data held out as the validation set. Leave it out with `folds`."""
    folds: int = Field(default=0, ge=0, le=MAX_FOLDS)
    """Cross-validation with 2 to 20 folds: each trial is trained once for each fold, and its score
    is over all folds' validation sets. 0 for one validation set. With `time`, each fold validates
    on the rows after its training rows, and the first rows are only trained on."""
    reshuffle: bool = False
    """With `folds`: draw other folds for each trial, from its settings and seed, so that the search
    does not adapt to one division into folds."""
    test: float = Field(default=0.2, ge=0, lt=1)
    """Fraction of all data held out as the test set, if the dataset has no test set; 0 holds out
    none, where the model is tested elsewhere."""
    own_test: bool = True
    """False does not use the dataset's test set: `test` of the training data is held out
    instead."""
    own_validation: bool = False
    """True validates on the validation set that the dataset comes with, such as a folder `val`:
    `validation` is not used. By default that set is a part of the training data."""
    classes: list[str] = []
    """The classes to keep; all by default."""
    drop_duplicates: bool = False
    """Leave out of the training set what also occurs in the validation or test set, byte for
    byte."""
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the split into training, validation and test set."""
    normalize: bool | Literal["robust", "quantile"] = True
    """True subtracts the training set's mean and divides by its standard deviation. For the numbers
    of a table also `robust`, which subtracts the median, divides by the distance of the quartiles
    and clips smoothly at 3, and `quantile`, which maps to a normal distribution. Both are part of
    the champion: it takes raw rows."""

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: list[int]) -> list[int]:
        if value and (len(value) != 2 or min(value) < 1):
            raise ValueError(f"must be [height, width], such as [28, 28], not {value}")
        return value

    @field_validator("folds")
    @classmethod
    def _are_folds(cls, value: int) -> int:
        if value == 1:
            raise ValueError("1 is no cross-validation; use 2 or more, or 0 for one validation set")
        return value

    @model_validator(mode="before")
    @classmethod
    def _has_validation_of_folds(cls, values: Any) -> Any:
        """Set `validation` to the share of one fold; a recorded table has it already."""
        folds = values.get("folds") if isinstance(values, dict) else None
        if type(folds) is not int or not 2 <= folds <= MAX_FOLDS:
            return values
        parts = folds + 1 if values.get("time") else folds
        share = values.get("validation", 1 / parts)
        if not isinstance(share, int | float) or not math.isclose(share, 1 / parts, abs_tol=1e-6):
            raise ValueError(
                f"validation: {share}, but {folds} folds validate on 1/{parts} each; leave out one "
                "of them"
            )
        return {**values, "validation": 1 / parts}

    @model_validator(mode="after")
    def _has_one_rule(self) -> DataTable:
        if self.group and self.time:
            raise ValueError("group: excludes time; leave out one of them")
        if self.stratify and (self.group or self.time):
            raise ValueError("stratify: excludes group and time; leave it out")
        if self.stratify and self.task == "classes":
            raise ValueError("stratify: classes always have equal shares; leave it out")
        if self.own_validation and (self.group or self.time):
            raise ValueError("own_validation: excludes group and time; leave out one of them")
        if self.own_validation and self.folds:
            raise ValueError("own_validation: excludes folds; leave out one of them")
        if self.reshuffle and not self.folds:
            raise ValueError("reshuffle: needs folds, such as folds = 5; add them, or leave it out")
        if self.reshuffle and self.time:
            raise ValueError("reshuffle: excludes time, whose folds are in order; leave it out")
        return self

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError:
            raise ValueError(f"'{value}' is no encoding that Python knows") from None
        return value

    @field_validator("columns", mode="before")
    @classmethod
    def _are_kinds(cls, value: object) -> object:
        known = get_args(ColumnKind)
        for column, kind in value.items() if isinstance(value, dict) else ():
            if kind not in known:
                raise ValueError(
                    f"'{column}' is one of {', '.join(known)}, not {kind!r}"
                    f"{did_you_mean(str(kind), known)}"
                )
        return value

    @field_validator("classes")
    @classmethod
    def _are_distinct(cls, value: list[str]) -> list[str]:
        if len(value) == 1:
            raise ValueError(f"a classifier needs two classes or more, not only '{value[0]}'")
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"'{name}' is listed twice; leave out one of them")
        return value


def parse_patience(stop_when: str) -> int | None:
    """Parse the number of `30 trials`; None for `never` and `settled`. Raises ValueError."""
    if stop_when in ("never", "settled"):
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,5}) trials?", stop_when)
    if not match:
        raise ValueError(
            f"{stop_when!r} is no stop rule; write never, settled, or a number such as 30 trials"
        )
    return int(match[1])


def parse_duration(duration: str) -> float:
    """Parse `90s`, `10m`, `2h` or plain seconds. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smh]?)", duration.strip())
    if not match or not float(match[1]):
        raise ValueError(f"{duration!r} is not a duration; write 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
