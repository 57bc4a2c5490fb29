"""Which devices this machine has, found without importing torch."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harness.analysis.formatting import counted
from harness.errors import DeviceError

Demand = Literal["gpu", "cpu"] | None


def choose(demand: Demand) -> tuple[list[str], str]:
    """The devices to train on, one entry for each that a worker may own, and a line saying which.

    `gpu` demands CUDA, `cpu` forbids it, None takes what is there. Raises DeviceError.
    """
    gpus = [] if demand == "cpu" else cuda_devices()
    if gpus:
        return [f"cuda:{index}" for index in range(len(gpus))], ", ".join(gpus)
    if demand == "gpu":
        raise DeviceError("--gpu: no CUDA device was found on this machine; leave --gpu out")
    cores = available_cores()
    return ["cpu"] * cores, f"CPU, {counted(cores, 'core')}"


def cuda_devices() -> list[str]:
    """Names of the CUDA devices that the driver library reports; empty where there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    names = []
    for index in range(count.value):
        name = ctypes.create_string_buffer(100)
        cuda.cuDeviceGetName(name, len(name), index)
        names.append(name.value.decode())
    return names


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine's in a container or a job."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no such file, or "max" for no quota
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores
