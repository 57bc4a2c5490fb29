"""The format of `--help`: usage as people write it, options in groups, no sentence cut off."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from harness.cli.usage_errors import OneLineErrors

RUN, READ, KEEP = "Run", "Read the results", "Check the records"
"""Groups of commands, in the order of the help."""
ARGUMENTS, OPTIONS = "Arguments", "Options"
MACHINE, RECORDS, OUTPUT = "Machine", "Data and records", "Output"
"""Groups of options; one without a group is in OPTIONS."""
EXIT_STATUSES = (
    ("0", "done"),
    ("1", "failed; for doctor and replay: something differs"),
    ("2", "a file, a name or an option must be changed"),
    ("75", "done, but some records are not sent; run harness sync"),
    ("130", "stopped; rerun the same command to continue"),
)
"""See harness.errors."""
MAX_WIDTH, MIN_WIDTH = 100, 30
NAME_SHARE = 0.3
"""The largest share of the width for the names of options and commands."""
INDENT = "  "

Function = TypeVar("Function", bound=Callable[..., Any])
Sections = dict[str, list[tuple[str, str]]]
"""(name, text) of each row by the section's title."""


class HelpFormat:
    """Mixed into a command: formats its help for the width of the terminal."""

    def get_help(self: Any, ctx: Any) -> str:
        width = max(MIN_WIDTH, min(shutil.get_terminal_size().columns, MAX_WIDTH) - 1)
        summary, _, details = inspect.cleandoc(self.help or "").partition("\n\n")
        usage = f"{ctx.command_path} {' '.join(self.collect_usage_pieces(ctx))}"
        parts = [_wrap(f"Usage: {usage}", width, hanging=" " * 7)]
        parts += [_wrap(each, width) for each in (summary, *details.split("\n\n")) if each]
        is_group = isinstance(self, TyperGroup)
        parts += _format_sections(_list_commands(self), width) if is_group else ()
        parts += _format_sections(_list_params(self, ctx), width)
        parts += _format_sections({"Exit status": list(EXIT_STATUSES)}, width) if is_group else ()
        return "\n\n".join([*parts, _wrap(self.epilog, width, hanging=INDENT)])

    def collect_usage_pieces(self: Any, ctx: Any) -> list[str]:
        arguments = [param for param in self.get_params(ctx) if _is_argument(param)]
        names = [_format_argument(argument) for argument in arguments]
        return [*(["COMMAND"] if isinstance(self, TyperGroup) else names), "[options]"]


class HelpCommand(HelpFormat, TyperCommand):
    """A subcommand."""


class HelpGroup(HelpFormat, TyperGroup):
    """The commands; an error of their parser is one line."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with OneLineErrors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with OneLineErrors():
            return super().invoke(ctx)


class Commands(typer.Typer):
    """A set of subcommands whose help has this format."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": HelpCommand, **options})


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _format_argument(param: Any) -> str:
    name = str(param.metavar)
    return name if param.required else f"[{name}]"


def _list_commands(group: Any) -> Sections:
    """Return the subcommands with their summaries by group."""
    sections: Sections = {title: [] for title in (RUN, READ, KEEP)}
    for name, command in group.commands.items():
        summary = inspect.cleandoc(command.help or "").partition("\n\n")[0]
        sections[command.rich_help_panel].append((name, summary))
    return sections


def _list_params(command: Any, ctx: Any) -> Sections:
    """Return the arguments and the options by group; --help is the last one."""
    sections: Sections = {title: [] for title in (ARGUMENTS, OPTIONS, MACHINE, RECORDS, OUTPUT)}
    for param in command.get_params(ctx):
        if _is_argument(param):
            sections[ARGUMENTS].append((param.metavar, param.help or ""))
        elif (record := param.get_help_record(ctx)) is not None:
            # --help comes last, so where there are groups, it is in the last one.
            is_grouped = any(sections[title] for title in (MACHINE, RECORDS, OUTPUT))
            last = OUTPUT if param.name == "help" and is_grouped else OPTIONS
            sections[getattr(param, "rich_help_panel", None) or last].append(record)
    return sections


def _format_sections(sections: Sections, width: int) -> Iterator[str]:
    """Format each section that has rows; the texts of all of them start in one column."""
    names = [name for rows in sections.values() for name, _ in rows]
    column = min(max(map(len, names)), int(NAME_SHARE * width)) + 2 * len(INDENT)
    for title, rows in sections.items():
        if rows:
            yield "\n".join([f"{title}:", *(_format_row(*row, column, width) for row in rows)])


def _format_row(name: str, text: str, column: int, width: int) -> str:
    """Format a row; a name that is too long for its column has a line of its own."""
    first = f"{INDENT}{name}{INDENT}".ljust(column)
    if len(first) <= column:
        return _wrap(text, width, first, " " * column)
    return f"{first.rstrip()}\n{_wrap(text, width, ' ' * column, ' ' * column)}"


def _wrap(text: str, width: int, first: str = "", hanging: str = "") -> str:
    """Wrap a text; words are not cut at hyphens, so that commands and options can be copied."""
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
