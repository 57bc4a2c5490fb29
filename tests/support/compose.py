"""Read docker-compose.yml with its variables replaced, as docker compose does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<sign>[-?+])(?P<word>[^}]*))?\})")
SECRETS = {"POSTGRES_PASSWORD": "CANARY-postgres", "RAY_AUTH_TOKEN": "CANARY-ray"}
"""The variables that .env must set."""


def load_compose(**environment: str) -> dict[str, Any]:
    """Return the file. Raises KeyError if a required variable is empty."""
    parsed: dict[str, Any] = _fill_in(yaml.safe_load(COMPOSE_FILE.read_text()), environment)
    return parsed


def find_variables() -> set[str]:
    """Return the names of the variables in the file."""
    matches = VARIABLE.finditer(COMPOSE_FILE.read_text())
    return {match["name"] for match in matches if match["name"]}


def _fill_in(value: Any, environment: dict[str, str]) -> Any:
    def replace(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        current, sign, word = environment.get(match["name"], ""), match["sign"], match["word"]
        if sign == "?" and not current:
            raise KeyError(f"{match['name']}: {word}")
        return word if (sign == "-" and not current) or (sign == "+" and current) else current

    if isinstance(value, dict):
        return {key: _fill_in(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, environment) for item in value]
    return VARIABLE.sub(replace, value) if isinstance(value, str) else value
