"""What a result depends on beside its settings: versions, code, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version

from harness.data.files import Prepared
from harness.fairness import facts_of

PACKAGES = ("harness", "torch", "mlflow", "optuna", "numpy")


def facts(prepared: Prepared, device: str, workers: int) -> dict[str, str]:
    """Short texts by name, for the record's tags."""
    sizes = ", ".join(f"{size:,} {part}" for part, size in prepared.sizes.items())
    return {
        "device": device,
        "workers": str(workers),
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + f", Python {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "git_commit": git_commit(),
        "data": f"{prepared.name} ({sizes})",
        "input": f"uint8 {list(prepared.training.shape)}",
        "split_hash": prepared.split_hash,
        **facts_of(prepared.fairness),
    }


def git_commit() -> str:
    """Of the current folder's repository, `+changes` where files differ from it; else `none`."""
    try:
        head, changes = (
            subprocess.run(
                ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return "none"
    return head + ("+changes" if changes else "")
