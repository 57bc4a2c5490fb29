"""The decoded cache and the split: arrays as files that every worker of a machine maps.

    <cache>/decoded/<name>-<key>/            one dataset, test part apart
        training/{inputs,labels,groups}.npy
        sealed-test/{inputs,labels,groups}.npy
        split-<key>/{train,validation}.npy   row numbers into training/
        meta.json

Numpy only: once the data is decoded, the driver needs no torch to prepare it.

Examples of either part whose inputs are equal have the same number in `groups`. What stands in
several parts is counted, and parts are hashed, when these files are made: of the sealed part counts
and hashes alone come out. Once a split is there, nothing but `SealedTest` reads that part, and
`harness predict` its pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import builtin
from harness.data.arrays import mapped
from harness.data.cache import key, meta_of, once, slug, unreadable
from harness.data.leakage import DataQuality, Grouped, digest_of_part, groups_of, measure
from harness.data.split import checked, digest_of, of_classes, split, with_test, without_copies
from harness.data.types import Array, DataOptions, Decoded
from harness.results import Task

FORMAT = 4
"""Raise it when the layout or the meaning of these files changes."""
META = (
    "classes", "shape", "dtype", "scale", "columns", "indicators", "by_feature", "target",
    "test_rows", "test_digest",
)  # fmt: skip
"""What the decoded data's meta.json says."""


@dataclass(frozen=True)
class TrainingFiles:
    """All that a worker may know: the training and validation parts. No path to the test part."""

    inputs: Path
    labels: Path
    train_rows: Path
    validation_rows: Path
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Of one example."""
    mean: float | tuple[float, ...]
    """Of the training part's values, in raw units (0..255 for images); of a table's one a feature.
    """
    std: float | tuple[float, ...]
    """The same; 0 for values that are all equal."""
    task: Task = "classes"
    target: str = ""
    """What the labels of a regression are called."""
    target_mean: float = 0.0
    """Of the training part's targets, in their own units; of a regression."""
    target_std: float = 1.0
    dtype: str = "uint8"
    """Of the inputs: float32 for features."""
    columns: tuple[str, ...] = ()
    """What the features of a table are called."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that is read of them."""
        return self.inputs, self.labels, self.train_rows, self.validation_rows

    def validation_labels(self) -> bytes:
        """The class of every validation example in the split's order, one byte each; of a
        regression its target, float32."""
        labels: Array = mapped(self.labels)[mapped(self.validation_rows)]
        return labels.astype(np.float32 if self.task == "regression" else np.uint8).tobytes()


@dataclass(frozen=True)
class TestFiles:
    """The sealed test part; `harness.data.torch_datasets.SealedTest` is the way in."""

    inputs: Path
    labels: Path


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on."""

    name: str
    where: str
    digest: str
    split_hash: str
    """SHA-256 over the data's digest and the row numbers of all parts."""
    sizes: dict[str, int]
    """Examples in `train`, `validation` and `test`."""
    own_test: bool
    """Whether the test part is the set's own, not held out of it."""
    training: TrainingFiles
    test: TestFiles
    test_digest: str
    """SHA-256 of the test part's inputs and labels, in order: the same test images give the same,
    whatever they are called and wherever they lie."""
    fairness: DataQuality


def prepare(
    name: str,
    *,
    validation: float,
    test: float,
    split_seed: int,
    normalize: bool,
    own_test: bool = True,
    classes: Sequence[str] = (),
    drop_duplicates: bool = False,
    task: Task = "classes",
    target: str = "",
    ignore: Sequence[str] = (),
    size: Sequence[int] = (),
    data_dir: Path | None = None,
    cache: Path | None = None,
    download: bool = True,
) -> Prepared:
    """Find, decode and split a dataset, or map what an earlier call left.

    `validation` and `test` are fractions, of the training part and of the whole; `test` counts
    only where the set has no test part of its own, or where `own_test` is False. Both splits are
    stratified by class and follow from `split_seed`. `classes` are those that are kept, all where
    it is empty. `drop_duplicates` leaves out of the training part what stands in the validation or
    test part too. `target` and `ignore` are columns of a table, `size` is that of pictures.
    Raises DataError.
    """
    asked = DataOptions(task, target, tuple(ignore), tuple(size))
    source = builtin.find(name, data_dir, download, asked)
    cache = cache or builtin.user_cache()
    own_test = own_test and source.has_test
    held_out = () if own_test else (test, split_seed)
    decoded_key = key(FORMAT, source.digest, *held_out, *([classes] if classes else []))
    folder = cache / "decoded" / f"{slug(name)}-{decoded_key}"

    def decoded() -> Decoded:
        whole = source.decode()
        kept = checked(of_classes(whole, classes, name) if classes else whole, name)
        if own_test:
            return kept
        what = f"{name}: [data] test = {test}"
        return with_test(kept, *split(kept.labels, test, split_seed, what))

    once(folder, lambda new: _write_decoded(new, decoded()))
    meta = meta_of(folder, set(META))
    split_key = key(validation, split_seed, *(["unique"] if drop_duplicates else []))
    parts = folder / f"split-{split_key}"
    what = f"{name}: [data] validation = {validation}"
    once(
        parts,
        lambda new: _write_split(new, folder, what, validation, split_seed, drop_duplicates),
    )
    facts = meta_of(parts, {"mean", "std", "rows", "fairness", "target_mean", "target_std"})
    fairness = _fairness(parts, facts)
    mean, std = (facts["mean"], facts["std"]) if normalize else (0.0, meta["scale"])
    training = TrainingFiles(
        inputs=folder / "training" / "inputs.npy",
        labels=folder / "training" / "labels.npy",
        train_rows=parts / "train.npy",
        validation_rows=parts / "validation.npy",
        classes=tuple(meta["classes"]),
        shape=tuple(meta["shape"]),
        mean=tuple(mean) if isinstance(mean, list) else mean,
        std=tuple(std) if isinstance(std, list) else std,
        task=task,
        target=meta["target"],
        target_mean=facts["target_mean"],
        target_std=facts["target_std"],
        dtype=meta["dtype"],
        columns=tuple(meta["columns"]),
    )
    sealed = TestFiles(folder / "sealed-test" / "inputs.npy", folder / "sealed-test" / "labels.npy")
    digest = hashlib.sha256(f"{source.digest} {facts['rows']} {meta['test_rows']}".encode())
    return Prepared(
        name=name,
        where=source.where,
        digest=source.digest,
        split_hash=digest.hexdigest(),
        sizes={part: contents.examples for part, contents in fairness.parts.items()},
        own_test=own_test,
        training=training,
        test=sealed,
        test_digest=meta["test_digest"],
        fairness=fairness,
    )


def _fairness(folder: Path, meta: dict[str, Any]) -> DataQuality:
    try:
        return DataQuality.from_dict(meta["fairness"])
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(folder, f"fairness in its meta.json: {error!r}") from None


def _write_decoded(folder: Path, decoded: Decoded) -> None:
    assert decoded.test is not None
    groups = groups_of(decoded.inputs, decoded.test[0])
    for part, inputs, labels, numbers in (
        ("training", decoded.inputs, decoded.labels, groups[0]),
        ("sealed-test", *decoded.test, groups[1]),
    ):
        (folder / part).mkdir()
        np.save(folder / part / "inputs.npy", np.ascontiguousarray(inputs))
        np.save(folder / part / "labels.npy", labels)
        np.save(folder / part / "groups.npy", numbers)
    meta = {
        "classes": decoded.classes,
        "shape": decoded.inputs.shape[1:],
        "dtype": str(decoded.inputs.dtype),
        "scale": decoded.scale,
        "columns": decoded.columns,
        "indicators": decoded.indicators,
        "by_feature": decoded.by_feature,
        "target": decoded.target,
        "test_rows": decoded.test_rows,
        "test_digest": digest_of_part(*decoded.test),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _write_split(
    folder: Path, data: Path, what: str, validation: float, seed: int, drop_duplicates: bool
) -> None:
    decoded = meta_of(data, set(META))
    inputs, whole = mapped(data / "training" / "inputs.npy"), _grouped(data / "training")
    test = _grouped(data / "sealed-test")
    train, val = split(whole.labels, validation, seed, what)
    before = len(train)
    if drop_duplicates:
        train = without_copies(train, whole, (whole[val], test), decoded["classes"])
    np.save(folder / "train.npy", train)
    np.save(folder / "validation.npy", val)
    shown = inputs[train]
    digests = {
        "train": digest_of_part(shown, whole.labels[train]),
        "validation": digest_of_part(inputs[val], whole.labels[val]),
        "test": decoded["test_digest"],
    }
    parts = {"train": whole[train], "validation": whole[val], "test": test}
    mean, std = _statistics(shown, decoded)
    targets = whole.labels[train] if whole.labels.dtype.kind == "f" else np.array([-1.0, 1.0])
    meta = {
        "mean": mean.tolist(),
        "std": std.tolist(),
        "target_mean": float(targets.mean(dtype=np.float64)),
        "target_std": float(targets.std(dtype=np.float64)) or 1.0,
        "rows": digest_of(train, val),
        "fairness": measure(parts, digests, len(decoded["classes"]), before - len(train)).to_dict(),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _statistics(inputs: Array, decoded: dict[str, Any]) -> tuple[Array, Array]:
    """Mean and standard deviation: of each feature [D], or of all values together."""
    if not decoded["by_feature"]:
        return np.array(inputs.mean(dtype=np.float64)), np.array(inputs.std(dtype=np.float64))
    mean, std = inputs.mean(0, dtype=np.float64), inputs.std(0, dtype=np.float64)
    mean[decoded["indicators"]], std[decoded["indicators"]] = 0, 1
    return mean, std


def _grouped(part: Path) -> Grouped:
    return Grouped(mapped(part / "groups.npy"), mapped(part / "labels.npy"))
