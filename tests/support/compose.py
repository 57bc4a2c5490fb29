"""What docker-compose.yml says of its services, filled in as compose does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "docker-compose.yml"
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<sign>[-?+])(?P<word>[^}]*))?\})")
SECRETS = {"POSTGRES_PASSWORD": "CANARY-postgres", "RAY_AUTH_TOKEN": "CANARY-ray"}
"""What .env must hold."""


def composed(**environment: str) -> dict[str, Any]:
    """The whole file. Raises KeyError where a variable is empty that must not be."""
    parsed: dict[str, Any] = _filled(yaml.safe_load(FILE.read_text()), environment)
    return parsed


def asked_for() -> set[str]:
    """The names of the variables in the file."""
    return {found["name"] for found in VARIABLE.finditer(FILE.read_text()) if found["name"]}


def _filled(value: Any, environment: dict[str, str]) -> Any:
    def text(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        given, sign, word = environment.get(found["name"], ""), found["sign"], found["word"]
        if sign == "?" and not given:
            raise KeyError(f"{found['name']}: {word}")
        return word if (sign == "-" and not given) or (sign == "+" and given) else given

    if isinstance(value, dict):
        return {key: _filled(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment) for each in value]
    return VARIABLE.sub(text, value) if isinstance(value, str) else value
