"""A model class as a name `module:Class` that a worker can import.

A class from a file keeps its name. The source of one that was defined in a notebook or in the
script that runs is written to a file beside the study, with what it uses: other classes,
functions, plain values, and the imports. The record keeps that file, and nothing is pickled.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import linecache
import re
import symtable
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from harness.errors import ConfigError

MAIN = "__main__"
"""The module of a notebook and of the script that was started."""
HEADER = "from __future__ import annotations\n"
ADVICE = "put the class into a .py file beside the notebook, and import it from there"


@dataclass(frozen=True)
class ModelSource:
    """A model class by its name in a study file, and the file to write for it."""

    name: str
    """`module:Class`."""
    text: str = ""
    """The file's content; empty if the class is in a file already."""

    def write(self, folder: Path) -> None:
        """Write the file, whose name has a hash of its content, unless it is there."""
        if not self.text:
            return
        path = folder / f"{self.name.partition(':')[0]}.py"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text, encoding="utf-8")


def find_model_source(model: type) -> ModelSource:
    """Return how a study file names a class. Raises ConfigError if its source cannot be read."""
    if "<locals>" in model.__qualname__ or "." in model.__qualname__:
        raise ConfigError(
            f"model: {model.__name__} is defined inside {model.__qualname__.split('.')[0]}; define "
            "it at the top level"
        )
    if model.__module__ != MAIN:
        return ModelSource(f"{model.__module__}:{model.__name__}")
    lines = _SourceCollector(model.__name__).collect()
    text = HEADER + "\n".join(lines)
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", model.__name__).lower()
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return ModelSource(f"{stem}_{digest}:{model.__name__}", text)


class _SourceCollector:
    """Collects the source of a class of `__main__`, after the source of what it uses."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._names = vars(sys.modules[MAIN])
        self._done: set[str] = set()
        self._imports: list[str] = []
        self._values: list[str] = []
        self._definitions: list[str] = []

    def collect(self) -> list[str]:
        """Return the lines of the file: imports, values, then classes and functions."""
        self._add(self._root)
        return [*sorted(self._imports), "", *self._values, "", *self._definitions]

    def _add(self, name: str) -> None:
        if name in self._done or name not in self._names:
            return  # a missing name is an error of the class itself, with a message of its own
        self._done.add(name)
        value = self._names[name]
        if isinstance(value, ModuleType):
            self._imports.append(f"import {value.__name__} as {name}")
        elif isinstance(value, type | FunctionType) and value.__module__ == MAIN:
            text = _read_source(value)
            for used in _list_globals(text):
                self._add(used)
            self._definitions += ["", "", text]
            if value.__name__ != name:
                self._definitions += ["", "", f"{name} = {value.__name__}"]
        elif statement := _format_import(value, name):
            self._imports.append(statement)
        elif _is_plain(value):
            self._values.append(f"{name} = {value!r}")
        else:
            raise ConfigError(
                f"model: {self._root} uses the variable '{name}' (a {type(value).__name__}), which "
                f"cannot be stored with its source; pass it as an argument, or {ADVICE}"
            )


def _read_source(value: type | FunctionType) -> str:
    """Return the source of a class or function of `__main__`. Raises ConfigError."""
    for code in _list_code(value):
        text = "".join(linecache.getlines(code.co_filename))
        try:
            tree = ast.parse(text)
        except SyntaxError:  # a cell with magic commands
            tree = ast.parse(re.sub(r"(?m)^(\s*)[%!]", r"\1#", text))
        for node in tree.body:
            if getattr(node, "name", "") != value.__name__:
                continue
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(each.lineno for each in decorators)])
            if first <= code.co_firstlineno <= (node.end_lineno or 0):
                return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    raise ConfigError(f"model: the source of {value.__name__} cannot be read; {ADVICE}")


def _list_code(value: type | FunctionType) -> Iterator[Any]:
    """Yield the code objects of a function, or of a class's methods."""
    members = vars(value).values() if isinstance(value, type) else [value]
    for member in members:
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if isinstance(function, FunctionType):
            yield function.__code__


def _list_globals(text: str) -> list[str]:
    """Return the names that a source uses and does not define, apart from Python's own."""
    names: dict[str, None] = {}
    pending = [symtable.symtable(HEADER + text, MAIN, "exec")]
    while pending:
        table = pending.pop()
        is_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            is_used = symbol.is_referenced() and (symbol.is_global() or is_top)
            if is_used and not hasattr(builtins, symbol.get_name()):
                names[symbol.get_name()] = None
        pending += table.get_children()
    return list(names)


def _format_import(value: Any, name: str) -> str:
    """Return the statement that imports an object from its module; empty if there is none."""
    module_name = str(getattr(value, "__module__", None) or "")
    its_name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
    candidates = [module_name, *sorted(sys.modules, key=len)] if callable(value) else []
    for candidate in candidates:
        module = sys.modules.get(candidate)
        if candidate == MAIN or module is None or not its_name.isidentifier():
            continue
        if vars(module).get(its_name) is value:
            return f"from {candidate} import {its_name} as {name}"
    return ""


def _is_plain(value: Any) -> bool:
    """Whether the value is a literal of numbers, strings, lists and so on."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
