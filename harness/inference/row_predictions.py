"""A model's predictions for the rows of a table, for people and as a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, DataError
from harness.inference import label_sets, prediction_interval
from harness.system.terminal import align_labels, escape

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 20
PROBABILITY = "probability "
"""The start of the name of a column of probabilities."""
SHOWN_PROBABILITIES = 4
"""Columns of probabilities in a terminal; of more classes only that of the predicted one."""
SET_COLUMN = "set"
OUTPUT_SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet", ".feather", ".json")


@dataclass(frozen=True, eq=False)
class RowPredictions:
    """A model's predictions for the rows of a table."""

    name: str
    """The trial: `STUDY/12`."""
    run_id: str
    target: str
    rows: pd.DataFrame
    """The raw rows."""
    predictions: pd.DataFrame
    """With the index of `rows`: `prediction`, then `probability LABEL` of each class, or `low` and
    `high` of a number's interval."""
    has_interval: bool
    has_folds: bool = False
    """Whether interval and sets are from the networks of folds."""
    notes: tuple[str, ...] = ()

    @property
    def has_sets(self) -> bool:
        """Whether there is a column with the labels of each row's set."""
        return SET_COLUMN in self.predictions

    @property
    def has_probabilities(self) -> bool:
        """Whether there is a probability of each class."""
        return any(str(each).startswith(PROBABILITY) for each in self.predictions)

    @property
    def _interval(self) -> str:
        each = prediction_interval
        return each.FOLDS_DESCRIPTION if self.has_folds else each.DESCRIPTION

    @property
    def _set(self) -> str:
        return label_sets.FOLDS_DESCRIPTION if self.has_folds else label_sets.DESCRIPTION

    def text(self, width: int | None = None) -> str:
        """Format the first rows and the notes for a terminal."""
        shown = self.predictions.head(SHOWN_ROWS)
        probabilities = [each for each in shown.columns if each.startswith(PROBABILITY)]
        if len(probabilities) > SHOWN_PROBABILITIES:
            largest = shown[probabilities].max(axis=1)
            shown = shown.drop(columns=probabilities).assign(probability=largest)
        shown = shown.rename(columns={"prediction": self.target})
        formats = [
            "{:.4f}" if name.startswith("probability") else "{:,.6g}" for name in shown.columns
        ]
        formatted = [
            [
                form.format(value) if isinstance(value, float) else str(value)
                for form, value in zip(formats, row, strict=True)
            ]
            for row in shown.astype(object).itertuples(index=False)
        ]
        cells = [["row", *map(str, shown.columns)]]
        cells += [[str(number), *row] for number, row in enumerate(formatted, 1)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(f"{cell:>{size}}" for cell, size in zip(row, widths, strict=True))
            for row in cells
        ]
        more = len(self.predictions) - SHOWN_ROWS
        if more > 0:
            lines.append(f"and {more:,} more rows; --out scored.csv writes all of them")
        return "\n".join([*map(escape, lines), "", self.describe(width)])

    def describe(self, width: int | None = None) -> str:
        """Describe the model, the interval and what was ignored."""
        labels = [("model", self.name)]
        if self.has_interval:
            labels.append(("interval", self._interval))
        if self.has_sets:
            labels.append(("set", self._set))
        labels += [("note", note) for note in self.notes]
        return align_labels([(label, escape(text)) for label, text in labels], width)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for --format json."""
        return {
            "model": self.name,
            "run_id": self.run_id,
            "target": self.target,
            "interval": self._interval if self.has_interval else None,
            **({"set": self._set} if self.has_sets else {}),
            "notes": list(self.notes),
            "rows": json.loads(self.predictions.to_json(orient="records")),
        }

    def write(self, path: Path) -> None:
        """Write the raw rows with the predictions beside them. Raises UserError."""
        table = self.rows.copy()
        for column in self.predictions.columns:
            name = column
            while name in table.columns:
                name = f"{name} of {self.name}"
            table[name] = self.predictions[column]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(table, path)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def check_output(path: Path, source: str) -> None:
    """Raise ConfigError if a table cannot be written to that path."""
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ConfigError(f"--out {path}: a table ends in one of {', '.join(OUTPUT_SUFFIXES)}")
    if path.exists() and path.samefile(source):
        raise ConfigError(f"--out {path}: is the table to predict; choose another file")


def _write(table: pd.DataFrame, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    elif suffix == ".xlsx":
        table.to_excel(path, index=False)
    elif suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif suffix == ".feather":
        table.reset_index(drop=True).to_feather(path)
    else:
        path.write_text(table.to_json(orient="records", force_ascii=False), encoding="utf-8")
