"""`--set TABLE.KEY=VALUE`: replace one value of a study file from the command line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from harness.config.schema import TABLES
from harness.config.validation import LAYER_KEYS
from harness.errors import ConfigError

POINT_FIRST = r"(?<![\w.])([+-]?)\.(?=\d)"
POINT_LAST = r"(?<=\d)\.(?![\w.])"
"""The points of `.001` and `1.`, which TOML does not allow."""


def apply_override(
    override: str, tables: dict[str, dict[str, Any]], trials: Sequence[dict[str, Any]]
) -> tuple[str, str]:
    """Write the value into its table, and return the table's name and the key.

    A field set in [train] is no longer sampled, nor varied by the [[trial]] tables; one set in
    [space] is no longer fixed. The kind of a table's column is set by `data.columns.NAME=KIND`.
    Raises ConfigError.
    """
    if column := re.fullmatch(r"data\.columns\.(.+)=([\w-]+|\"[\w-]+\")", override, re.DOTALL):
        kinds = tables["data"].get("columns")
        kinds = kinds if isinstance(kinds, dict) else {}
        tables["data"]["columns"] = kinds | {column[1].strip('"'): column[2].strip('"')}
        return "data", "columns"
    match = re.fullmatch(r"([a-z]+)\.((?:arguments\.)?\w+)=(.*)", override, re.DOTALL)
    if not match or match[1] not in TABLES:
        raise ConfigError(
            f"--set {override}: write TABLE.KEY=VALUE with TABLE one of {', '.join(TABLES)}"
        )
    table, key, text = match.groups()
    if table == "train":
        for name in ("hidden", *LAYER_KEYS) if key == "hidden" else (key,):
            for varied in (tables["space"], *trials):
                varied.pop(name, None)
    if table == "space":
        tables["train"].pop("hidden" if key in LAYER_KEYS else key, None)
    tables[table][key] = _parse_value(override, text)
    return table, key


def _parse_value(override: str, text: str) -> Any:
    """A TOML value; bare words are a string, and `.001` and `1.` are numbers too."""
    for attempt in (text, re.sub(POINT_FIRST, r"\g<1>0.", re.sub(POINT_LAST, ".0", text))):
        try:
            return tomllib.loads(f"value = {attempt}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    advice = explain_value(text)
    if re.fullmatch(r"[\w.:/-]+", text) or (
        not advice and re.fullmatch(r"[\w.:/-]+( [\w.:/-]+)*", text)
    ):
        return text
    advice = advice or "write lists as [300,100]"
    raise ConfigError(f"--set {override}: {text!r} is not a TOML value; {advice}")


def explain_value(text: str) -> str:
    """Explain what TOML forbids and people type, as advice; "" if the text has nothing such."""
    text = text.strip()
    if comma := re.search(r"^([+-]?\d+),(\d+)$|=\s*([+-]?\d+),(\d+)|(?<![\d.])(0),(0\d*)", text):
        whole, fraction = (each for each in comma.groups() if each is not None)
        may_be_list = comma[0] == text and not whole.startswith("0") and fraction[0] != "0"
        either = f", or a list as [{text}]" if may_be_list else ""
        return f"write a number with a point: {whole}.{fraction}{either}"
    if zeros := re.search(r"(?<![\w.+-])[+-]?0+([1-9]\d*)(?![\w.:-])", text):
        return f"write {zeros[1]} instead of {zeros[0]}: a number does not begin with 0"
    if re.search(rf"{POINT_FIRST}|{POINT_LAST}", text):
        return "write a digit before and after the point of a number: 0.001, 1.0"
    if re.search(r"(?<![\w'\"])(True|False)(?!\w)", text):
        return "write true or false"
    if re.search(r"(?<![\w'\"])None(?!\w)", text):
        return "TOML has no None: leave the key out"
    return ""


def format_toml(value: Any) -> str:
    """Format a value on one line, as --set takes it: TOML, but a string without quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={format_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)
