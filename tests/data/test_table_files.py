"""Files of tables as people have them: encodings, comments, blank rows, merged headers."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from harness.data.prepare import PreparedDataset, prepare
from harness.data.table_files import read_table
from harness.data.types import DataOptions
from harness.errors import DataError

ROWS = [f"{number},{'größer' if number % 3 else 'klein'},{number % 7}.5\n" for number in range(60)]
TEXT = "breite,art,preis\n" + "".join(ROWS)


def make(path: Path, **changes: object) -> PreparedDataset:
    options: dict[str, object] = {"validation": 0.2, "test": 0.2, "split_seed": 0}
    options |= {"normalize": True, "target": "preis", "task": "regression"}
    return prepare(str(path), cache=path.parent / "cache", **(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)
def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    prepared = make(path)
    assert prepared.training.columns == ("breite", "art=größer", "art=klein")
    is_guessed = encoding in ("cp1252", "latin-1")
    note = "is not UTF-8, read as Windows-1252 (Western European), such as 'größer'; if that is"
    assert any(note in each for each in prepared.notes) == is_guessed


def test_an_encoding_that_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.replace("größer", "větší").encode("cp1250"))
    assert "art=větší" in make(path, encoding="cp1250").training.columns
    pd.read_csv(path, encoding="cp1250").to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"encoding: .* is a \.parquet file"):
        make(tmp_path / "a.parquet", encoding="cp1250")


LAYOUTS = {
    "a comment between the rows": (
        TEXT.replace(ROWS[9], f"# half of it\n{ROWS[9]}"),
        "one line of",
    ),
    "blank rows at the end": (TEXT + ",,\n,,\n", "left out 2 empty rows"),
    "an empty column at the end": (TEXT.replace("\n", ",\n"), ""),
    "row numbers without a name": (
        "".join(
            f"{number - 1 if number else ''},{line}\n"
            for number, line in enumerate(TEXT.splitlines())
        ),
        "first column, which has no name and numbers the rows",
    ),
    "a quoted line break": (TEXT.replace("größer", '"größer"').replace("klein", '"klein"'), ""),
}


@pytest.mark.parametrize("how", LAYOUTS)
def test_what_surrounds_the_rows_is_left_out(tmp_path: Path, how: str) -> None:
    path, (text, note) = tmp_path / "a.csv", LAYOUTS[how]
    path.write_text(text, encoding="utf-8")
    prepared = make(path)
    assert prepared.training.columns == ("breite", "art=größer", "art=klein")
    assert sum(prepared.sizes.values()) == 60
    assert any(note in each for each in prepared.notes) or not note


def test_a_line_break_in_quotes_is_part_of_a_value(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TEXT.replace("größer", '"grö\n#ßer"'), encoding="utf-8")
    assert "art=grö\n#ßer" in make(path).training.columns


def write_book(path: Path, head: list[list[object]], merge: str = "") -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in head:
        sheet.append(row)
    for number in range(60):
        sheet.append([number, "big" if number % 3 else "small", number % 7 + 0.5])
    for cells in merge.split():
        sheet.merge_cells(cells)
    book.save(path)


def test_merged_headers_and_titles_of_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    write_book(path, [["Size", None, "preis"], ["width", "kind", None]], "A1:B1 C1:C2")
    prepared = make(path)
    assert prepared.training.columns == ("Size width", "Size kind=big", "Size kind=small")
    assert any("two rows with merged cells: Size width, Size kind" in e for e in prepared.notes)
    write_book(path, [["Prices of 2024", None, None], [], ["width", "kind", "preis"]], "A1:C1")
    prepared = make(path)
    assert prepared.training.columns == ("width", "kind=big", "kind=small")
    assert any("named in row 3, below 'Prices of 2024'" in each for each in prepared.notes)
    write_book(path, [["width", None, "preis"]])
    with pytest.raises(DataError, match="column 2 has no name"):
        make(path)
    frame = read_table(path, "a.xlsx", DataOptions(target="preis"), strict=False).frame
    assert len(frame) == 60
