"""Identify examples one by one, whatever their order, label, type and split.

An example is known by three things, all of its inputs alone:

- a hash of its values as float32: equal for uint8, int64 and float64 of the same values;
- four hashes that leave out a quarter of its values each, so that one changed pixel or column
  leaves one of them intact. The values of a table are rounded to three digits first. A table with
  few columns has one hash, of all rounded values;
- of an image, a thumbnail of 8x8 values without its mean and contrast: noise, another range of
  values or another size change it little.

FashionMNIST's 70,000 images take 0.4 to 0.9 s on one core (`tests/benchmarks/example_hashes.py`).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.data.types import Array

CHUNK = 2048
"""Examples that are converted at once."""
QUARTERS = 4
MIN_QUARTERED = 16
"""Values of an example from which on quarters are left out: with fewer, the rest is too common."""
DIGITS = 3
"""Significant digits of the rounded values of a table."""
SIDE = 8
"""Of a thumbnail."""
MAX_THUMBNAILS = 100_000
"""More examples of a set have none: these are then a random sample, by the order of the hashes."""
MAX_QUERIES = 2_000
"""Examples whose thumbnails are compared; more are sampled."""
NEAR_DISTANCE = 0.05
"""Of two thumbnails of length 1. Noise of a few per cent changes them less. Of 2,000 test images of
FashionMNIST 0.35 % have a training image as near by chance, of MNIST 0.06 %."""


@dataclass(frozen=True, eq=False)
class ExampleSet:
    """The distinct examples of one part of a dataset."""

    hashes: Array
    """uint64 [n], sorted, without duplicates."""
    partial: Array
    """uint32 [n, 4], each without a quarter of the values; [n, 1] of few values."""
    thumbnails: Array
    """int8 [m, 64] of the first m; m = 0 if they are no images."""
    examples: int
    """The number of examples, with duplicates."""

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def copies(self) -> int:
        """How many examples are copies of another one of them."""
        return self.examples - len(self)

    def select(self, mask: Array) -> ExampleSet:
        """Return those of the distinct examples where the mask, bool [n], is true."""
        thumbnails = self.thumbnails[mask[: len(self.thumbnails)]]
        return ExampleSet(self.hashes[mask], self.partial[mask], thumbnails, int(mask.sum()))

    @cached_property
    def name(self) -> str:
        """The start of the SHA-256 of the content, for a file name."""
        digest = hashlib.sha256(f"{self.examples}|{self.partial.shape}".encode())
        for array in (self.hashes, self.partial, self.thumbnails):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """Return a compressed .npz file."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            hashes=self.hashes,
            partial=self.partial,
            thumbnails=self.thumbnails,
            examples=np.array(self.examples),
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> ExampleSet:
        """Read what `to_bytes` wrote. Raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return cls(
                    file["hashes"].astype(np.uint64),
                    file["partial"].astype(np.uint32),
                    file["thumbnails"].astype(np.int8),
                    int(file["examples"]),
                )
        except Exception as error:  # a damaged zip raises anything
            raise ValueError(f"{type(error).__name__}: {error}") from None


def identify_examples(inputs: Array, rows: Array | None = None) -> ExampleSet:
    """Return the distinct examples of `inputs` [N, ...], or of those rows of it."""
    rows = np.arange(len(inputs)) if rows is None else rows
    is_table = inputs.ndim < 3
    hashes, partial, thumbnails = [], [], []
    for chunk in np.array_split(rows, max(1, -(-len(rows) // CHUNK))):
        part = inputs[chunk].astype(np.float32) + np.float32(0)  # turns -0 into 0
        flat = np.ascontiguousarray(part.reshape(len(part), -1))
        hashes.append(_hash_rows(flat))
        partial.append(_hash_partially(_round_digits(flat) if is_table else flat))
        thumbnails.append(_make_thumbnails(part[:, :0] if is_table else part))
    distinct, first = np.unique(np.concatenate(hashes), return_index=True)
    return ExampleSet(
        distinct,
        np.concatenate(partial)[first],
        np.concatenate(thumbnails)[first[:MAX_THUMBNAILS]][: 0 if is_table else None],
        len(rows),
    )


def find_first_rows(inputs: Array) -> Array:
    """Return the row numbers of `inputs` [N, ...] without those that repeat an earlier one."""
    flat = np.ascontiguousarray(inputs.reshape(len(inputs), -1), np.float32) + np.float32(0)
    rows: Array = np.unique(_hash_rows(flat), return_index=True)[1]
    rows.sort()
    return rows


def find_equal(examples: ExampleSet, others: ExampleSet) -> Array:
    """Return which examples also occur in the other set, bool [n]."""
    return np.isin(examples.hashes, others.hashes)


def compute_near_share(examples: ExampleSet, others: ExampleSet) -> float:
    """Return the share of the examples that have a near-duplicate in the other set, 0 to 1.

    Of images without a partial hash in common, at most MAX_QUERIES are compared by thumbnail.
    """
    if not len(examples) or not len(others):
        return 0.0
    near = np.zeros(len(examples), bool)
    if examples.partial.shape[1] == others.partial.shape[1]:
        for hashes, known in zip(examples.partial.T, others.partial.T, strict=True):
            near |= np.isin(hashes, known)
    share = float(near.mean())
    queries = examples.thumbnails[~near[: len(examples.thumbnails)]]
    if len(queries) > MAX_QUERIES:
        queries = queries[:: -(-len(queries) // MAX_QUERIES)]
    if len(queries) and queries.shape[1] == others.thumbnails.shape[1] and len(others.thumbnails):
        share += (1 - share) * float(_find_near(queries, others.thumbnails).mean())
    return share


def _hash_rows(rows: Array) -> Array:
    """Return 8 bytes of BLAKE2b of each row, as uint64 [N]."""
    digests = bytearray()
    for row in rows:
        digests += hashlib.blake2b(row.data, digest_size=8).digest()
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _hash_partially(rows: Array) -> Array:
    """Return the hashes of each row without one quarter of its values; see ExampleSet.partial.

    A hash is the upper half of a sum of values times random odd numbers, modulo 2^64: the sum
    without a quarter is a difference of two sums.
    """
    values = rows.view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, values.shape[1], np.uint64) * 2 + 1
    values *= factors
    total = values.sum(1, dtype=np.uint64)[:, None]
    if values.shape[1] >= MIN_QUARTERED:
        total = total - np.stack(
            [values[:, first::QUARTERS].sum(1, dtype=np.uint64) for first in range(QUARTERS)], 1
        )
    hashes: Array = (total >> np.uint64(32)).astype(np.uint32)
    return hashes


def _round_digits(values: Array) -> Array:
    """Round to DIGITS significant digits."""
    size = np.abs(values, dtype=np.float64)
    scale = 10.0 ** (np.floor(np.log10(np.where(size > 0, size, 1))) - DIGITS + 1)
    rounded: Array = (np.rint(values / scale) * scale).astype(np.float32) + np.float32(0)
    return rounded


def _make_thumbnails(images: Array) -> Array:
    """Return thumbnails, int8 [N, 64], of float32 images [N, ..., height, width]."""
    if not images[0].size:
        return np.zeros((len(images), 0), np.int8)
    height, width = images.shape[-2:]
    gray = images.reshape(len(images), -1, height, width).mean(1)
    small = _pooling(height) @ gray @ _pooling(width).T
    small = small.reshape(len(images), -1)
    small -= small.mean(1, keepdims=True)
    largest = np.abs(small).max(1, keepdims=True)
    thumbnails: Array = np.rint(small * (127 / np.where(largest > 0, largest, 1))).astype(np.int8)
    return thumbnails


def _pooling(size: int) -> Array:
    """Return the weights [SIDE, size] that average `size` pixels in SIDE equal stretches."""
    edges = np.linspace(0, size, SIDE + 1)
    pixels = np.arange(size)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.maximum(shared, 0)
    pooling: Array = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return pooling


def _find_near(queries: Array, others: Array) -> Array:
    """Return which of the thumbnails have one nearer than NEAR_DISTANCE, bool [n]."""
    limit, known = 1 - NEAR_DISTANCE**2 / 2, _normalize(others).T
    batches = np.array_split(_normalize(queries), max(1, len(queries) // 256))
    return np.concatenate([(batch @ known).max(1) > limit for batch in batches])


def _normalize(thumbnails: Array) -> Array:
    """Scale to length 1; an image of one colour has no direction and stays 0."""
    values = thumbnails.astype(np.float32)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    normal: Array = values / np.where(length > 0, length, 1)
    return normal
