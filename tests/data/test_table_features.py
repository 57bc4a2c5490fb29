"""Tables with missing values, dates and many texts: what is fitted, and on which rows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.data.prepare import PreparedDataset, prepare
from harness.data.table_features import read_transform
from harness.data.training_files import TrainingFiles
from harness.errors import DataError
from harness.scoring.table_transform import TableTransform
from tests.support.sealed_test_set import open_test_set

ROWS = 240


def make_passengers() -> pd.DataFrame:
    """Mixed types with gaps, as in the list of the Titanic's passengers."""
    rng = np.random.default_rng(0)
    day = pd.Timestamp("2024-01-30 08:00") + pd.to_timedelta(rng.integers(0, 9000, ROWS), unit="h")
    frame = pd.DataFrame(
        {
            "number": np.arange(ROWS) + 7,
            "name": [f"passenger {number}" for number in range(ROWS)],
            "age": rng.integers(1, 80, ROWS).astype(float),
            "deck": rng.choice(["A", "B", "C"], ROWS),
            "alone": rng.random(ROWS) < 0.4,
            "boarded": day.strftime("%d.%m.%Y %H:%M"),
            "fare": rng.random(ROWS).round(3),
            "survived": rng.choice(["yes", "no"], ROWS),
        }
    )
    frame["alone"] = frame["alone"].astype(object).mask(frame.index % 7 == 0)
    frame["age"] = frame["age"].mask(frame.index % 5 == 0)
    frame["deck"] = frame["deck"].mask(frame.index % 3 == 0)
    frame["boarded"] = frame["boarded"].mask(frame.index % 11 == 0)
    return frame


def make(frame: pd.DataFrame, folder: Path, **changes: Any) -> PreparedDataset:
    path = folder / "passengers.csv"
    frame.to_csv(path, index=False)
    options: dict[str, Any] = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    options |= {"target": "survived", "cache": folder / "cache"}
    return prepare(str(path), **(options | changes))


def get_transform(files: TrainingFiles) -> TableTransform:
    assert files.transform is not None
    return read_transform(files.transform)


def find_rows(frame: pd.DataFrame, files: TrainingFiles, rows: np.ndarray) -> np.ndarray:
    """Return the positions in the table of rows of the decoded data, by the unique number."""
    cells = np.load(files.labels.parent / "inputs.npy")[rows]
    return np.flatnonzero(np.isin(frame["number"], cells[:, 0]))


def test_missing_values_are_filled_and_marked_by_the_training_rows(tmp_path: Path) -> None:
    frame = make_passengers()
    prepared = make(frame, tmp_path)
    files = prepared.training
    assert files.columns == (
        "number", "age", "age missing", "deck=A", "deck=B", "deck=C", "deck missing",
        "alone", "alone missing", "boarded days", "boarded year", "boarded month",
        "boarded weekday", "boarded hour", "boarded missing", "fare",
    )  # fmt: skip
    train = np.load(files.train_rows)
    rows = frame.iloc[find_rows(frame, files, train)]
    features = pd.DataFrame(np.load(files.inputs)[train], columns=files.columns)
    features = features.sort_values("number").reset_index(drop=True)
    median = rows["age"].median()
    assert features["age"].tolist() == rows["age"].fillna(median).tolist()
    assert features["age missing"].tolist() == rows["age"].isna().tolist()
    assert features["deck missing"].tolist() == rows["deck"].isna().tolist()
    assert features["deck=B"].tolist() == (rows["deck"] == "B").tolist()
    dates = pd.to_datetime(rows["boarded"], format="%d.%m.%Y %H:%M")
    known = dates.notna().to_numpy()
    parts = {"year": "year", "month": "month", "weekday": "day_of_week", "hour": "hour"}
    for part, attribute in parts.items():
        expected = getattr(dates.dt, attribute)[known].tolist()
        assert features[f"boarded {part}"][known].tolist() == expected, part
    days = (dates - dates.min()).dt.total_seconds() / 86_400
    assert np.allclose(features["boarded days"][known], days[known], rtol=1e-6)
    assert np.load(files.inputs).dtype == np.float32
    notes = "\n".join(prepared.notes)
    assert (
        "missing values in age, deck, alone, boarded: an extra feature marks them, and numbers"
        in notes
    )
    assert (
        "left out name (has a different text in every row); to use one, set [data.columns]" in notes
    )
    kinds = {row["column"]: row["kind"] for row in prepared.report}
    assert kinds == {
        "number": "number", "name": "identifier", "age": "number", "deck": "category",
        "alone": "boolean", "boarded": "date", "fare": "number", "survived": "target",
    }  # fmt: skip


@pytest.mark.parametrize("normalize", [True, "robust", "quantile"])
def test_training_rows_alone_determine_the_transform(tmp_path: Path, normalize: bool | str) -> None:
    """Poison in validation and test rows changes nothing, in any split."""
    frame = make_passengers()
    clean = make(frame, tmp_path, redrawn=3, normalize=normalize)
    for number in range(4):
        files = clean.training.select_split(number)
        train = np.load(files.train_rows)
        outside = np.setdiff1d(np.arange(ROWS), find_rows(frame, files, train))
        poison = frame.copy()
        poison.loc[outside, "fare"] = 1e30
        poison.loc[outside, "age"] = np.nan
        poison.loc[outside, "deck"] = [f"deck {row}" for row in outside % 9]
        poison.loc[outside, "boarded"] = "01.01.1900 00:00"
        other = make(poison, tmp_path, redrawn=3, normalize=normalize).training.select_split(number)
        assert other.transform is not None
        assert files.transform is not None
        assert other.transform.read_text() == files.transform.read_text()
        assert np.array_equal(np.load(other.inputs)[train], np.load(files.inputs)[train])
        assert (other.mean, other.std) == (files.mean, files.std)


@pytest.mark.parametrize("normalize", [True, "robust", "quantile"])
def test_raw_rows_become_the_same_features_as_in_training(
    tmp_path: Path, normalize: bool | str
) -> None:
    frame = make_passengers()
    prepared = make(frame, tmp_path, normalize=normalize)
    files, transform = prepared.training, get_transform(prepared.training)
    assert TableTransform.from_json(transform.to_json()).to_json() == transform.to_json()
    inputs = np.load(files.inputs)
    rows = find_rows(frame, files, np.arange(len(inputs)))
    raw = frame.iloc[rows].sample(frac=1, axis=1, random_state=1)
    order = np.argsort(np.load(files.labels.parent / "inputs.npy")[:, 0])
    assert np.array_equal(transform.read_features(raw), inputs[order])
    texts = raw.astype(object).where(raw.notna(), None).map(lambda each: each and str(each))
    assert np.array_equal(transform.read_features(texts), inputs[order])
    test = open_test_set(prepared)
    held_out = np.setdiff1d(np.arange(ROWS), rows)
    expected = transform.read_features(frame.iloc[held_out])
    by_number = np.argsort(test.inputs[:, 0].numpy())
    assert np.array_equal(test.inputs.numpy()[by_number], expected)


def test_values_that_training_never_had(tmp_path: Path) -> None:
    """An unseen level is 0 everywhere; a missing value without a mark is the median."""
    transform = get_transform(make(make_passengers(), tmp_path).training)
    odd = pd.DataFrame(
        {"fare": [None, np.inf, "0.5"], "deck": ["Z", None, 3], "age": ["old", 1e300, True]}
    )
    features = pd.DataFrame(transform.read_features(odd), columns=transform.names)
    assert np.isfinite(features.to_numpy()).all()
    fill = next(each for each in transform.columns if each.column.name == "fare").fill[0]
    assert features["fare"].tolist() == pytest.approx([fill, fill, 0.5])
    assert features[["deck=A", "deck=B", "deck=C"]].to_numpy().sum() == 0
    assert features["deck missing"].tolist() == [0, 1, 0]
    assert features["age missing"].tolist() == [1, 1, 1]
    assert features["boarded missing"].tolist() == [1, 1, 1]


def test_a_table_that_earlier_versions_read_has_the_same_bits(tmp_path: Path) -> None:
    """The values were computed by the version before missing values could be read."""
    rng = np.random.default_rng(0)
    area = rng.integers(50, 300, 200)
    frame = pd.DataFrame(
        {
            "area": area,
            "street": rng.choice(["paved", "gravel", "none at all"], 200),
            "pool": rng.random(200) < 0.3,
            "floors": np.full(200, 0.1),
            "survived": 1000.0 * area + rng.integers(0, 5000, 200),
            "kind": rng.choice(["villa", "hut"], 200),
        }
    )
    prepared = make(frame, tmp_path, task="regression", redrawn=2)
    files = prepared.training
    inputs = hashlib.sha256(np.load(files.inputs).tobytes()).hexdigest()
    assert (prepared.split_hash[:16], prepared.test_digest[:16], inputs[:16]) == GOLDEN
    assert [each.inputs == files.inputs for each in files.redrawn] == [True, True]


GOLDEN = ("3e02ad82f9045bf9", "4905c6962cad332f", "58ad5291d238ec28")


def test_the_kind_of_a_column_is_overruled(tmp_path: Path) -> None:
    frame = make_passengers()
    kinds = {"number": "ignore", "fare": "category", "boarded": "date-mdy", "age": "number"}
    frame["boarded"] = "05/06/2024"
    frame["age"] = frame["age"].astype(object).mask(frame.index % 4 == 1, "old")
    with pytest.raises(DataError, match=r"'age' holds numbers, and .* text such as 'old'"):
        make(frame, tmp_path)
    prepared = make(frame, tmp_path, columns=kinds, max_categories=300)
    columns = prepared.training.columns
    assert "number" not in columns
    assert sum(each.startswith("fare=") for each in columns) > 50
    assert "age missing" in columns
    assert any("texts that are no numbers count as missing" in each for each in prepared.notes)
    for wrong, message in (
        ({"ages": "number"}, r"\[data.columns\]: .* no column 'ages'; did you mean 'age'"),
        ({"survived": "number"}, "survived: is the target"),
        ({"name": "number"}, 'name = "number": .* no number there, but texts such as \'passeng'),
        ({"deck": "boolean"}, 'deck = "boolean": .* has 3 different values'),
        ({"deck": "date"}, 'deck = "date": .* no date or time there'),
    ):
        with pytest.raises(DataError, match=message):
            make(frame, tmp_path, columns={"age": "number"} | wrong)


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["03.04.2024", "17.05.2024"], ["when days", "when month", "when weekday"]),
        (
            ["2024-04-03T10:00Z", "2024-05-17T11:00Z"],
            ["when days", "when month", "when weekday", "when hour"],
        ),
        (["10:30", "23:15"], ["when"]),
        (["18.00.00", "09.30.00"], ["when"]),
    ],
)
def test_dates_and_times_of_any_format(tmp_path: Path, texts: list[str], names: list[str]) -> None:
    frame = make_passengers()[["number", "survived"]]
    frame["when"] = [texts[row % 2] for row in range(ROWS)]
    prepared = make(frame, tmp_path, columns={"when": "time" if names == ["when"] else "date"})
    assert [each for each in prepared.training.columns if "when" in each] == names


def test_dates_that_can_be_read_in_two_ways_are_a_note(tmp_path: Path) -> None:
    frame = make_passengers()[["number", "survived"]]
    frame["when"] = [f"{1 + row % 12:02}/{1 + row % 11:02}/2024" for row in range(ROWS)]
    prepared = make(frame, tmp_path)
    note = 'are read with the month first; if not, set [data.columns] when = "date-dmy"'
    assert any(note in each for each in prepared.notes)


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    frame = make_passengers()
    frame.loc[:9, "survived"] = None
    prepared = make(frame, tmp_path)
    assert sum(prepared.sizes.values()) == ROWS - 10
    assert any("10 rows have no value of 'survived'" in each for each in prepared.notes)


def test_groups_stay_whole_in_every_split(tmp_path: Path) -> None:
    frame = make_passengers()
    frame["patient"] = np.random.default_rng(1).integers(0, 40, ROWS)
    prepared = make(frame, tmp_path, group="patient", redrawn=3)
    assert "patient" not in prepared.training.columns
    assert len(prepared.training.redrawn) == 3
    used = []
    for number in range(4):
        files = prepared.training.select_split(number)
        parts = [
            {*frame["patient"].iloc[find_rows(frame, files, np.load(rows))]}
            for rows in files.row_paths
        ]
        assert not parts[0] & parts[1]
        used.append(parts[1])
        known = find_rows(frame, files, np.arange(len(np.load(files.labels))))
        test = {*frame["patient"].drop(index=known)}
        assert not test & (parts[0] | parts[1])
    assert not any(used[one] & used[two] for one in range(4) for two in range(one))
    for name, message in (("doctor", "no column 'doctor'"), ("age", "has 48 missing values")):
        with pytest.raises(DataError, match=rf"\[data\] group: .*{message}"):
            make(frame, tmp_path, group=name)


def test_the_splits_follow_time(tmp_path: Path) -> None:
    frame = make_passengers()
    frame["sold"] = [f"{1 + row % 28:02}.{1 + row // 28:02}.2024" for row in range(ROWS)]
    frame = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    prepared = make(frame, tmp_path, time="sold", redrawn=3)
    dates = pd.to_datetime(frame["sold"], format="%d.%m.%Y")
    last = []
    for number in range(1 + len(prepared.training.redrawn)):
        files = prepared.training.select_split(number)
        train, validation = (
            dates.iloc[find_rows(frame, files, np.load(rows))] for rows in files.row_paths
        )
        assert train.max() < validation.min()
        known = find_rows(frame, files, np.arange(len(np.load(files.labels))))
        assert validation.max() < dates.drop(index=known).min()
        last.append(validation.max())
    assert len(last) > 1
    assert last == sorted(last, reverse=True)


def test_a_skewed_target_is_stratified_if_asked(tmp_path: Path) -> None:
    frame = make_passengers()
    frame["survived"] = np.exp(np.random.default_rng(0).normal(size=ROWS) * 3)
    plain = make(frame, tmp_path, task="regression")
    prepared = make(frame, tmp_path, task="regression", stratify=True)
    assert plain.split_hash != prepared.split_hash
    test = open_test_set(prepared).labels.numpy()
    ranks = np.searchsorted(np.sort(frame["survived"].astype(np.float32)), test) * 10 // ROWS
    counts = np.bincount(ranks, minlength=10)
    assert counts.max() - counts.min() <= 1
