"""Find, fingerprint and import the user's code by a name such as `nets:SmallConv`.

A study file that names a model runs that code with the rights of the user who starts the study.
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
from harness.model_arguments import BUILT_IN_MODULES

INSTALL_FOLDERS = {"site-packages", "dist-packages"}
HASH_DIGITS, MAX_FILES_NAMED = 12, 20
CODE_ATTRIBUTE = "__harness_code__"
"""Attribute set on an imported module: the hashes of its files at that time."""


@contextmanager
def importable_from(*folders: Path) -> Iterator[None]:
    """Make modules in these folders importable inside the context and in processes started in it.

    The folders come last in sys.path: a file beside a study cannot shadow an installed package.
    """
    before = {str(Path(path).resolve()) for path in sys.path}
    added = [str(folder) for folder in dict.fromkeys(f.resolve() for f in folders)]
    added = [path for path in added if path not in before]
    sys.path.extend(added)
    try:
        yield
    finally:
        for path in added:
            sys.path.remove(path)


def find_model_files(model: str) -> dict[str, Path]:
    """Return a model's source files by their paths relative to the folder of its top package.

    These are its module and the modules of the same folder that it imports, directly or not; for an
    installed package its module alone; for a built-in one none. No code is run. Raises ConfigError.
    """
    if model in BUILT_IN_MODULES:
        return {}
    name = model.partition(":")[0]
    root, _ = _locate(name)
    return {
        file.relative_to(root).as_posix(): file for file in sorted(_find_modules(name).values())
    }


def hash_model_files(model: str) -> dict[str, str]:
    """Return the SHA-256 of each file that `find_model_files` returns."""
    files = find_model_files(model)
    return {path: hashlib.sha256(files[path].read_bytes()).hexdigest() for path in files}


def fingerprint(code: Mapping[str, str]) -> str:
    """Format file hashes as `nets.py 3f2a91c0d2e4, blocks.py 77b0...`; many files as one hash."""
    if len(code) > MAX_FILES_NAMED:
        digest = hashlib.sha256("\n".join(f"{path} {code[path]}" for path in code).encode())
        return f"{len(code)} files {digest.hexdigest()[:HASH_DIGITS]}"
    return ", ".join(f"{path} {digest[:HASH_DIGITS]}" for path, digest in code.items())


def load_class(model: str, expected_code: str = "") -> Any:
    """Import the class that `package.module:Class` names; reload it if its files have changed.

    Raises ConfigError if it cannot be imported, or if its fingerprint is not `expected_code`.
    """
    name, _, class_name = BUILT_IN_MODULES.get(model, model).partition(":")
    code = hash_model_files(model)
    if expected_code and fingerprint(code) != expected_code:
        raise ConfigError(
            f"model: the code of {model} has changed: it is {fingerprint(code)} now and was "
            f"{expected_code}; restore the earlier files"
        )
    loaded = sys.modules.get(name)
    if loaded is not None and code and vars(loaded).get(CODE_ATTRIBUTE) != code:
        for module_name in _find_modules(name):
            sys.modules.pop(module_name, None)
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"model: {name} cannot be imported: {describe_error(error)}") from error
    vars(module)[CODE_ATTRIBUTE] = code
    if not hasattr(module, class_name):
        classes = [key for key, value in vars(module).items() if _is_defined_in(name, value)]
        raise ConfigError(
            f"model: the module {name} has no class {class_name}{did_you_mean(class_name, classes)}"
        )
    return getattr(module, class_name)


def describe_error(error: BaseException) -> str:
    """Format an error as `TypeError: message (nets.py, line 12)`, the line in the user's file."""
    message = (str(error).strip() or "no message").splitlines()[0]
    user_frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_file()
        and not _is_installed(Path(frame.filename))
        and not Path(frame.filename).is_relative_to(Path(__file__).parents[1])
    ]
    last = user_frames[-1] if user_frames else None
    where = f" ({Path(last.filename).name}, line {last.lineno})" if last else ""
    return f"{type(error).__name__}: {message}{where}"


def _is_defined_in(module: str, value: Any) -> bool:
    return isinstance(value, type) and value.__module__ == module


def _locate(name: str) -> tuple[Path, Path | None]:
    """Return the folder that holds a module's top package, and the module's file if it has one."""
    path: list[str] | None = None
    root = Path()
    words = name.split(".")
    for depth in range(1, len(words) + 1):
        try:
            spec = PathFinder.find_spec(".".join(words[:depth]), path)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise ConfigError(_missing_module_message(".".join(words[:depth])))
        origin = Path(spec.origin) if spec.has_location and spec.origin else None
        path = list(spec.submodule_search_locations or [])
        if depth == 1:
            root = origin.parent if origin else Path(path[0]) if path else Path()
            root = root.parent if path else root
    return root, origin


def _find_modules(name: str) -> dict[str, Path]:
    """Return the files of a module and of the modules in the same folder that it imports."""
    root, origin = _locate(name)
    if origin is None:
        return {}
    if _is_installed(root):
        return {name: origin}
    files: dict[str, Path] = {}
    pending = [name]
    while pending:
        module = pending.pop()
        file = _find_file(root, module)
        if module and module not in files and file is not None:
            files[module] = file
            pending += [module.rpartition(".")[0], *_read_imports(module, file)]
    return files


def _find_file(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    files = (base / "__init__.py", base.parent / f"{base.name}.py")
    return next((file for file in files if file.is_file()), None)


def _read_imports(name: str, file: Path) -> Iterator[str]:
    """Yield the names in a file's `import` statements, except harness; not all are modules."""
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
        yield from (imported for imported in names if imported.partition(".")[0] != "harness")


def _is_installed(folder: Path) -> bool:
    """Whether a path belongs to an installed package or to the standard library."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    return bool(INSTALL_FOLDERS.intersection(folder.parts)) or folder.is_relative_to(stdlib)


def _missing_module_message(name: str) -> str:
    top, _, rest = name.rpartition(".")
    if top:
        return f"model: the package {top} has no module {rest}"
    user_folders = [path for path in sys.path if not _is_installed(Path(path).resolve())]
    names = [module.name for module in pkgutil.iter_modules(user_folders)]
    matches = difflib.get_close_matches(name, names, n=1)
    suggestion = f"; did you mean '{matches[0]}'?" if matches else ""
    return (
        f"model: there is no module {name}: no {name}.py beside the study file or in the current "
        f"folder, and no installed package{suggestion}"
    )
