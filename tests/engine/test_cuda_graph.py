"""What a CUDA graph requires of a step, checked without a GPU on torch's fake tensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from harness.engine.fused_group import FusedGroup
from harness.engine.placement import GpuPlacement, width_class
from harness.trial import TrialSpec
from tests.engine.test_against_autograd import MIXED, changed


class DeviceRecorder(TorchDispatchMode):
    """Records every operation and the devices of its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[str]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = _pytree.tree_leaves((args, kwargs, out))
        devices = {t.device.type for t in tensors if isinstance(t, torch.Tensor)}
        self.seen.setdefault(str(func), set()).update(devices)
        return out


class FakeDeviceData(SimpleNamespace):
    """The attributes of DeviceData that a group reads, on a CUDA device that need not exist."""

    def __len__(self) -> int:
        return 1000


def test_a_step_stays_on_the_device_and_reads_no_value(monkeypatch: Any) -> None:
    """Reading a value would raise: fake tensors have none."""
    monkeypatch.setattr(
        "harness.engine.fused_group.capture_graph", lambda step, warm_up, device: step
    )
    with FakeTensorMode(allow_non_fake_inputs=False):
        on_device = {"device": "cuda"}
        data: Any = FakeDeviceData(
            device=torch.device("cuda"),
            dtype=torch.float32,
            classes=10,
            inputs=784,
            shape=(28, 28),
            mean=torch.zeros(784, **on_device),
            inv_std=torch.ones(784, **on_device),
            examples=torch.zeros(1200, 784, dtype=torch.uint8, **on_device),
            labels=torch.zeros(1200, dtype=torch.int64, **on_device),
            rows=torch.arange(1000, **on_device),
        )
        mixed = [
            changed(spec, dropout=0.1, label_smoothing=0.1, class_weights="balanced")
            for spec in MIXED
        ]
        for specs in (mixed, [TrialSpec(hidden=(8,), batch_size=64)], [TrialSpec(hidden=())]):
            layout = GpuPlacement(data, lambda: 2**40).layout_with_room(
                width_class(specs[0]), specs
            )
            group = FusedGroup(layout, data)
            with DeviceRecorder() as devices:
                group._train_step()
            assert len(devices.seen) > 30
            for name, kinds in devices.seen.items():
                assert kinds <= {"cuda"}, name
