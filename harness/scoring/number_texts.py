"""Numbers that are written as texts: decimal commas, thousands, money and percentages.

12,5   1.234,50   1 234    decimal comma; thousands with a dot, a space or an apostrophe
$1,234   12 EUR   (50)     money; parentheses are negative
12 %                       percentages: 12
"""

from __future__ import annotations

import re

CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BRL|MXN|ZAR|KRW|SGD|HKD|"
    "TRY|RUB|ILS|THB"
)
UNIT = rf"(?:US\$|R\$|[$€£¥₹₽₩₺฿₫₴₪%]|kr\.?|zł|Kč|Ft|(?:{CODES}))"
NUMBER = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+−]?)(?P<before>{UNIT})?(?P<inner>[-+−]?)"
    rf"(?P<digits>\d[\d.,'’ ]*|[.,]\d+)(?P<exponent>[eE][-+]?\d+)?(?P<after>{UNIT})?(?P<close>\))?"
)
THOUSANDS = {mark: re.compile(rf"\d{{1,3}}({re.escape(mark)}\d{{2,3}})*{re.escape(mark)}\d{{3}}")
             for mark in (".", ",")}  # fmt: skip
SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009\t", " "))


def parse_number(text: str, mark: str) -> float:
    """Return the number that a text is. Raises ValueError if the decimal mark is another."""
    other = "," if mark == "." else "."
    match = NUMBER.fullmatch(join_digits(text))
    if match is None or (match["open"] is None) != (match["close"] is None):
        raise ValueError(text)
    whole, point, fraction = re.sub("['’ ]", "", match["digits"]).partition(mark)
    if other in whole:
        if not THOUSANDS[other].fullmatch(whole):
            raise ValueError(text)
        whole = whole.replace(other, "")
    value = float(f"{whole or 0}{'.' if point else ''}{fraction}{match['exponent'] or ''}")
    is_negative = {match["sign"], match["inner"]} & {"-", "−"} or match["open"]
    return -value if is_negative else value


def read_number(text: str, mark: str) -> float:
    """Return the number that a text is, NaN for any other text.

    With a decimal comma, `1.5` can only be a decimal point and `1.234` is 1234.
    """
    try:
        return parse_number(text, mark or ".")
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return float("nan")


def clean_spaces(text: str) -> str:
    """Return a text with plain spaces, and none at its ends."""
    return text.translate(SPACES).strip()


def join_digits(text: str) -> str:
    """Return a text without the spaces around its digits, which may stand before a unit."""
    return re.sub(r"(?<=[^\d]) | (?=[^\d])", "", clean_spaces(text))
