"""This machine's GPUs and CPU cores, without importing torch."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harness.analysis.formatting import format_count
from harness.errors import DeviceError

DeviceOption = Literal["gpu", "cpu"] | None


def choose_devices(option: DeviceOption) -> tuple[list[str], str]:
    """Return the devices to train on, one for each possible worker, and their description.

    Args:
        option: `gpu` requires a CUDA device, `cpu` ignores them, None uses them if there are any.

    Raises:
        DeviceError: `gpu`, but there is no CUDA device.
    """
    gpus = [] if option == "cpu" else list_cuda_devices()
    if gpus:
        return [f"cuda:{index}" for index in range(len(gpus))], ", ".join(gpus)
    if option == "gpu":
        raise DeviceError("--gpu: this machine has no CUDA device; leave --gpu out")
    cores = count_available_cores()
    return ["cpu"] * cores, f"CPU, {format_count(cores, 'core')}"


def list_cuda_devices() -> list[str]:
    """List the names of the CUDA devices, as the driver library reports them."""
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


def count_available_cores() -> int:
    """Count the CPU cores that this process may use; a container or a job may have only some."""
    # joblib.cpu_count does this too, but importing joblib takes half a second.
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no such file, or no quota ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores
