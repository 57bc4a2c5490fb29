"""CSV and Excel files as data: columns, targets, statistics, and errors."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
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
from harness.data.torch_datasets import Split, load_splits
from harness.data.types import DataOptions
from harness.errors import ConfigError, DataError
from harness.sweep.options import RunOptions
from harness.sweep.plan import make_plan
from harness.tracking.mlflow.naming import escape_class_names
from tests.support.real_data import find_real_data
from tests.support.sealed_test_set import open_test_set

ROWS = 200
AMES = "ames/AmesHousing.xlsx"


def make_houses() -> dict[str, Any]:
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
    return write(tmp_path / "houses.csv", make_houses())


def test_numbers_are_kept_and_texts_are_one_hot_encoded(table: Path) -> None:
    files = make(table, ignore=["kind"]).training
    streets = ("street=gravel", "street=none at all", "street=paved")
    assert files.columns == ("area", *streets, "pool", "floors")
    splits = load_splits(files)
    assert (splits.task, splits.target, splits.classes) == ("regression", "price", ())
    inputs, prices = splits.train.inputs, splits.train.labels
    assert (inputs.dtype, prices.dtype) == (torch.float32, torch.float32)
    rows = {(row["area"], row["price"]): row for _, row in pd.DataFrame(make_houses()).iterrows()}
    for values, price in zip(inputs.tolist(), prices.tolist(), strict=True):
        row = rows[values[0], price]
        assert values[1:4] == [
            row["street"] == street for street in sorted({*make_houses()["street"]})
        ]
        assert values[4:] == [row["pool"], pytest.approx(0.1)]


@pytest.mark.parametrize("normalize", [True, False])
def test_what_never_changes_in_training_has_no_effect_elsewhere(
    tmp_path: Path, normalize: bool
) -> None:
    """A category that only the test set has is no feature; a constant number has no weight."""
    path = write(tmp_path / "houses.csv", make_houses())
    plain = make(path, ignore=["kind"], normalize=normalize)
    test = open_test_set(plain)
    rows = np.isin(make_houses()["price"], test.labels.numpy())  # no price occurs twice
    houses = make_houses()
    houses["street"] = np.where(rows, "cobbled", houses["street"])
    houses["floors"] = np.where(rows, 500.0, 0.1)
    changed = make(write(tmp_path / "changed.csv", houses), ignore=["kind"], normalize=normalize)
    assert changed.training.columns == plain.training.columns
    assert changed.split_hash != plain.split_hash
    splits, sealed = load_splits(changed.training), open_test_set(changed)
    place = changed.training.columns.index("floors")
    assert sealed.inputs[:, place].tolist() == [500] * len(sealed)
    assert splits.inv_std[place].item() == 0
    x = torch.stack([x for x, _ in sealed])
    assert x[:, [1, 2, 3, place]].tolist() == [[0, 0, 0, 0]] * len(sealed)
    assert x.isfinite().all()
    note = (
        "changed.csv: 1 feature has one value alone in the training set, and so no effect: floors"
    )
    assert any(note in each for each in changed.notes)


def test_each_feature_has_statistics_of_the_training_set_alone(table: Path) -> None:
    splits = load_splits(make(table, ignore=["kind"]).training)
    raw = splits.train.inputs[splits.train.rows].double()
    area = raw[:, 0]
    assert splits.mean[0].item() == pytest.approx(area.mean().item())
    assert 1 / splits.inv_std[0].item() == pytest.approx(area.std(correction=0).item())
    assert splits.mean[0].item() != pytest.approx(splits.train.inputs[:, 0].mean().item(), abs=1e-3)
    assert splits.mean[1:].tolist() == [0, 0, 0, 0, pytest.approx(0.1)], "0 and 1 stay"
    assert splits.inv_std[1:].tolist() == [1, 1, 1, 1, 0], "what never changes has no effect"
    prices = splits.train.labels[splits.train.rows].double()
    assert splits.target_mean == pytest.approx(prices.mean().item())
    assert splits.target_std == pytest.approx(prices.std(correction=0).item())
    x, y = splits.train[0]
    assert x.tolist() == pytest.approx(((raw[0] - splits.mean) * splits.inv_std).tolist(), rel=1e-5)
    assert isinstance(y, torch.Tensor)
    assert y.item() == prices[0].item()


def test_without_normalization_features_are_not_changed(table: Path) -> None:
    split = load_splits(make(table, ignore=["floors"], normalize=False).training).validation
    x, _ = split[3]
    assert torch.equal(x, split.inputs[split.rows[3]])


def test_splits_follow_from_the_seed_and_share_no_row(table: Path) -> None:
    one, same, other = make(table), make(table), make(table, split_seed=1)
    assert one.sizes == {"train": 128, "validation": 32, "test": 40}
    assert one.split_hash == same.split_hash != other.split_hash
    splits = load_splits(one.training)
    assert not {*splits.train.rows.tolist()} & {*splits.validation.rows.tolist()}
    test = open_test_set(one)
    assert len(test) == 40
    prices = [*splits.train.labels.tolist(), *test.labels.tolist()]
    assert sorted(prices) == sorted(np.float32(make_houses()["price"]).tolist())
    labels = np.frombuffer(one.training.validation_labels(), np.float32)
    assert labels.tolist() == splits.validation.labels[splits.validation.rows].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx"])
def test_classes_are_the_values_of_a_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"houses{suffix}", make_houses())
    files = make(path, target="kind", task="classes").training
    assert files.classes == ("hut", "villa")
    splits = load_splits(files)
    kinds = dict(zip(make_houses()["price"], make_houses()["kind"], strict=True))
    column = files.columns.index("price")
    for row in splits.train.rows.tolist():
        kind = kinds[round(splits.train.inputs[row, column].item())]
        assert files.classes[splits.train.labels[row]] == kind


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    levels = np.arange(ROWS) % 12
    path = write(tmp_path / "houses.csv", make_houses() | {"kind": levels})
    assert make(path, target="kind", task="classes").training.classes == tuple(map(str, range(12)))


def test_a_link_has_the_ending_and_its_target_may_have_none(tmp_path: Path, table: Path) -> None:
    """As in the cache of Hugging Face."""
    sizes = make(table).sizes
    table.rename(tmp_path / "8e4d0a")
    table.symlink_to("8e4d0a")
    assert make(table).sizes == sizes


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
    """Two equal rows conflict if their targets differ, even by a half."""
    columns = {"area": [1.0, 1.0, 2.0, 2.0] * 50, "price": [-5.0, -4.5, 7.0, 7.0] * 50}
    quality = make(write(tmp_path / "houses.csv", columns)).data_quality
    within = quality.duplicates["train"]
    assert within.examples == quality.parts["train"].examples - 2
    assert 0 < within.conflicting < within.examples
    assert quality.parts["test"].by_class == ()
    assert quality.duplicates["train_test"].examples == 40


def error_of(path: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        make(path, **changes)
    message = str(caught.value)
    assert "\n" not in message
    return message


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such column": ({"target": "prize"}, "no column 'prize'; did you mean 'price'?"),
    "no target": ({"target": ""}, "name the column to predict; known: area, street, pool"),
    "nothing to leave out": ({"ignore": ["flors"]}, "ignore: .* did you mean 'floors'?"),
    "texts as numbers": ({"target": "kind"}, "'kind' .* holds texts, such as '(villa|hut)'"),
    "numbers as classes": (
        {"target": "floors", "task": "classes"},
        "numbers such as 0.1; predict",
    ),
    "nothing but the target": (
        {"ignore": ["area", "street", "pool", "floors", "kind"]},
        "no column is left except the target 'price': .* ignore leaves out 'area', 'street'",
    ),
    "one target": ({"target": "floors"}, "every target is 0.1"),
    "classes of a regression": ({"classes": ["a", "b"]}, "is a regression's, which has none"),
    "a size": ({"size": [8, 8]}, "size: .* is a file"),
}


@pytest.mark.parametrize("what", WRONG)
def test_keys_that_do_not_fit_a_table_are_refused(table: Path, what: str) -> None:
    changes, expected = WRONG[what]
    message = error_of(table, **changes)
    assert re.search(expected, message), message


DAMAGED = {
    "empty": (b"", "cannot be read as a table"),
    "a header only": (b"a,b,price\n", "has no rows"),
    "two columns with one name": (b"a,a,price\n1,2,3\n4,5,6\n", "two columns are called 'a'"),
    "no name": (b",a,price\n0,2,3\n7,5,6\n", r"column 1 has no name; .*ignore = \[\"Unnamed"),
    "more values than names": (b"a,price\n1,2,3\n4,5,6\n", "more values than"),
    "one row longer": (b"a,price\n1,2\n4,5,6\n", "line 3 has 3 values and those before it 2"),
    "infinite": (b"a,price\n1,2\ninf,3\n2,4\n", "column 'a' is inf in row 3"),
    "cut off": ("a,price\n1,2\n".encode("utf-16")[:-1], 'is not UTF-16-LE .* "CSV UTF-8" or'),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_the_error_for_a_damaged_table_is_one_line(tmp_path: Path, how: str) -> None:
    content, message = DAMAGED[how]
    path = tmp_path / "houses.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        make(path)


def test_names_alone_and_numbers_with_gaps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    names = [f"house {number}" for number in range(1001)]
    write(path, {"name": names, "price": np.arange(1001)})
    assert "name has a different text in every row" in error_of(path)
    gaps = ["?" if number % 50 == 3 else str(number) for number in range(ROWS)]
    write(path, make_houses() | {"horsepower": gaps})
    message = error_of(path)
    assert "'horsepower' holds numbers, and 4 times a text such as '?'" in message
    assert 'count the texts as missing by [data.columns] horsepower = "number", or' in message


def test_the_error_for_a_damaged_workbook_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "houses.xlsx"
    path.write_bytes(b"PK\x03\x04 half of it")
    assert "houses.xlsx: cannot be read as a table" in error_of(path)


@pytest.fixture
def ames(monkeypatch: pytest.MonkeyPatch) -> str:
    """The Ames housing table, if it is available."""
    monkeypatch.setenv("HARNESS_DATA_DIR", str(find_real_data(AMES)))
    return AMES


@pytest.mark.realdata
def test_ames_housing_is_read_as_in_the_course_handout(ames: str) -> None:
    """From the data directory; not split, it gives 92 batches of 32, the last of 16."""
    decoded = find_dataset(ames, options=DataOptions("regression", "SalePrice")).decode()
    dataset = Split(
        torch.from_numpy(decoded.inputs),
        torch.from_numpy(decoded.labels),
        torch.arange(len(decoded.labels)),
        0.0,
        1.0,
    )
    assert decoded.inputs.shape == (2928, 16)
    x, y = dataset[286]
    assert x.tolist() == [
        *(6858, 6, 4, 1915, 1950, 806, 841, 806, 1647, 1, 1, 4, 1, 6, 216, 2010)
    ]  # fmt: skip
    assert float(y) == 128000
    sizes = [len(labels) for _, labels in DataLoader(dataset, batch_size=32)]
    assert sizes == [32] * 91 + [16]


def test_odd_class_names_become_metrics_that_the_store_takes() -> None:
    """`..` is a folder, and replaced characters must not merge two classes."""
    assert escape_class_names(["x/y", "x:y", "x_y", "..", ".", "ü 100 %"]) == [
        *("x_y", "x_y_", "x_y__", "__", "_", "ü 100 _")
    ]  # fmt: skip


@pytest.mark.parametrize("name", [" ", "a\nb", "b" * 101])
def test_unreadable_class_names_are_refused(tmp_path: Path, name: str) -> None:
    kinds = np.array(["hut", name])[np.arange(ROWS) % 2]
    path = write(tmp_path / "houses.csv", make_houses() | {"kind": kinds})
    assert "a name is 1 to 100 letters on one line" in error_of(path, target="kind", task="classes")


def test_the_digest_of_examples_depends_on_fractions_of_targets() -> None:
    """The log of a test set is named after its digest."""
    inputs = np.ones((2, 3), np.float32)
    digests = {
        hash_examples(inputs, np.array(labels, np.float32)) for labels in ([0.4, 1], [0.6, 1])
    }
    assert len(digests) == 2


def test_augmentation_is_refused_for_a_table(table: Path, tmp_path: Path) -> None:
    keys = [f"data.name={table}", "data.target=kind", 'train.augment=["shift"]']
    with pytest.raises(ConfigError, match=r"augment: needs images, but .* have the shape \[7\]"):
        make_plan("quickstart", RunOptions(overrides=keys, device="cpu")).prepare(
            tmp_path / "cache"
        )


def describe(path: Path, **changes: Any) -> tuple[PreparedDataset, str]:
    prepared = make(path, **changes)
    return prepared, "\n".join(prepared.notes)


def rows_of(prepared: PreparedDataset, column: str) -> list[float]:
    """Return a feature of all examples, sorted."""
    index = prepared.training.columns.index(column)
    splits, test = load_splits(prepared.training), open_test_set(prepared)
    return sorted([*splits.train.inputs[:, index].tolist(), *test.inputs[:, index].tolist()])


def test_decimal_commas_are_read_and_reported(tmp_path: Path) -> None:
    houses = make_houses()
    frame = pd.DataFrame(houses)
    frame["area"] = [f"{area / 2:.1f}".replace(".", ",") for area in houses["area"]]
    frame["price"] = [f"{price:_.2f}".replace(".", ",").replace("_", ".")
                      for price in houses["price"]]  # fmt: skip
    frame["people"] = [f"{people}.{people:03d}" for people in range(1, ROWS + 1)]
    path = tmp_path / "houses.csv"
    frame.to_csv(path, index=False, sep=";")
    prepared, notes = describe(path, ignore=["floors"])
    columns = ("area", "street=gravel", "street=none at all", "street=paved", "pool", "kind=hut",
               "kind=villa", "people")  # fmt: skip
    assert prepared.training.columns == columns
    assert rows_of(prepared, "area") == sorted((houses["area"] / 2).tolist())
    assert rows_of(prepared, "people") == [people * 1001 for people in range(1, ROWS + 1)]
    assert prepared.training.target_mean == pytest.approx(houses["price"].mean(), rel=0.05)
    assert "read area, price, people as numbers with decimal comma: '" in notes
    assert notes.count('if not, set [data] decimal = "."') == 1
    assert (
        "5 columns became 8 features, one for each category of a text column (street 3, kind 2)"
        in notes
    )
    assert "decimal comma" in ", ".join(prepared.values)
    message = error_of(path, ignore=["floors"], decimal=".")
    assert re.search(r"decimal = \"\.\": column 'area' .* as in '\d+,\d'; set it to \",\"", message)
    message = error_of(path, target="area", task="classes")
    assert re.search(r"'area' of .* holds numbers such as '\d+,\d'; predict them by task", message)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["12 %", "7.5 %"], "percentages with decimal point: '12 %' is 12"),
        (["$1,200.50", "$7"], "amounts in $ with decimal point: '$1,200.50' is 1200.5"),
    ],
)
def test_money_and_percentages_are_numbers(tmp_path: Path, texts: list[str], expected: str) -> None:
    path = write(tmp_path / "houses.csv", make_houses() | {"rate": texts * (ROWS // 2)})
    prepared, notes = describe(path)
    assert "rate" in prepared.training.columns
    assert f"read rate as {expected}" in notes


def test_rare_categories_are_one_feature_where_there_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    names = [f"house {number % 50}" for number in range(ROWS)]
    write(path, make_houses() | {"name": names})
    assert "(street 3, kind 2, name 50)" in describe(path)[1]
    names = [f"house {number % 61 if number % 3 else number % 5}" for number in range(ROWS)]
    write(path, make_houses() | {"name": names})
    prepared, notes = describe(path)
    assert "column 'name' has 61 different texts: at most 50 that the" in notes
    assert "'name' by 50 categories" in prepared.values
    features = [each for each in prepared.training.columns if each.startswith("name")]
    assert features[-1] == "name (rare)"
    assert "name=house 3" in features
    assert len(features) < 51, "a category of one training row is rare"
    whole = make(path, max_categories=61)
    assert "name (rare)" not in whole.training.columns
    assert whole.split_hash != prepared.split_hash


def test_names_that_may_mean_the_same_are_kept_apart_and_reported(tmp_path: Path) -> None:
    kinds = np.array(["hut", "hut ", "Hut.", "villa", "villa"])[np.arange(ROWS) % 5]
    streets = np.array(["paved", " paved", "gravel"])[np.arange(ROWS) % 3]
    path = write(tmp_path / "houses.csv", make_houses() | {"kind": kinds, "street": streets})
    prepared, notes = describe(path, target="kind", task="classes")
    assert prepared.training.classes == ("Hut.", "hut", "hut ", "villa")
    kept_apart = "that differ only in spaces, case or a final dot are kept apart:"
    assert f"classes {kept_apart} 'Hut.' and 'hut' and 'hut '; if they mean the same" in notes
    assert f"categories {kept_apart} 'street= paved' and 'street=paved'; if they" in notes
    few = describe(path, target="kind", task="classes", classes=["hut", "villa"], ignore=["street"])
    assert kept_apart not in few[1]


def test_texts_that_count_as_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    alleys = np.array(["NA", "gravel", "n/a", "paved"])[np.arange(ROWS) % 4]
    write(path, make_houses() | {"alley": alleys})
    assert "missing values in alley: " in describe(path)[1]
    assert "the texts 'NA', 'n/a' count as missing" in describe(path)[1]
    columns = make(path, missing=[]).training.columns
    assert [each for each in columns if "alley" in each] == [
        "alley=NA", "alley=gravel", "alley=n/a", "alley=paved",
    ]  # fmt: skip
    assert "the text 'NA' counts as missing" in describe(path, missing=["NA"])[1]
    write(path.with_suffix(".xlsx"), make_houses() | {"alley": alleys})
    assert "the texts 'NA', 'n/a'" in describe(path.with_suffix(".xlsx"))[1]
    assert "alley=NA" in make(path.with_suffix(".xlsx"), missing=[]).training.columns


def test_two_columns_of_one_name_are_left_out_together(tmp_path: Path) -> None:
    path = tmp_path / "houses.csv"
    frame = pd.DataFrame(make_houses()).rename(columns={"area": "id", "floors": "id"})
    for twice in (path, path.with_suffix(".xlsx")):
        frame.to_csv(twice, index=False) if twice == path else frame.to_excel(twice, index=False)
        assert error_of(twice).endswith('leave both out by [data] ignore = ["id"]')
        prepared, notes = describe(twice, ignore=["id"])
        assert not [each for each in prepared.training.columns if each.startswith("id")]
        assert "left out 2 columns called 'id'" in notes
        assert make(twice, ignore=["id", "id.1"]).sizes == prepared.sizes, "as in version 0.1.0"


LAYOUTS = {
    "sep=;": ("sep=;\r\n", "area;price"),
    "sep=; below comments": ("# measured by hand\n\n;;\nsep=;\n\n", "area;price"),
    "sep=; in quotes": ('"sep=;"\n', "area;price"),
    "blank lines": ("\n  \n\n", "area;price"),
    "comments": ("# measured in 2024; in metres\n# by hand\n", "area;price"),
    "all of them": ("sep=;\n\n# measured, by hand\n\n", "area;price"),
    "empty cells": (";;;\n;;;\n", "area;price"),
    "names behind a hash": ("# measured by hand\n", "#area,price"),
    "commas in quoted names": ("", '"a, b, c, d";price'),
    "semicolons in quoted names": ("", '"a; b; c; d",price'),
    "a name over two lines": ("", '"a;\nb;\nc";price'),
    "bars": ("", "area|price"),
    "tabs": ("", "a, b, c\tprice"),
}
"""The lines before the columns' names, and these."""


@pytest.mark.parametrize("how", LAYOUTS)
def test_the_line_of_the_names_and_the_separator_are_recognised(tmp_path: Path, how: str) -> None:
    path, (before, names) = tmp_path / "houses.csv", LAYOUTS[how]
    separator = names[names.index("price") - 1]
    rows = "".join(f"{n}.5{separator}{n % 90}\n" for n in range(100))
    path.write_text(f"{before}{names}\n{rows}")
    prepared, notes = describe(path)
    column = names.rpartition(separator)[0].strip('"')
    assert prepared.training.columns == (column,)
    assert rows_of(prepared, column)[:2] == [0.5, 1.5]
    assert ("before the columns' names: # measured" in notes) == ("#" in before)
    path.write_text(f"{before}{names}\n{rows.replace('0.5', 'inf', 1)}")
    line = 2 + before.count("\n")
    with pytest.raises(DataError, match=re.escape(f"'{column}' is inf in row {line} ")):
        make(path)


def test_a_separator_inside_quotes_does_not_count(tmp_path: Path) -> None:
    """Every row has more commas, inside quotes, than semicolons."""
    path = tmp_path / "houses.csv"
    rows = "".join(f'"Main St, {n % 2}, Town";{n % 7};{n % 90}\n' for n in range(100))
    path.write_text(f'"street, number, town";floors;price\n{rows}')
    columns = make(path).training.columns
    assert columns == (
        "street, number, town=Main St, 0, Town", "street, number, town=Main St, 1, Town", "floors",
    )  # fmt: skip


@pytest.mark.parametrize(("first", "is_told"), [("0.25,0.5,61.5", True), ("0,1,2", False)])
def test_a_first_row_that_looks_like_data_is_told(
    tmp_path: Path, first: str, is_told: bool
) -> None:
    path = tmp_path / "houses.csv"
    path.write_text(first + "\n" + "".join(f"{n}.5,{n},{n % 90}\n" for n in range(100)))
    notes = make(path, target=first.rpartition(",")[2]).notes
    expected = f"houses.csv: columns are named after row 1 ({first.replace(',', ', ')})"
    assert any(expected in note for note in notes) == is_told


def test_a_sheet_is_chosen_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "houses.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"read me": ["see the next sheet"]}).to_excel(book, sheet_name="About")
        pd.DataFrame(make_houses())[:50].to_excel(book, sheet_name="Old", index=False)
        pd.DataFrame(make_houses()).to_excel(book, sheet_name="New one", index=False)
        book.book["Old"].sheet_state = "hidden"
    prepared, notes = describe(path)
    assert sum(prepared.sizes.values()) == ROWS, "the first visible sheet with the target"
    assert "read sheet 'New one', the first visible one with the column 'price', not " in notes
    assert "not 'About', 'Old' (hidden); to read another, set [data] sheet" in notes
    prepared, notes = describe(path, sheet="Old")
    assert (sum(prepared.sizes.values()), "read sheet" in notes) == (50, False)
    assert "no sheet 'Odl'; did you mean 'Old'?" in error_of(path, sheet="Odl")
    message = error_of(path, target="prize")
    assert "no sheet of" in message
    assert "'New one' (area, street, pool); hidden: Old; to choose one" in message
    assert "is a text file" in error_of(write(tmp_path / "houses.csv", make_houses()), sheet="Old")


def test_times_in_seconds_are_told_apart(tmp_path: Path) -> None:
    """float32 makes seconds since 1970 multiples of 128: subtract in float64 first."""
    seconds = 1.7e9 + np.arange(ROWS) % 50 * 3.0
    prepared, notes = describe(write(tmp_path / "a.csv", make_houses() | {"unix": seconds}))
    assert rows_of(prepared, "unix - 1700000000") == sorted((seconds - 1.7e9).tolist())
    assert "the feature 'unix - 1700000000' is a difference, because float32" in notes
    x, _ = load_splits(prepared.training).train[0]
    assert float(x.abs().max()) < 5
    message = error_of(write(tmp_path / "b.csv", make_houses() | {"unix": seconds}), target="unix")
    assert "float32 cannot tell the values of the target apart; subtract 1700000000" in message
    assert not describe(write(tmp_path / "c.csv", make_houses()))[1].count("float32")


def test_newer_keys_change_neither_the_digest_nor_the_definition(table: Path) -> None:
    """A study that an earlier version began goes on."""
    from harness.config.loader import load

    options = DataOptions("regression", "price")
    digest = find_dataset(str(table), options=options).digest
    content = hashlib.sha256(table.read_bytes()).hexdigest()
    before = json.dumps([content, "regression", "price", [], []])
    assert digest == hashlib.sha256(before.encode()).hexdigest()
    keys = [f"data.name={table}", "data.target=kind", "data.max_categories=99"]
    assert (
        not {"max_categories", "sheet", "missing", "own_validation"}
        & load("quickstart", keys).definition()["data"].keys()
    )


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_a_parquet_or_feather_file_keeps_its_types(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame(make_houses())
    frame["street"] = frame["street"].astype("category")
    frame["tax"] = [Decimal(number) / 10 for number in range(ROWS)]
    path = tmp_path / f"houses{suffix}"
    save = frame.to_parquet if suffix == ".parquet" else frame.to_feather
    save(path)
    files = make(path, ignore=["kind"]).training
    csv = write(tmp_path / "houses.csv", frame.to_dict("series"))
    expected = make(csv, ignore=["kind"]).training
    assert files.columns == expected.columns
    assert np.array_equal(np.load(files.inputs), np.load(expected.inputs))
    assert np.array_equal(np.load(files.labels), np.load(expected.labels))
    with pytest.raises(DataError, match=r"sheet: .* is a \.\w+ file, which has none"):
        make(path, ignore=["kind"], sheet="x")


def test_a_parquet_file_with_an_index_or_with_lists(tmp_path: Path) -> None:
    path = tmp_path / "houses.parquet"
    frame = pd.DataFrame(make_houses()).set_index("area").drop(columns="kind")
    frame.to_parquet(path)
    assert make(path).training.columns[0] == "area"
    frame["rooms"] = [["kitchen"]] * ROWS
    frame.to_parquet(path)
    with pytest.raises(DataError, match=r"column 'rooms' holds list<.*leave it out by"):
        make(path)
    assert "rooms" not in make(path, ignore=["rooms"]).training.columns
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"houses\.parquet: cannot be read as a table"):
        make(path)
