"""The decoded cache and the split: arrays as files that every worker of a machine maps.

    <cache>/decoded/<name>-<key>/            one dataset, test part apart
        training/{inputs,labels}.npy
        sealed-test/{inputs,labels}.npy
        split-<key>/{train,validation}.npy   row numbers into training/
        meta.json

Numpy only: once the data is decoded, the driver needs no torch to prepare it. Folders appear whole
or not at all, so that two commands may prepare the same data at once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import sources
from harness.data.arrays import mapped
from harness.data.held_out import digest_of, of_classes, stratified, with_test
from harness.data.sources import Array, Decoded
from harness.errors import DataError

FORMAT = 2
"""Raise it when the layout or the meaning of these files changes."""


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
    mean: float
    """Of the training part's values, in raw units (0..255 for images)."""
    std: float

    def validation_labels(self) -> bytes:
        """The class of every validation example in the split's order, one byte each."""
        labels: Array = mapped(self.labels)[mapped(self.validation_rows)]
        return labels.astype(np.uint8).tobytes()


@dataclass(frozen=True)
class TestFiles:
    """The sealed test part; `harness.data.parts.SealedTest` is the way in."""

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
    training: TrainingFiles
    test: TestFiles

    @property
    def test_digest(self) -> str:
        digest = hashlib.sha256()
        for path in (self.test.inputs, self.test.labels):
            digest.update(path.read_bytes())
        return digest.hexdigest()


def prepare(
    name: str,
    *,
    validation: float,
    test: float,
    split_seed: int,
    normalize: bool,
    own_test: bool = True,
    classes: Sequence[str] = (),
    data_dir: Path | None = None,
    cache: Path | None = None,
    download: bool = True,
) -> Prepared:
    """Find, decode and split a dataset, or map what an earlier call left.

    `validation` and `test` are fractions, of the training part and of the whole; `test` counts
    only where the set has no test part of its own, or where `own_test` is False. Both splits are
    stratified by class and follow from `split_seed`. `classes` are those that are kept, all where
    it is empty. Raises DataError.
    """
    source = sources.find(name, data_dir, download)
    cache = cache or sources.user_cache()
    own_test = own_test and source.has_test
    held_out = () if own_test else (test, split_seed)
    decoded_key = _key(FORMAT, source.digest, *held_out, *([classes] if classes else []))
    folder = cache / "decoded" / f"{name}-{decoded_key}"

    def decoded() -> Decoded:
        whole = source.decode()
        kept = of_classes(whole, classes, name) if classes else whole
        if own_test:
            return kept
        what = f"{name}: [data] test = {test}"
        return with_test(kept, *stratified(kept.labels, test, split_seed, what))

    _once(folder, lambda new: _write_decoded(new, decoded()))
    meta = _meta(folder, {"classes", "shape", "scale", "test", "test_rows"})
    split = folder / f"split-{_key(validation, split_seed)}"
    _once(split, lambda new: _write_split(new, folder, name, validation, split_seed))
    facts = _meta(split, {"mean", "std", "train", "validation", "rows"})
    mean, std = (facts["mean"], facts["std"]) if normalize else (0.0, meta["scale"])
    training = TrainingFiles(
        inputs=folder / "training" / "inputs.npy",
        labels=folder / "training" / "labels.npy",
        train_rows=split / "train.npy",
        validation_rows=split / "validation.npy",
        classes=tuple(meta["classes"]),
        shape=tuple(meta["shape"]),
        mean=mean,
        std=std,
    )
    sealed = TestFiles(folder / "sealed-test" / "inputs.npy", folder / "sealed-test" / "labels.npy")
    digest = hashlib.sha256(f"{source.digest} {facts['rows']} {meta['test_rows']}".encode())
    sizes = {"train": facts["train"], "validation": facts["validation"], "test": meta["test"]}
    return Prepared(name, source.where, source.digest, digest.hexdigest(), sizes, training, sealed)


def _meta(folder: Path, keys: set[str]) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        if not isinstance(meta, dict) or keys - meta.keys():
            raise ValueError(f"its meta.json does not say {', '.join(sorted(keys))}")
    except (OSError, ValueError) as error:
        raise DataError(
            f"the cached data in {folder} cannot be read ({error}); delete that folder, the next "
            "run makes it again"
        ) from None
    return meta


def _write_decoded(folder: Path, decoded: Decoded) -> None:
    assert decoded.test is not None
    for part, arrays in (
        ("training", (decoded.inputs, decoded.labels)),
        ("sealed-test", decoded.test),
    ):
        (folder / part).mkdir()
        np.save(folder / part / "inputs.npy", np.ascontiguousarray(arrays[0]))
        np.save(folder / part / "labels.npy", arrays[1])
    meta = {
        "classes": decoded.classes,
        "shape": decoded.inputs.shape[1:],
        "scale": decoded.scale,
        "test": len(decoded.test[0]),
        "test_rows": decoded.test_rows,
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _write_split(folder: Path, data: Path, name: str, validation: float, seed: int) -> None:
    labels = mapped(data / "training" / "labels.npy")
    train, val = stratified(labels, validation, seed, f"{name}: [data] validation = {validation}")
    np.save(folder / "train.npy", train)
    np.save(folder / "validation.npy", val)
    inputs = mapped(data / "training" / "inputs.npy")[train]
    meta = {
        "mean": float(inputs.mean(dtype=np.float64)),
        "std": float(inputs.std(dtype=np.float64)),
        "train": len(train),
        "validation": len(val),
        "rows": digest_of(train, val),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _once(folder: Path, write: Callable[[Path], None]) -> None:
    """Make `folder` by `write`, whole or not at all, unless it is there."""
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror}); point "
            "$XDG_CACHE_HOME at one that can"
        ) from error
    try:
        write(new)
        new.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else somebody else was faster, with the same content
            raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
