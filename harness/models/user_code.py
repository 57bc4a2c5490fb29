"""A class of the user's own code, by its name: found, fingerprinted, imported.

A study file that names a model runs its code, with the rights of whoever starts the study.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, did_you_mean

INSTALLED = {"site-packages", "dist-packages"}
DIGITS, MOST_FILES = 12, 20
CODE = "__harness_code__"
"""Set on a module: what it was made of when it was imported."""


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Inside, and in processes started inside, modules in these folders can be imported.

    They come last: a file beside a study cannot take the place of an installed package.
    """
    before = {str(Path(path).resolve()) for path in sys.path}
    added = [str(each) for each in dict.fromkeys(f.resolve() for f in folders)]
    added = [path for path in added if path not in before]
    sys.path.extend(added)
    try:
        yield
    finally:
        for path in added:
            sys.path.remove(path)


def files_of(model: str) -> dict[str, Path]:
    """The files that a model is made of, by their paths from the folder that it was found in.

    Its own module and those of the same folder that `import` statements lead to; of an installed
    package its own module alone. Nothing is run. Raises ConfigError.
    """
    name = model.partition(":")[0]
    root, _ = _found(name)
    return {file.relative_to(root).as_posix(): file for file in sorted(_modules(name).values())}


def code_of(model: str) -> dict[str, str]:
    """The SHA-256 of each of `files_of`."""
    files = files_of(model)
    return {path: hashlib.sha256(files[path].read_bytes()).hexdigest() for path in files}


def fingerprint(code: Mapping[str, str]) -> str:
    """`nets.py 3f2a91c0d2e4, blocks.py 77b0...`; of many files, one number for all."""
    if len(code) > MOST_FILES:
        digest = hashlib.sha256("\n".join(f"{path} {code[path]}" for path in code).encode())
        return f"{len(code)} files {digest.hexdigest()[:DIGITS]}"
    return ", ".join(f"{path} {digest[:DIGITS]}" for path, digest in code.items())


def load_class(model: str, made_of: str = "") -> Any:
    """What `package.module:Class` names; anew where its files are not those that were imported.

    Raises ConfigError, with the reason, where it cannot be imported, or is not `made_of` that, a
    fingerprint.
    """
    name, _, wanted = model.partition(":")
    code = code_of(model)
    if made_of and fingerprint(code) != made_of:
        raise ConfigError(
            f"model: {model} is not what it was: it is made of {fingerprint(code)} now, it was of "
            f"{made_of}; give back the files of then"
        )
    loaded = sys.modules.get(name)
    if loaded is not None and code and vars(loaded).get(CODE) != code:
        for each in _modules(name):
            sys.modules.pop(each, None)
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"model: {name} cannot be imported: {in_words(error)}") from error
    vars(module)[CODE] = code
    if not hasattr(module, wanted):
        own = [key for key, value in vars(module).items() if _is_own(value, name)]
        raise ConfigError(
            f"model: the module {name} has no class {wanted}{did_you_mean(wanted, own)}"
        )
    return getattr(module, wanted)


def in_words(error: BaseException) -> str:
    """`TypeError: what it said (nets.py, line 12)`: the line, if it is in a file of the user's."""
    said = (str(error).strip() or "no message").splitlines()[0]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_file()
        and not _installed(Path(frame.filename))
        and not Path(frame.filename).is_relative_to(Path(__file__).parents[1])
    ]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {said}{where}"


def _is_own(value: Any, module: str) -> bool:
    return isinstance(value, type) and value.__module__ == module


def _found(name: str) -> tuple[Path, Path | None]:
    """The folder in which a module's top package lies, and the module's own file if it has one."""
    path: list[str] | None = None
    root = Path()
    words = name.split(".")
    for depth in range(1, len(words) + 1):
        try:
            spec = PathFinder.find_spec(".".join(words[:depth]), path)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise ConfigError(_no_module(".".join(words[:depth])))
        origin = Path(spec.origin) if spec.has_location and spec.origin else None
        path = list(spec.submodule_search_locations or [])
        if depth == 1:
            root = origin.parent if origin else Path(path[0]) if path else Path()
            root = root.parent if path else root
    return root, origin


def _modules(name: str) -> dict[str, Path]:
    """Its module, and those of the same folder that it imports, with their files."""
    root, origin = _found(name)
    if origin is None:
        return {}
    if _installed(root):
        return {name: origin}
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        file = _file(root, each)
        if each and each not in found and file is not None:
            found[each] = file
            waiting += [each.rpartition(".")[0], *_imported_by(each, file)]
    return found


def _file(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    files = (base / "__init__.py", base.parent / f"{base.name}.py")
    return next((file for file in files if file.is_file()), None)


def _imported_by(name: str, file: Path) -> Iterator[str]:
    """What its `import` statements name, harness apart; some of it may be no module."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise ConfigError(f"model: {file.name}, line {error.lineno}: {error.msg}") from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"model: {file.name} cannot be read: {error}") from None
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        yield from (each for each in names if each.partition(".")[0] != "harness")


def _installed(folder: Path) -> bool:
    """Whether it holds packages or Python's own modules, and not the user's."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    return bool(INSTALLED.intersection(folder.parts)) or folder.is_relative_to(stdlib)


def _no_module(name: str) -> str:
    top, _, rest = name.rpartition(".")
    if top:
        return f"model: the package {top} has no module {rest}"
    own = [path for path in sys.path if not _installed(Path(path).resolve())]
    names = [module.name for module in pkgutil.iter_modules(own)]
    near = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    return (
        f"model: there is no module {name}: no {name}.py beside the study file or in the current "
        f"folder, and none is installed{meant}"
    )
