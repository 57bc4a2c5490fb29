"""CSV and Excel files as data: columns, targets, statistics, and what is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from harness.data.builtin import find_dataset
from harness.data.leakage import hash_examples
from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import Split, SealedTest, load_splits
from harness.data.types import DataOptions
from harness.errors import ConfigError, DataError
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.tracking.mlflow.naming import escape_class_names

ROWS = 200
AMES = Path("ames/AmesHousing.xlsx")


def houses() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    area = rng.integers(50, 300, ROWS)
    return {
        "area": area,
        "street": rng.choice(["paved", "gravel", "none at all"], ROWS),
        "pool": rng.random(ROWS) < 0.3,
        "floors": np.full(ROWS, 0.1),
        "price": 1000.0 * area + rng.integers(0, 5000, ROWS),
        "kind": rng.choice(["villa", "hut"], ROWS),
    }


def write(path: Path, columns: Mapping[str, Any]) -> Path:
    frame = pd.DataFrame(dict(columns))
    if path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def make(path: Path, **changes: Any) -> PreparedDataset:
    options: dict[str, Any] = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    options |= {"target": "price", "task": "regression"}
    return prepare(str(path), cache=path.parent / "cache", **(options | changes))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "houses.csv", houses())


def test_numbers_stay_and_texts_become_one_column_a_value(table: Path) -> None:
    files = make(table, ignore=["kind"]).training
    streets = ("street=gravel", "street=none at all", "street=paved")
    assert files.columns == ("area", *streets, "pool", "floors")
    splits = load_splits(files)
    assert (splits.task, splits.target, splits.classes) == ("regression", "price", ())
    inputs, prices = splits.train.inputs, splits.train.labels
    assert (inputs.dtype, prices.dtype) == (torch.float32, torch.float32)
    rows = {(row["area"], row["price"]): row for _, row in pd.DataFrame(houses()).iterrows()}
    for values, price in zip(inputs.tolist(), prices.tolist(), strict=True):
        row = rows[values[0], price]
        assert values[1:4] == [row["street"] == each for each in sorted({*houses()["street"]})]
        assert values[4:] == [row["pool"], pytest.approx(0.1)]


def test_statistics_are_each_features_own_of_the_training_part_alone(table: Path) -> None:
    splits = load_splits(make(table, ignore=["kind"]).training)
    raw = splits.train.inputs[splits.train.rows].double()
    area = raw[:, 0]
    assert splits.mean[0].item() == pytest.approx(area.mean().item())
    assert 1 / splits.inv_std[0].item() == pytest.approx(area.std(correction=0).item())
    assert splits.mean[0].item() != pytest.approx(splits.train.inputs[:, 0].mean().item(), abs=1e-3)
    assert splits.mean[1:].tolist() == [0, 0, 0, 0, pytest.approx(0.1)], "0 and 1 stay"
    assert splits.inv_std[1:].tolist() == [1, 1, 1, 1, 1], "so does what never changes"
    prices = splits.train.labels[splits.train.rows].double()
    assert splits.target_mean == pytest.approx(prices.mean().item())
    assert splits.target_std == pytest.approx(prices.std(correction=0).item())
    x, y = splits.train[0]
    assert x.tolist() == pytest.approx(((raw[0] - splits.mean) * splits.inv_std).tolist(), rel=1e-5)
    assert isinstance(y, torch.Tensor)
    assert y.item() == prices[0].item()


def test_as_they_are_without_normalisation(table: Path) -> None:
    part = load_splits(make(table, normalize=False).training).validation
    x, _ = part[3]
    assert torch.equal(x, part.inputs[part.rows[3]])


def test_parts_are_drawn_by_the_seed_and_share_no_row(table: Path) -> None:
    one, again, other = make(table), make(table), make(table, split_seed=1)
    assert one.sizes == {"train": 128, "validation": 32, "test": 40}
    assert one.split_hash == again.split_hash != other.split_hash
    splits = load_splits(one.training)
    assert not {*splits.train.rows.tolist()} & {*splits.validation.rows.tolist()}
    test = SealedTest.of(one).open()
    assert len(test) == 40
    prices = [*splits.train.labels.tolist(), *test.labels.tolist()]
    assert sorted(prices) == sorted(np.float32(houses()["price"]).tolist())
    told = np.frombuffer(one.training.validation_labels(), np.float32)
    assert told.tolist() == splits.validation.labels[splits.validation.rows].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx"])
def test_classes_are_the_values_of_a_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"houses{suffix}", houses())
    files = make(path, target="kind", task="classes").training
    assert files.classes == ("hut", "villa")
    splits = load_splits(files)
    kinds = dict(zip(houses()["price"], houses()["kind"], strict=True))
    column = files.columns.index("price")
    for row in splits.train.rows.tolist():
        kind = kinds[round(splits.train.inputs[row, column].item())]
        assert files.classes[splits.train.labels[row]] == kind


def test_classes_that_are_numbers_keep_their_order(tmp_path: Path) -> None:
    levels = np.arange(ROWS) % 12
    path = write(tmp_path / "houses.csv", houses() | {"kind": levels})
    assert make(path, target="kind", task="classes").training.classes == tuple(map(str, range(12)))


def test_another_file_or_another_target_is_other_data(table: Path) -> None:
    before, other = make(table), make(table, target="area")
    frame = pd.read_csv(table)
    frame.loc[0, "area"] += 1
    frame.to_csv(table, index=False)
    after = make(table)
    assert len({before.split_hash, after.split_hash, other.split_hash}) == 3
    assert len({before.test_digest, other.test_digest}) == 2
    assert [path.name.partition("-")[0] for path in before.training.inputs.parents][1] == (
        "houses.csv"
    )


def test_copies_are_counted_by_their_targets(tmp_path: Path) -> None:
    """A row that stands there twice has another target where that differs, be it by a half."""
    columns = {"area": [1.0, 1.0, 2.0, 2.0] * 50, "price": [-5.0, -4.5, 7.0, 7.0] * 50}
    found = make(write(tmp_path / "houses.csv", columns)).data_quality
    within = found.duplicates["train"]
    assert within.examples == found.parts["train"].examples - 2
    assert 0 < within.conflicting < within.examples
    assert found.parts["test"].by_class == ()
    assert found.duplicates["train_test"].examples == 40


def refused(path: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        make(path, **changes)
    said = str(caught.value)
    assert "\n" not in said
    return said


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such column": ({"target": "prize"}, "no column 'prize'; did you mean 'price'?"),
    "no target": ({"target": ""}, "name the column to predict; known: area, floors, kind"),
    "nothing to leave out": ({"ignore": ["flors"]}, "ignore: .* did you mean 'floors'?"),
    "texts as numbers": ({"target": "kind"}, "'kind' .* holds texts, such as '(villa|hut)'"),
    "numbers as classes": (
        {"target": "floors", "task": "classes"},
        "numbers such as 0.1; predict",
    ),
    "nothing but the target": (
        {"ignore": ["area", "street", "pool", "floors", "kind"]},
        "no column is left",
    ),
    "one target": ({"target": "floors"}, "every target is 0.1"),
    "classes of a regression": ({"classes": ["a", "b"]}, "is a regression's, which has none"),
    "a size": ({"size": [8, 8]}, "size: .* is a file"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_asked_of_a_table_is_checked(table: Path, what: str) -> None:
    changes, message = WRONG[what]
    said = refused(table, **changes)
    assert re.search(message, said), said


def test_missing_values_are_counted_by_column(tmp_path: Path) -> None:
    columns = pd.DataFrame(houses())
    columns.loc[:2, "area"] = np.nan
    columns.loc[3:10, "street"] = None
    columns.loc[7, "price"] = np.nan
    said = refused(write(tmp_path / "houses.csv", columns.to_dict("series")))
    assert "missing values in 3 of 6 columns: street 8, area 3, price 1; fill them" in said
    assert said.endswith('or leave columns out by [data] ignore = ["street", "area"]')


SPOILT = {
    "empty": (b"", "cannot be read as a table"),
    "a head alone": (b"a,b,price\n", "has no rows"),
    "two of a name": (b"a,a,price\n1,2,3\n4,5,6\n", "two columns are called 'a'"),
    "row numbers": (b",a,price\n0,2,3\n1,5,6\n", r"column 1 has no name; .*ignore = \[\"Unnamed"),
    "more values than names": (b"a,price\n1,2,3\n4,5,6\n", "more values than"),
    "one row longer": (b"a,price\n1,2\n4,5,6\n", "line 3 has 3 values and those before it 2"),
    "infinite": (b"a,price\n1,2\ninf,3\n2,4\n", "column 'a' is inf in row 3"),
    "no text": (b"a,price\n\xff\xfe,2\n", "UTF-8"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_table_is_refused_in_a_line(tmp_path: Path, how: str) -> None:
    content, message = SPOILT[how]
    path = tmp_path / "houses.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        make(path)


def test_dates_names_and_numbers_with_holes_are_no_features(tmp_path: Path) -> None:
    path = tmp_path / "houses.xlsx"
    write(path, houses() | {"sold": pd.date_range("2020-01-01", periods=ROWS)})
    assert "'sold' holds dates" in refused(path)
    names = [f"house {number}" for number in range(1001)]
    write(path.with_suffix(".csv"), {"name": names, "price": np.arange(1001)})
    assert "'name' has 1,001 different texts" in refused(path.with_suffix(".csv"))
    holes = ["?" if number % 50 == 3 else str(number) for number in range(ROWS)]
    write(path.with_suffix(".csv"), houses() | {"horsepower": holes})
    said = refused(path.with_suffix(".csv"))
    assert "'horsepower' holds numbers, and 4 times a text such as '?'" in said


def test_a_spoilt_workbook_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "houses.xlsx"
    path.write_bytes(b"PK\x03\x04 half of it")
    assert "houses.xlsx: cannot be read as a table" in refused(path)


@pytest.fixture
def ames(monkeypatch: pytest.MonkeyPatch) -> str:
    """The handout's table, where it is at hand."""
    from tests.conftest import REAL_DATA

    if not REAL_DATA or not (Path(REAL_DATA) / AMES).is_file():
        pytest.skip("real Ames housing: set HARNESS_DATA_DIR to a folder that holds it")
    monkeypatch.setenv("HARNESS_DATA_DIR", os.fspath(Path(REAL_DATA).resolve()))
    return str(AMES)


@pytest.mark.realdata
def test_the_handouts_table_is_read_as_the_handout_reads_it(ames: str) -> None:
    """From the folder of the other sets; unsplit, 92 batches of 32, the last of 16."""
    decoded = find_dataset(ames, options=DataOptions("regression", "SalePrice")).decode()
    whole = Split(
        torch.from_numpy(decoded.inputs),
        torch.from_numpy(decoded.labels),
        torch.arange(len(decoded.labels)),
        0.0,
        1.0,
    )
    assert decoded.inputs.shape == (2928, 16)
    x, y = whole[286]
    assert x.tolist() == [
        *(6858, 6, 4, 1915, 1950, 806, 841, 806, 1647, 1, 1, 4, 1, 6, 216, 2010)
    ]  # fmt: skip
    assert float(y) == 128000
    sizes = [len(labels) for _, labels in DataLoader(whole, batch_size=32)]
    assert sizes == [32] * 91 + [16]


def test_odd_class_names_become_metrics_that_the_store_takes() -> None:
    """`..` is a folder, and what the store does not allow must not make two classes one."""
    assert escape_class_names(["x/y", "x:y", "x_y", "..", ".", "ü 100 %"]) == [
        *("x_y", "x_y_", "x_y__", "__", "_", "ü 100 _")
    ]  # fmt: skip


@pytest.mark.parametrize("name", [" ", "a\nb", "b" * 101])
def test_a_name_that_nobody_can_read_is_no_class(tmp_path: Path, name: str) -> None:
    kinds = np.array(["hut", name])[np.arange(ROWS) % 2]
    path = write(tmp_path / "houses.csv", houses() | {"kind": kinds})
    assert "a name is 1 to 100 letters on one line" in refused(path, target="kind", task="classes")


def test_the_digest_of_a_part_tells_targets_apart_by_their_fractions() -> None:
    """The ledger of a test set's openings is named after it."""
    inputs = np.ones((2, 3), np.float32)
    digests = {
        hash_examples(inputs, np.array(labels, np.float32)) for labels in ([0.4, 1], [0.6, 1])
    }
    assert len(digests) == 2


def test_what_changes_pictures_is_refused_on_a_table(table: Path, tmp_path: Path) -> None:
    keys = [f"data.name={table}", "data.target=kind", 'train.augment=["shift"]']
    with pytest.raises(ConfigError, match=r"augment: needs images, but .* have the shape \[7\]"):
        make_plan("quickstart", RunOptions(overrides=keys, device="cpu")).prepare(tmp_path / "cache")
