"""Find names that people write in several ways: `cat`, `Cat` and `cat `, or `<=50K` and `<=50K.`"""

from __future__ import annotations

from collections.abc import Iterable

from harness.data.column_types import join_names


def describe_similar_names(names: Iterable[str], name: str, what: str) -> tuple[str, ...]:
    """Return a note on those of the names that may mean the same, or nothing.

    `name` is the dataset's, `what` is what the names are of, in the plural.
    """
    groups: dict[str, list[str]] = {}
    for each in names:
        groups.setdefault("".join(each.split()).rstrip(".").casefold(), []).append(each)
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return ()
    listed = join_names([" and ".join(f"'{each}'" for each in group) for group in alike])
    return (
        f"{name}: {what} that differ only in spaces, case or a final dot are kept apart: {listed}; "
        "if they mean the same, write them alike in the data",
    )
