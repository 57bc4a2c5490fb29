"""The tree of packages in the README, made from the first line of each one's docstring.

`python -m tests.readme_tree` writes it into README.md; tests/test_structure.py holds it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.package_order import ORDER

ROOT = Path(__file__).parents[1]
BEGIN, END = "```text\nharness/\n", "```\n"
WIDTH = 20
"""Columns of the names."""


def build_tree() -> str:
    """Return one line for each package and root module, bottom to top."""
    lines = []
    for name in ORDER:
        path = ROOT / "harness" / name
        is_package = path.is_dir()
        source = path / "__init__.py" if is_package else path.with_suffix(".py")
        docstring = ast.get_docstring(ast.parse(source.read_text())) or ""
        label = f"{name}/" if is_package else f"{name}.py"
        lines.append(f"  {label:{WIDTH}}{docstring.partition(chr(10))[0]}".rstrip())
    return "\n".join(lines) + "\n"


def replace_tree(readme: str) -> str:
    """Return the README's text with today's tree in it."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + build_tree() + END + tail


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(replace_tree(path.read_text()))
