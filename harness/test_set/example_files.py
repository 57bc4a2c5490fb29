"""The hashes of examples beside the logs: one file for each part of a dataset, named by content.

<mlruns>/test-sets/<hash>.npz   the distinct examples of a test set, or of a training and validation
                                set (`harness.data.example_hashes`)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.data.example_hashes import ExampleSet
from harness.errors import StoreError

SUFFIX = ".npz"


def store_examples(folder: Path, examples: ExampleSet) -> str:
    """Write the file, unless it exists; return its name. Raises OSError."""
    path = folder / f"{examples.name}{SUFFIX}"
    if not path.is_file():
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(examples.to_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    return examples.name


def load_examples(folder: Path, name: str) -> ExampleSet:
    """Read a file. Raises StoreError if it is missing, damaged or not what its name says."""
    path = folder / f"{name}{SUFFIX}"
    try:
        examples = ExampleSet.from_bytes(path.read_bytes())
        if examples.name != name:
            raise ValueError("its content is not that of its name")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"{path}: cannot be read ({reason}); restore it from a backup") from None
    return examples
