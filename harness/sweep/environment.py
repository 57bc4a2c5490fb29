"""What a result depends on beside its settings: versions, code, machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from harness.analysis.data_quality import facts_of
from harness.data.prepare import Prepared
from harness.inference.preprocessing import Pixels

PACKAGES = ("harness", "torch", "mlflow", "optuna", "numpy")
ARITHMETIC = ("harness", "torch", "numpy", "Python")
"""Of the versions those that a trial's bits hang on."""

LONGEST = 4000
"""Letters of a list of names."""
VECTORS = ("avx512f", "avx2", "avx")


def facts(prepared: Prepared, device: str, workers: int, slots: int) -> dict[str, str]:
    """Short texts by name, for the record's tags. `slots`: the most trials that a worker trains at
    once."""
    sizes = ", ".join(f"{size:,} {part}" for part, size in prepared.sizes.items())
    return {
        "device": device,
        "workers": str(workers),
        "slots": str(slots),
        "cpu": processor(),
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + f", Python {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "git_commit": git_commit(),
        "data": f"{prepared.name} ({sizes})",
        "input": f"{prepared.training.dtype} {list(prepared.training.shape)}",
        **({"columns": _listed(prepared.training.columns)} if prepared.training.columns else {}),
        "split_hash": prepared.split_hash,
        **({"pixels": str(pixels)} if (pixels := Pixels.of(prepared.training)) else {}),
        **facts_of(prepared.fairness),
    }


def doubts(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Why a trial of the first environment need not come out bit for bit in the second; none where
    that is promised: one thread of a CPU core to itself, the same processor, the same versions."""
    if lacking := [name for name in ("device", "slots", "cpu", "versions") if name not in recorded]:
        return [f"an older version recorded it, which did not note its {', '.join(lacking)}"]
    found = []
    if recorded["device"] != here["device"] and not _on_cpu(recorded, here):
        found.append(f"it was trained on {recorded['device']}, and this is {here['device']}")
    elif not _on_cpu(here):
        found.append("a GPU adds up in an order of its own")
    if recorded["slots"] != "1" and _on_cpu(recorded):
        found.append(f"its worker trained up to {recorded['slots']} trials as one program")
    for name, what in (("cpu", "processor"), ("platform", "platform")):
        if recorded.get(name) != here.get(name):
            found.append(f"its {what} was {recorded.get(name)}, here it is {here.get(name)}")
    if "unknown" in (recorded["cpu"], here["cpu"]) and recorded["cpu"] == here["cpu"]:
        found.append("this system does not tell which processor it has")
    before, now = _versions(recorded), _versions(here)
    for name in ARITHMETIC:
        if before.get(name) != now.get(name):
            found.append(f"{name} was {before.get(name)}, here it is {now.get(name)}")
    return found


def processor() -> str:
    """The CPU's model and its widest vectors, which decide on how a product is summed; else
    `unknown`. A virtual machine's name alone says little: `AMD EPYC, family 26, model 2, avx512f`.
    """
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        told = {key.strip(): value.strip() for key, _, value in (li.partition(":") for li in lines)}
        if "model name" in told:
            parts = [" ".join(told["model name"].split())]
            numbers = {"family": "cpu family", "model": "model"}
            parts += [f"{name} {told[key]}" for name, key in numbers.items() if key in told]
            flags = told.get("flags", "").split()
            return ", ".join([*parts, *[each for each in VECTORS if each in flags][:1]])
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            return done.stdout.strip() or "unknown"
    return platform.processor() or "unknown"


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


def _listed(columns: Sequence[str]) -> str:
    """The names of a table's features, as many as fit a tag."""
    named = ", ".join(columns)
    if len(named) <= LONGEST:
        return named
    return f"{named[:LONGEST].rpartition(', ')[0]}, ... ({len(columns):,} in all)"


def _on_cpu(*environments: Mapping[str, str]) -> bool:
    return all(each["device"].startswith("CPU") for each in environments)


def _versions(facts: Mapping[str, str]) -> dict[str, str]:
    parts = (part.partition(" ") for part in facts["versions"].split(", "))
    return {name: number for name, _, number in parts}
