"""The environment of a run: versions, code, machine, data."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from harness import __version__
from harness.analysis.data_quality import data_quality_to_facts
from harness.data.prepare import PreparedDataset
from harness.data.split_notes import describe_sizes
from harness.inference.preprocessing import PixelStatistics
from harness.test_set.log import get_user

PACKAGES = ("torch", "mlflow", "optuna", "numpy")
ARITHMETIC_PACKAGES = ("harness", "torch", "numpy", "Python")
"""The packages whose versions can change a trial's bits."""

MAX_COLUMNS_LENGTH = 4000
"""Characters of the text that lists the columns; a tag holds no more than 8,000."""
VECTOR_EXTENSIONS = ("avx512f", "avx2", "avx")


def collect_environment(
    prepared: PreparedDataset, device: str, workers: int, slots: int
) -> dict[str, str]:
    """Collect the environment as short texts by name, for the record's tags.

    `slots`: the most trials that a worker trains at once.
    """
    training = prepared.training.whole or prepared.training  # what the registered model takes
    pixels = PixelStatistics.of(training)
    versions = [f"harness {__version__}", *(f"{name} {version(name)}" for name in PACKAGES)]
    files = prepared.training
    sizes = describe_sizes(prepared.sizes, len(files.folds), files.reshuffling is not None)
    return {
        "device": device,
        "workers": str(workers),
        "slots": str(slots),
        "cpu": describe_processor(),
        "versions": ", ".join([*versions, f"Python {platform.python_version()}"]),
        "platform": f"{platform.system()} {platform.machine()}",
        "git_commit": read_git_commit(),
        "data": f"{prepared.name} ({sizes})",
        "input": f"{training.dtype} {list(training.shape)}",
        **({"columns": _join_columns(training.columns)} if training.columns else {}),
        "split_hash": prepared.split_hash,
        **({"pixels": str(pixels)} if pixels else {}),
        **({"values": _join_columns(prepared.values)} if prepared.values else {}),
        **data_quality_to_facts(prepared.data_quality),
    }


def collect_origin(folder: Path) -> dict[str, str]:
    """Return the facts that tell who starts a study, and in which folder: ORIGIN_FACTS."""
    return {"user": get_user(), "host": socket.gethostname(), "folder": str(folder.resolve())}


def list_replay_caveats(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """List the reasons why a trial may not repeat bit for bit in another environment.

    The list is empty if the result must be identical: the trial trained alone on one CPU thread,
    and processor, platform and versions are the same.
    """
    if missing := [name for name in ("device", "slots", "cpu", "versions") if name not in recorded]:
        return [f"an older version recorded it without its {', '.join(missing)}"]
    caveats = []
    if recorded["device"] != here["device"] and not _on_cpu(recorded, here):
        caveats.append(f"it was trained on {recorded['device']}, but this is {here['device']}")
    elif not _on_cpu(here):
        caveats.append("a GPU adds in no fixed order")
    if recorded["slots"] != "1" and _on_cpu(recorded):
        caveats.append(f"its worker trained up to {recorded['slots']} trials as one program")
    for name, what in (("cpu", "processor"), ("platform", "platform")):
        if recorded.get(name) != here.get(name):
            caveats.append(f"its {what} was {recorded.get(name)}, now it is {here.get(name)}")
    if "unknown" in (recorded["cpu"], here["cpu"]) and recorded["cpu"] == here["cpu"]:
        caveats.append("this system does not report its processor")
    before, now = _parse_versions(recorded), _parse_versions(here)
    for name in ARITHMETIC_PACKAGES:
        if before.get(name) != now.get(name):
            caveats.append(f"{name} was {before.get(name)}, now it is {now.get(name)}")
    return caveats


def describe_processor() -> str:
    """Describe the CPU: `AMD EPYC, family 26, model 2, avx512f`; `unknown` if that fails.

    The widest vector extension decides the order of sums. Family and model are included because
    the name of a virtual machine's CPU is often generic.
    """
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        pairs = (line.partition(":") for line in lines)
        info = {key.strip(): value.strip() for key, _, value in pairs}
        if "model name" in info:
            parts = [" ".join(info["model name"].split())]
            numbers = {"family": "cpu family", "model": "model"}
            parts += [f"{name} {info[key]}" for name, key in numbers.items() if key in info]
            flags = info.get("flags", "").split()
            parts += [name for name in VECTOR_EXTENSIONS if name in flags][:1]
            return ", ".join(parts)
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            return done.stdout.strip() or "unknown"
    return platform.processor() or "unknown"


def read_git_commit() -> str:
    """Return the commit of the current folder's repository, or `none`.

    `+changes` follows it if files differ from the commit.
    """
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


def _join_columns(columns: Sequence[str]) -> str:
    """Join the names of a table's features, as many as fit a tag."""
    text = ", ".join(columns)
    if len(text) <= MAX_COLUMNS_LENGTH:
        return text
    return f"{text[:MAX_COLUMNS_LENGTH].rpartition(', ')[0]}, ... ({len(columns):,} in all)"


def _on_cpu(*environments: Mapping[str, str]) -> bool:
    return all(environment["device"].startswith("CPU") for environment in environments)


def _parse_versions(environment: Mapping[str, str]) -> dict[str, str]:
    parts = (part.partition(" ") for part in environment["versions"].split(", "))
    return {name: number for name, _, number in parts}
