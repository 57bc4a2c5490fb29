"""Every built-in dataset is described, found and documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.builtin import DATASETS, find_dataset
from harness.errors import DataError
from harness.inference.preprocessing import PixelStatistics, Preprocessing

ROOT = Path(__file__).parents[2]
BUNDLED = {"digits"}
"""Datasets without files."""


@pytest.mark.parametrize("name", DATASETS)
def test_the_entry_is_complete(name: str) -> None:
    dataset = DATASETS[name]
    assert name == name.lower()
    assert dataset.description[0].isupper() or dataset.description[0].isdigit()
    assert len(dataset.description) <= 100
    assert not dataset.description.endswith(".")
    assert 0 < dataset.brightest <= 255
    assert 0 <= dataset.border <= 1


@pytest.mark.parametrize("name", DATASETS)
def test_missing_files_are_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    if name in BUNDLED:
        source = find_dataset(name, tmp_path, download=False)
        assert (source.name, len(source.decode().classes)) == (name, 10)
        return
    message = rf"^{name}: no file {tmp_path}/.*; point --data-dir or .* quickstart` needs no files$"
    with pytest.raises(DataError, match=message):
        find_dataset(name, tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_an_older_record_without_pixel_statistics_can_be_predicted_with(name: str) -> None:
    pixels = PixelStatistics.read({}, name)
    assert (pixels.minimum, pixels.maximum) == (0, DATASETS[name].brightest)
    preprocessing = Preprocessing.of("study", {"input": "uint8 [28, 28]"}, name)
    assert preprocessing.keeps_aspect == DATASETS[name].keeps_aspect
    assert (preprocessing.kind == "handwriting") == (DATASETS[name].digit_style is not None)


@pytest.mark.parametrize("name", DATASETS)
def test_the_dataset_is_documented(name: str) -> None:
    page = ROOT / "docs" / "reference" / "study-file.md"
    assert f"| `{name}` |" in page.read_text(), f"document the dataset {name}: make docs"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=f"no dataset 'x'; known: {', '.join(sorted(DATASETS))}; "):
        find_dataset("x")
