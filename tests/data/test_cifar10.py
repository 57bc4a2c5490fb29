"""CIFAR-10's binary version: read, checked, trained on; made-up files, for the real are large."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data import cifar10
from harness.data.builtin import find_dataset
from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import load_splits
from harness.errors import DataError
from harness.sweep.run import run_study

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
EACH = 20
"""Records in a made-up file, each class twice."""


def picture(label: int, seed: int) -> np.ndarray:
    """[3, 32, 32]: noise, brighter in one channel and in one third of the rows."""
    noise = np.random.default_rng(seed).integers(0, 120, (3, 32, 32), np.uint8)
    noise[label % 3, 10 * (label // 4) : 10 * (label // 4) + 10] += 100
    return noise


def made_up(root: Path, each: int = EACH) -> Path:
    """All seven files; every label is as often in each of them as any other."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number, name in enumerate(
        (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin")
    ):
        with (folder / name).open("wb") as stream:
            for row in range(each):
                stream.write(bytes([row % 10]) + picture(row % 10, 1000 * number + row).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def made(root: Path) -> PreparedDataset:
    options = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    return prepare("cifar10", data_dir=root, cache=root / "cache", **options)  # type: ignore[arg-type]


def test_every_record_comes_back_with_its_label_and_its_channels(tmp_path: Path) -> None:
    made_up(tmp_path)
    prepared = made(tmp_path)
    assert prepared.sizes == {"train": 80, "validation": 20, "test": EACH}
    assert (prepared.training.shape, prepared.training.classes) == ((3, 32, 32), tuple(NAMES))
    for sealed, numbers in ((prepared.training, range(5)), (prepared.test, [5])):
        inputs, labels = np.load(sealed.inputs), np.load(sealed.labels)
        assert (inputs.dtype, labels.dtype) == (np.uint8, np.int64)
        assert labels.tolist() == [row % 10 for _ in numbers for row in range(EACH)]
        for index, found in enumerate(inputs):
            number, row = numbers[index // EACH], index % EACH
            np.testing.assert_array_equal(found, picture(row % 10, 1000 * number + row))


def test_the_digest_is_the_contents(tmp_path: Path) -> None:
    folders = [made_up(tmp_path / name) for name in ("one", "two")]
    one, two = (find_dataset("cifar10", folder.parent) for folder in folders)
    assert one.digest == two.digest
    digests = {one.digest}
    path = folders[1] / "test_batch.bin"
    whole = path.read_bytes()
    for content in (whole[:-1] + b"\xff", whole[: -cifar10.RECORD_SIZE]):
        path.write_bytes(content)
        digests.add(find_dataset("cifar10", folders[1].parent).digest)
    path.write_bytes(whole)
    (folders[1] / "batches.meta.txt").write_text("\n".join(reversed(NAMES)))
    digests.add(find_dataset("cifar10", folders[1].parent).digest)
    assert len(digests) == 4


Change = Callable[[Path], object]
MISTAKES: dict[str, tuple[str, Change, str]] = {
    "cut off": (
        "data_batch_3.bin",
        lambda path: path.write_bytes(path.read_bytes()[:4000]),
        r"is cut off or altered \(4,000 bytes, .* records of 3,073\); delete it and get it again",
    ),
    "empty": ("test_batch.bin", lambda path: path.write_bytes(b""), r"is cut off .* \(0 bytes"),
    "CIFAR-100's labels": (
        "data_batch_1.bin",
        lambda path: path.write_bytes(path.read_bytes()[:-3073] + b"\x0a" + b"\0" * 3072),
        r"of another dataset \(record 19 has the label 10, the last class is 9\); delete it",
    ),
    "classes missing": (
        "batches.meta.txt",
        lambda path: path.write_text("airplane\nautomobile\n\n"),
        r"is cut off .* \(it names 2 classes instead of 10, one a line\); delete it",
    ),
    "ten lines that are no names": (
        "batches.meta.txt",
        lambda path: path.write_bytes(b"\n".join(bytes([0x80 + n, 65 + n]) for n in range(1, 11))),
        r"is cut off or altered .*; delete it",
    ),
    "no such file": (
        "data_batch_5.bin",
        lambda path: path.unlink(),
        r"point --data-dir or \$HARNESS_DATA_DIR at a folder that holds cifar-10-batches-bin, "
        r"CIFAR-10's binary version, or leave both out to download; .* quickstart",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, mistake: str) -> None:
    name, change, says = MISTAKES[mistake]
    path = made_up(tmp_path) / name
    change(path)
    with pytest.raises(
        DataError, match=f"^cifar10: (no file )?{re.escape(str(path))}.*{says}"
    ) as e:
        find_dataset("cifar10", tmp_path)
    assert "\n" not in str(e.value)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the distributed archive alone, as far as its checksum says."""
    path = tmp_path / "packed" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(made_up(tmp_path / "made"), "cifar-10-batches-bin")
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def served(archive: Path) -> Iterator[str]:
    """The address of the archive's folder."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Silent, directory=archive.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_archive_is_unpacked_where_it_lies_if_it_is_whole(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*data_batch_1\.bin"):
        find_dataset("cifar10", archive.parent, download=False)
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is cut off or altered; delete"):
        find_dataset("cifar10", archive.parent)
    archive.write_bytes(whole)
    unpacked = find_dataset("cifar10", archive.parent)
    assert unpacked.location == str(archive.parent / "cifar-10-batches-bin")
    assert unpacked.digest == find_dataset("cifar10", tmp_path / "made").digest


def test_it_is_downloaded_into_the_cache_alone(
    archive: Path, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a server of the test's own, then from one that refuses the connection."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "URL", f"{served}/{archive.name}")
    found = find_dataset("cifar10")
    assert found.location == str(tmp_path / "cache/harness/datasets/cifar-10-batches-bin")
    assert found.digest == find_dataset("cifar10", tmp_path / "made").digest
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    with pytest.raises(DataError, match=r"could not be downloaded .* holds cifar-10-batches-bin;"):
        find_dataset("cifar10")
    with pytest.raises(DataError, match=r"no file .*elsewhere/cifar-10-batches-bin/data_batch_1"):
        find_dataset("cifar10", tmp_path / "elsewhere")


@pytest.mark.slow
def test_the_shipped_study_ends_with_a_verdict_and_rgb_pictures(tmp_path: Path) -> None:
    made_up(tmp_path)
    changes = ["train.epochs=2", "train.batch_size=20", 'train.augment=["shift", "flip"]']
    result = run_study(
        "cifar10",
        home=tmp_path / "mlruns",
        device="cpu",
        workers=1,
        data_dir=tmp_path,
        overrides=[*changes, "space.hidden=[[], [10, 15]]"],
    )
    assert sorted(result.trials["hidden"].map(len)) == [0, 0, 2, 2]
    assert (result.trials["state"] == "COMPLETE").all()
    assert result.test is not None
    found = result.summary.mistakes
    assert found is not None
    assert found.shown, "80 examples and 2 epochs leave mistakes"
    page = result.report.read_text()
    for each in found.shown:
        assert f"data:image/png;base64,{each.png}" in page
        shown = Image.open(io.BytesIO(base64.b64decode(each.png)))
        assert (shown.mode, shown.size) == ("RGB", (32, 32))
    # The loaded part's row, its channels behind: what a reader sees is what was trained on.
    inputs = load_splits(made(tmp_path).training).train.inputs
    brightest = int(inputs[np.load(made(tmp_path).training.validation_rows)].max())
    raw = inputs[found.shown[-1].row].permute(1, 2, 0).to(torch.float32) * (255 / brightest)
    np.testing.assert_allclose(np.asarray(shown), raw.numpy(), atol=0.51)
