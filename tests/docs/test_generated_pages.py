"""The pages that are made from the code are what the code makes today."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.config.limits import LimitsTable
from harness.config.model_tables import ConfirmTable, EnsembleTable, FinalTable
from harness.config.study_tables import DataTable, StudyTable
from harness.trial import TrialSpec
from tests.docs.generated_pages import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    text = (DOCS / name).read_text()
    assert PAGES[name](text) == text, f"docs/{name} is out of date: run `make docs`, and commit it"


def test_every_key_has_a_type_and_a_meaning() -> None:
    page = (DOCS / "reference/study-file.md").read_text()
    tables = (StudyTable, DataTable, LimitsTable, ConfirmTable, EnsembleTable, FinalTable)
    keys = {key for table in tables for key in table.model_fields}
    keys |= {field.name for field in fields(TrialSpec)} - {"seed", "code"}
    rows = {
        cells[1].strip().strip("`"): cells
        for line in page.replace(r"\|", "").splitlines()
        if len(cells := line.split("|")) == 6
    }
    assert keys <= rows.keys()
    assert all(all(cell.strip() for cell in rows[key][1:5]) for key in keys)
