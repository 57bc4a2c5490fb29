"""Errors of the command line's parser as one line: the option, its value and what to do."""

from __future__ import annotations

import sys
from typing import Any

import typer

from harness.system.terminal import escape

EXAMPLE = 10
"""A whole number to write."""


class OneLineErrors:
    """Turns a parser's error in its body into one line on stderr and exit status 2."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if getattr(error, "exit_code", None) == 2 and hasattr(error, "format_message"):
            print(f"harness: {escape(format_usage_error(error))}", file=sys.stderr)
            raise typer.Exit(2) from None


def format_usage_error(error: Any) -> str:
    """Return a parser's error as one line."""
    context = getattr(error, "ctx", None)
    command = f"{context.command_path if context else 'harness'} --help"
    if option := (getattr(getattr(error, "param", None), "opts", None) or [""])[0]:
        problem = _read_problem(error)
        if problem.get("type", "").startswith("int_"):
            return (
                f"{option}: '{problem['input']}' is not a whole number; write for example "
                f"{option} {EXAMPLE}"
            )
        if error.message:
            return f"{option}: {error.message.removeprefix('Value error, ').rstrip('.')}"
    if path := _find_key_of_study_file(error):
        return f"no such option: {error.option_name}; write --set {path}=VALUE"
    message = error.format_message()
    message = message[:1].lower() + message[1:].rstrip(".")
    return f"{message} See: {command}" if message.endswith("?") else f"{message}; see: {command}"


def _find_key_of_study_file(error: Any) -> str:
    """Return TABLE.KEY if an unknown option names a key that the command's --set takes, or ""."""
    option = getattr(error, "option_name", "")
    parameters = error.ctx.command.params if option and error.ctx else ()
    metavars = [str(each.metavar) for each in parameters if "--set" in each.opts]
    if not metavars:
        return ""
    from harness.config.schema import default_values

    key = option.lstrip("-").replace("-", "_")
    prefix = metavars[0].partition("KEY")[0].replace("TABLE.", "")  # new-study sets [data] only
    paths = [f"{table}.{key}" for table, keys in default_values().items() if key in keys]
    return next((path for path in paths if path.startswith(prefix)), "")


def _read_problem(error: Any) -> dict[str, Any]:
    """Return what pydantic, which converts the values for typer, reports of a value."""
    errors = getattr(error.__cause__, "errors", None)
    return dict(errors()[0]) if errors else {}
