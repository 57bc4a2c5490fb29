"""What a CUDA graph requires of a step, checked without a GPU on torch's fake tensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from harness.engine.device_data import Target
from harness.engine.fused_group import FusedGroup
from harness.engine.placement import GpuPlacement, width_class
from harness.models.target_transform import STATISTIC_SHAPES
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
        classes = Target(torch.zeros(1200, dtype=torch.int64, **on_device), torch.zeros(0), {})
        statistics = {
            name: torch.zeros(shape, **on_device)
            for name, shape in STATISTIC_SHAPES["quantile"].items()
        }
        numbers = Target(torch.zeros(1200, **on_device), torch.zeros(0), statistics)
        data: Any = FakeDeviceData(
            device=torch.device("cuda"),
            dtype=torch.float32,
            classes=10,
            label_offsets=None,
            inputs=784,
            shape=(28, 28),
            mean=torch.zeros(784, **on_device),
            inv_std=torch.ones(784, **on_device),
            examples=torch.zeros(1200, 784, dtype=torch.uint8, **on_device),
            get_target=lambda name: classes if name == "standard" else numbers,
            rows=torch.arange(1000, **on_device),
        )
        mixed = [
            changed(spec, dropout=0.1, label_smoothing=0.1, class_weights="balanced")
            for spec in MIXED
        ]
        plain = TrialSpec(hidden=(8,), batch_size=64)
        regression = changed(plain, loss="mse", target_transform="quantile")
        for specs in (mixed, [plain], [TrialSpec(hidden=())], [regression]):
            data.classes = 1 if specs == [regression] else 10
            layout = GpuPlacement(data, lambda: 2**40).layout_with_room(
                width_class(specs[0]), specs
            )
            group = FusedGroup(layout, data)
            with DeviceRecorder() as devices:
                group._train_step()
            assert len(devices.seen) > 25
            for name, kinds in devices.seen.items():
                assert kinds <= {"cuda"}, name
