"""The decoded cache and the split: arrays as files that every worker of a machine maps.

    <cache>/decoded/<name>-<key>/            one dataset, test part apart
        training/{inputs,labels,groups}.npy
        sealed-test/{inputs,labels,groups}.npy
        split-<key>/{train,validation}.npy   row numbers into training/
        meta.json

Numpy only: once the data is decoded, the driver needs no torch to prepare it. Folders appear whole
or not at all, so that two commands may prepare the same data at once.

Examples of either part whose inputs are equal have the same number in `groups`. What stands in
several parts is counted, and parts are hashed, when these files are made: of the sealed part counts
and hashes alone come out. Once a split is there, nothing but `SealedTest` reads that part, and
`harness predict` its pictures.
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
from harness.data.fairness import Fairness, Grouped, digest_of_part, groups_of, measure
from harness.data.held_out import digest_of, of_classes, stratified, with_test, without_copies
from harness.data.sources import Array, Decoded
from harness.errors import DataError
from harness.trial import Task

FORMAT = 3
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
    task: Task = "classes"
    target: str = ""
    """What the labels of a regression are called."""
    target_mean: float = 0.0
    """Of the training part's targets, in their own units; of a regression."""
    target_std: float = 1.0

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that is read of them."""
        return self.inputs, self.labels, self.train_rows, self.validation_rows

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
    test_digest: str
    """SHA-256 of the test part's inputs and labels, in order: the same test images give the same,
    whatever they are called and wherever they lie."""
    fairness: Fairness


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
    data_dir: Path | None = None,
    cache: Path | None = None,
    download: bool = True,
) -> Prepared:
    """Find, decode and split a dataset, or map what an earlier call left.

    `validation` and `test` are fractions, of the training part and of the whole; `test` counts
    only where the set has no test part of its own, or where `own_test` is False. Both splits are
    stratified by class and follow from `split_seed`. `classes` are those that are kept, all where
    it is empty. `drop_duplicates` leaves out of the training part what stands in the validation or
    test part too. Raises DataError.
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
    meta = _meta(folder, {"classes", "shape", "scale", "test_rows", "test_digest"})
    split_key = _key(validation, split_seed, *(["unique"] if drop_duplicates else []))
    split = folder / f"split-{split_key}"
    what = f"{name}: [data] validation = {validation}"
    _once(
        split,
        lambda new: _write_split(new, folder, what, validation, split_seed, drop_duplicates),
    )
    facts = _meta(split, {"mean", "std", "rows", "fairness"})
    fairness = _fairness(split, facts)
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
    return Prepared(
        name=name,
        where=source.where,
        digest=source.digest,
        split_hash=digest.hexdigest(),
        sizes={part: contents.examples for part, contents in fairness.parts.items()},
        training=training,
        test=sealed,
        test_digest=meta["test_digest"],
        fairness=fairness,
    )


def _meta(folder: Path, keys: set[str]) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        if not isinstance(meta, dict) or keys - meta.keys():
            raise ValueError(f"its meta.json does not say {', '.join(sorted(keys))}")
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from None
    return meta


def _fairness(folder: Path, meta: dict[str, Any]) -> Fairness:
    try:
        return Fairness.from_dict(meta["fairness"])
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, f"fairness in its meta.json: {error!r}") from None


def _unreadable(folder: Path, why: object) -> DataError:
    return DataError(
        f"the cached data in {folder} cannot be read ({why}); delete that folder, the next run "
        "makes it again"
    )


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
        "scale": decoded.scale,
        "test_rows": decoded.test_rows,
        "test_digest": digest_of_part(*decoded.test),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _write_split(
    folder: Path, data: Path, what: str, validation: float, seed: int, drop_duplicates: bool
) -> None:
    decoded = _meta(data, {"classes", "test_digest"})
    inputs, whole = mapped(data / "training" / "inputs.npy"), _grouped(data / "training")
    test = _grouped(data / "sealed-test")
    train, val = stratified(whole.labels, validation, seed, what)
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
    meta = {
        "mean": float(shown.mean(dtype=np.float64)),
        "std": float(shown.std(dtype=np.float64)),
        "rows": digest_of(train, val),
        "fairness": measure(parts, digests, len(decoded["classes"]), before - len(train)).to_dict(),
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _grouped(part: Path) -> Grouped:
    return Grouped(mapped(part / "groups.npy"), mapped(part / "labels.npy"))


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
