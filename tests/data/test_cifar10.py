"""CIFAR-10's binary version: decode, check, download; small made-up files in its format."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.api.run import run_study
from harness.data import cifar10
from harness.data.builtin import find_dataset
from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import load_splits
from harness.errors import DataError
from tests.support.sealed_test_set import read_test_labels

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
COUNT = 20
"""Records in a made-up file, each class twice."""


def make_image(label: int, seed: int) -> np.ndarray:
    """Make noise [3, 32, 32], brighter in one channel and in one third of the rows."""
    noise = np.random.default_rng(seed).integers(0, 120, (3, 32, 32), np.uint8)
    noise[label % 3, 10 * (label // 4) : 10 * (label // 4) + 10] += 100
    return noise


def write_files(root: Path, count: int = COUNT) -> Path:
    """Write all seven files; each of them has every label equally often."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number, name in enumerate(
        (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin")
    ):
        with (folder / name).open("wb") as stream:
            for row in range(count):
                image = make_image(row % 10, 1000 * number + row)
                stream.write(bytes([row % 10]) + image.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def make(root: Path) -> PreparedDataset:
    options = {"validation": 0.2, "test": 0.2, "split_seed": 0, "normalize": True}
    return prepare("cifar10", data_dir=root, cache=root / "cache", **options)  # type: ignore[arg-type]


def test_every_record_is_decoded_with_its_label_and_its_channels(tmp_path: Path) -> None:
    write_files(tmp_path)
    prepared = make(tmp_path)
    assert prepared.sizes == {"train": 80, "validation": 20, "test": COUNT}
    assert (prepared.training.shape, prepared.training.classes) == ((3, 32, 32), tuple(NAMES))
    training, test_labels = prepared.training, read_test_labels(prepared)
    for inputs, labels, numbers in (
        (np.load(training.inputs), np.load(training.labels), range(5)),
        (np.load(prepared.test.inputs), test_labels, [5]),
    ):
        assert (inputs.dtype, labels.dtype) == (np.uint8, np.int64)
        assert labels.tolist() == [row % 10 for _ in numbers for row in range(COUNT)]
        for index, image in enumerate(inputs):
            number, row = numbers[index // COUNT], index % COUNT
            np.testing.assert_array_equal(image, make_image(row % 10, 1000 * number + row))


def test_the_digest_follows_from_the_content(tmp_path: Path) -> None:
    folders = [write_files(tmp_path / name) for name in ("one", "two")]
    one, two = (find_dataset("cifar10", folder.parent) for folder in folders)
    assert one.digest == two.digest
    digests = {one.digest}
    path = folders[1] / "test_batch.bin"
    original = path.read_bytes()
    for content in (original[:-1] + b"\xff", original[: -cifar10.RECORD_SIZE]):
        path.write_bytes(content)
        digests.add(find_dataset("cifar10", folders[1].parent).digest)
    path.write_bytes(original)
    (folders[1] / "batches.meta.txt").write_text("\n".join(reversed(NAMES)))
    digests.add(find_dataset("cifar10", folders[1].parent).digest)
    assert len(digests) == 4


Change = Callable[[Path], object]
DAMAGES: dict[str, tuple[str, Change, str]] = {
    "cut off": (
        "data_batch_3.bin",
        lambda path: path.write_bytes(path.read_bytes()[:4000]),
        r"is cut off or altered \(4,000 bytes, .* record size, 3,073\); delete it and get it again",
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
    "ten lines that are not names": (
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


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_error_for_a_damaged_file_is_one_line_that_names_it(
    tmp_path: Path, damage: str
) -> None:
    name, change, message = DAMAGES[damage]
    path = write_files(tmp_path) / name
    change(path)
    message = f"^cifar10: (no file )?{re.escape(str(path))}.*{message}"
    with pytest.raises(DataError, match=message) as error:
        find_dataset("cifar10", tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with only an archive that has the expected checksum."""
    path = tmp_path / "packed" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(write_files(tmp_path / "made"), "cifar-10-batches-bin")
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def served(archive: Path) -> Iterator[str]:
    """A server of the archive's folder, by its address."""

    class SilentHandler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(SilentHandler, directory=archive.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_complete_archive_is_unpacked_into_its_folder(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*data_batch_1\.bin"):
        find_dataset("cifar10", archive.parent, download=False)
    content = archive.read_bytes()
    archive.write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is cut off or altered; delete"):
        find_dataset("cifar10", archive.parent)
    archive.write_bytes(content)
    unpacked = find_dataset("cifar10", archive.parent)
    assert unpacked.location == str(archive.parent / "cifar-10-batches-bin")
    assert unpacked.digest == find_dataset("cifar10", tmp_path / "made").digest


def test_it_is_downloaded_into_the_cache_only(
    archive: Path, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a server of this test, then from one that refuses the connection."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "URL", f"{served}/{archive.name}")
    source = find_dataset("cifar10")
    assert source.location == str(tmp_path / "cache/harness/datasets/cifar-10-batches-bin")
    assert source.digest == find_dataset("cifar10", tmp_path / "made").digest
    assert not list((tmp_path / "cache/harness/datasets").glob("*.tar.gz")), "deleted when unpacked"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    with pytest.raises(DataError, match=r"could not be downloaded .* holds cifar-10-batches-bin;"):
        find_dataset("cifar10")
    with pytest.raises(DataError, match=r"no file .*elsewhere/cifar-10-batches-bin/data_batch_1"):
        find_dataset("cifar10", tmp_path / "elsewhere")


@pytest.mark.parametrize("content", ["half", "a page of a proxy"])
def test_a_wrong_download_is_refused_and_leaves_nothing(
    archive: Path, served: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = archive.read_bytes()
    wrong = original[: len(original) // 2] if content == "half" else b"<html>404</html>"
    archive.write_bytes(wrong)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "URL", f"{served}/{archive.name}")
    with pytest.raises(DataError, match=r"could not be downloaded .*cifar-10-binary") as error:
        find_dataset("cifar10")
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    archive.write_bytes(original)
    assert find_dataset("cifar10").digest == find_dataset("cifar10", tmp_path / "made").digest


def test_an_interrupted_unpacking_is_repeated_without_a_download(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    datasets = tmp_path / "cache" / "harness" / "datasets"
    datasets.mkdir(parents=True)
    shutil.copy(archive, datasets)
    shutil.copytree(tmp_path / "made" / cifar10.FOLDER, datasets / cifar10.FOLDER)
    (datasets / cifar10.FOLDER / "test_batch.bin").unlink()
    assert find_dataset("cifar10").digest == find_dataset("cifar10", tmp_path / "made").digest


@pytest.mark.slow
def test_the_shipped_study_ends_with_a_summary_and_rgb_images(tmp_path: Path) -> None:
    write_files(tmp_path)
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
    mistakes = result.summary.mistakes
    assert mistakes is not None
    assert mistakes.shown, "80 examples and 2 epochs leave mistakes"
    page = result.report.read_text()
    for mistake in mistakes.shown:
        assert f"data:image/png;base64,{mistake.png}" in page
        image = Image.open(io.BytesIO(base64.b64decode(mistake.png)))
        assert (image.mode, image.size) == ("RGB", (32, 32))
    # The page shows the pixels that were trained on.
    inputs = load_splits(make(tmp_path).training).train.inputs
    brightest = int(inputs[np.load(make(tmp_path).training.validation_rows)].max())
    raw = inputs[mistakes.shown[-1].row].permute(1, 2, 0).to(torch.float32) * (255 / brightest)
    np.testing.assert_allclose(np.asarray(image), raw.numpy(), atol=0.51)
