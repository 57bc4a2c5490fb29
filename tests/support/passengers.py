"""A made-up table of passengers, whose survival and fare follow from their age and deck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def make_rows(rows: int = 300) -> pd.DataFrame:
    """Make a table with the classes `survived` and the number `fare`, and missing values."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(1, 80, rows).astype(float),
            "class": rng.integers(1, 4, rows),
            "deck": rng.choice(["A", "B", "C"], rows),
            "boarded": pd.date_range("2024-01-01", periods=rows).strftime("%d.%m.%Y"),
        }
    )
    score = frame["age"] / 40 + (frame["deck"] == "A") + rng.normal(0, 0.3, rows)
    frame["survived"] = (score > score.median()).astype(int)
    frame["fare"] = 20 * score + 7
    frame["age"] = frame["age"].mask(frame.index % 5 == 0)
    frame["deck"] = frame["deck"].mask(frame.index % 7 == 0)
    return frame


def write_tables(folder: Path) -> None:
    """Write people.csv to learn `survived` from, fares.csv to learn `fare`; new.csv has neither."""
    frame = make_rows(500)
    frame[:450].drop(columns="fare").to_csv(folder / "people.csv", index=False)
    frame[:450].drop(columns="survived").to_csv(folder / "fares.csv", index=False)
    frame[450:].drop(columns=["survived", "fare"]).to_csv(folder / "new.csv", index=False)
