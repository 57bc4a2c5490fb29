"""Dates and times that are written as texts, as seconds.

31.12.2024   2024-12-31 10:30   12/31/2024   31 Dec 2024   Dec 31, 2024   10:30   2:15 pm
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from .number_texts import clean_spaces

HOUR = r"(?:[01]?\d|2[0-4])"
TIME = (
    rf"(?:{HOUR}:[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?|{HOUR}\.[0-5]\d\.[0-5]\d)(?: ?[AaPp]\.?[Mm]\.?)?"
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
DATE = (
    rf"(?:\d{{4}}(?P<first>[-/.])\d\d?(?P=first)\d\d?"
    rf"|\d\d?(?P<second>[-/.])\d\d?(?P=second)(?:\d{{4}}|\d\d)"
    rf"|\d\d?\.?[ -]{MONTH}[ ,-]*(?:\d{{4}}|\d\d)|{MONTH} \d\d?,? \d{{4}})"
)
ZONE = r"(?: ?(?:Z|UTC|[-+]\d\d:?\d\d))?"
DATE_OR_TIME = re.compile(rf"{DATE}(?:[T ,]+{TIME}{ZONE})?|{TIME}", re.IGNORECASE)
PARTS = re.compile(
    rf"(?:(?P<date>{DATE})(?:[T ,]+|$))?(?:(?P<time>{TIME})(?P<zone>{ZONE}))?", re.IGNORECASE
)
IN_DIGITS = re.compile(r"(\d\d?)[-/.](\d\d?)[-/.](?:\d{4}|\d\d)\b")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CENTURY = 69
"""Years of two digits below this are of this century."""


def read_seconds(text: str, order: str) -> float:
    """Return the seconds since 1970 (UTC), or since midnight for a time; NaN for any other text.

    `order` is `dmy` or `mdy`: whether 01/02/2024 is in February or in January; or `time` for times
    of the day, of which 18.00.00 may look like a date.
    """
    if order == "time":
        return _read_time(text) if is_time(text) else float("nan")
    match = PARTS.fullmatch(clean_spaces(text))
    if match is None or not any(match.groups()):
        return float("nan")
    date, time, zone = match["date"], match["time"], match["zone"]
    try:
        seconds = 0.0
        if date:
            year, month, day = _read_date(date, order)
            seconds = (datetime(year, month, day, tzinfo=UTC) - EPOCH).total_seconds()
        return seconds + (_read_time(time) if time else 0.0) - _read_zone(zone or "")
    except ValueError:  # 31 February
        return float("nan")


def guess_order(texts: Iterable[str]) -> tuple[str, bool]:
    """Return the order of days and months in dates of digits, and whether the texts prove it.

    Without proof, a date with dots has the day first, and one with slashes or dashes the month.
    """
    pairs = [match for text in texts if (match := IN_DIGITS.match(clean_spaces(text)))]
    if any(int(match[1]) > 12 for match in pairs):
        return "dmy", True
    if any(int(match[2]) > 12 for match in pairs):
        return "mdy", True
    has_dots = all("." in match[0] for match in pairs)
    return "dmy" if has_dots else "mdy", not pairs or has_dots


def is_time(text: str) -> bool:
    """Whether a text is a time of the day without a date."""
    return re.fullmatch(TIME, clean_spaces(text)) is not None


def _read_date(text: str, order: str) -> tuple[int, int, int]:
    numbers = [int(each) for each in re.findall(r"\d+", text)]
    if name := re.search(MONTH, text, re.IGNORECASE):
        day, year = numbers
        return _complete_year(year, text), 1 + MONTHS.index(name[0][:3].lower()), day
    first, second, third = numbers
    if re.match(r"\d{4}", text):
        return first, second, third
    day, month = (first, second) if order == "dmy" else (second, first)
    return _complete_year(third, text), month, day


def _complete_year(year: int, text: str) -> int:
    if re.search(r"\d{4}", text):
        return year
    return year + (2000 if year < CENTURY else 1900)


def _read_time(text: str) -> float:
    numbers = re.findall(r"\d+(?:(?<=:\d\d)[.,]\d+)?", text.strip()) if ":" in text else None
    hours, minutes, *rest = numbers or re.findall(r"\d+", text)
    hour = int(hours)
    if half := re.search(r"([AaPp])\.?[Mm]", text):
        hour = hour % 12 + (12 if half[1] in "Pp" else 0)
    seconds = float(rest[0].replace(",", ".")) if rest else 0.0
    return timedelta(hours=hour, minutes=int(minutes)).total_seconds() + seconds


def _read_zone(text: str) -> float:
    match = re.fullmatch(r"([-+])(\d\d):?(\d\d)", text.strip())
    if match is None:
        return 0.0
    seconds = 3600.0 * int(match[2]) + 60.0 * int(match[3])
    return -seconds if match[1] == "-" else seconds
