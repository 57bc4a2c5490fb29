"""Prepare datasets: find, check, split and cache them; with real FashionMNIST if available."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from harness.data import builtin
from harness.data.builtin import MD5, find_dataset
from harness.data.prepare import PreparedDataset, prepare
from harness.data.torch_datasets import load_splits
from harness.data.training_files import TrainingFiles
from harness.errors import DataError, HarnessError
from harness.test_set.log import TestSetLog
from harness.test_set.sealed import SealedTest
from tests.support import tiny_mnist
from tests.support.sealed_test_set import read_test_labels

Mnist = Callable[..., PreparedDataset]


def make(cache: Path, data_dir: Path | None = None, **changes: object) -> PreparedDataset:
    options = {"validation": 0.1, "test": 0.2, "split_seed": 0, "normalize": True}
    name = str(changes.pop("name", "digits"))
    return prepare(name, cache=cache, data_dir=data_dir, **(options | changes))  # type: ignore[arg-type]


def test_splits_are_disjoint_stratified_and_complete(digits: PreparedDataset) -> None:
    assert digits.sizes == {"train": 1149, "validation": 288, "test": 360}
    splits = load_splits(digits.training)
    train, validation = set(splits.train.rows.tolist()), set(splits.validation.rows.tolist())
    assert not train & validation
    assert len(train | validation) == len(splits.train.inputs)
    labels = splits.train.labels
    overall = torch.bincount(labels) / len(labels)
    for split in (splits.train, splits.validation):
        shares = torch.bincount(split.labels[split.rows]) / len(split)
        torch.testing.assert_close(shares, overall, rtol=0, atol=0.004)


def test_statistics_come_from_the_training_set_alone(digits: PreparedDataset) -> None:
    splits = load_splits(digits.training)
    values = splits.train.inputs[splits.train.rows].double()
    all_values = splits.train.inputs.double()
    assert digits.training.mean == pytest.approx(values.mean().item(), abs=1e-9)
    assert digits.training.std == pytest.approx(values.std(correction=0).item(), abs=1e-9)
    assert digits.training.mean != pytest.approx(all_values.mean().item(), abs=1e-6)


def test_a_split_works_with_a_plain_data_loader(digits: PreparedDataset) -> None:
    train = load_splits(digits.training).train
    x, y = train[0]
    assert (x.shape, x.dtype, type(y)) == ((8, 8), torch.float32, int)
    batches = list(DataLoader(train, batch_size=32))
    assert [len(labels) for _, labels in batches] == [32] * 35 + [29]
    all_images = torch.cat([images for images, _ in batches])
    assert all_images.mean().item() == pytest.approx(0, abs=1e-4)
    assert all_images.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_the_split_and_its_hash_follow_from_the_seed(tmp_path: Path) -> None:
    one, same = make(tmp_path / "a"), make(tmp_path / "b")
    assert one.split_hash == same.split_hash
    np.testing.assert_array_equal(
        np.load(one.training.validation_rows), np.load(same.training.validation_rows)
    )
    hashes = {one.split_hash}
    for change in ({"split_seed": 1}, {"validation": 0.2}, {"test": 0.3}):
        hashes.add(make(tmp_path / "a", **change).split_hash)
    assert len(hashes) == 4


def test_without_normalization_values_are_scaled_to_one(tmp_path: Path) -> None:
    prepared = make(tmp_path, normalize=False)
    images = load_splits(prepared.training).train
    pixels = torch.stack([images[i][0] for i in range(len(images))])
    assert (pixels.min().item(), pixels.max().item()) == (0, 1)


def test_workers_get_no_path_to_the_test_set(digits: PreparedDataset) -> None:
    paths = [value for value in vars(digits.training).values() if isinstance(value, Path)]
    assert isinstance(digits.training, TrainingFiles)
    assert paths
    assert not any(path.is_relative_to(digits.test.inputs.parent) for path in paths)
    assert len(np.load(digits.training.inputs)) == 1797 - digits.sizes["test"]


def test_the_sealed_test_set_opens_once(digits: PreparedDataset, tmp_path: Path) -> None:
    log = TestSetLog(tmp_path / "log.jsonl")
    sealed = SealedTest.of(digits)
    assert len(sealed.open(log)) == 360
    with pytest.raises(HarnessError, match="already opened"):
        sealed.open(log)
    assert len(log.list_selections()) == 1


def test_each_opening_from_python_is_in_the_log(
    digits: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        test = SealedTest.of(digits).open()
    assert test.labels.tolist() == read_test_labels(digits).tolist()
    (path,) = tmp_path.glob("mlruns/test-sets/*.jsonl")
    first, second = TestSetLog(path).read_lines()
    assert (first["study"], first["look"], second["look"]) == ("Python", 1, 2)
    assert first["key"] == second["key"]
    assert second["overlap"][0].startswith("all of these test examples were in the test set")


def test_an_opening_is_in_the_log_before_a_label_is_read(
    digits: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = TestSetLog(tmp_path / "log.jsonl")

    def unmask(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.test_set.sealed.unmask_labels", unmask)
    with pytest.raises(KeyboardInterrupt):
        SealedTest.of(digits).open(log)
    (line,) = log.read_lines()
    assert len(line["key"]) == 32


def test_readable_labels_of_an_earlier_version_are_removed(tmp_path: Path) -> None:
    kept, other = make(tmp_path), tmp_path / "decoded" / "digits-0123456789ab"
    (other / "sealed-test").mkdir(parents=True)
    np.save(other / "sealed-test" / "labels.npy", np.arange(3))
    make(tmp_path, split_seed=1)
    assert not other.exists()
    assert kept.training.inputs.is_file()


def test_a_test_set_that_was_changed_is_refused(tmp_path: Path) -> None:
    changed, log = make(tmp_path), TestSetLog(tmp_path / "log.jsonl")
    np.save(changed.test.inputs, np.load(changed.test.inputs) + 1)
    with pytest.raises(DataError, match=r"the sealed test set in .* was changed"):
        SealedTest.of(changed).open(log)
    changed.test.labels.write_bytes(changed.test.labels.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"labels\.masked cannot be read"):
        SealedTest.of(changed).open(log)
    shutil.rmtree(changed.test.inputs.parent)
    assert len(SealedTest.of(make(tmp_path)).open(log)) == changed.sizes["test"], "made again"


def test_a_stray_write_changes_neither_the_file_nor_other_mappings(digits: PreparedDataset) -> None:
    first, second = load_splits(digits.training), load_splits(digits.training)
    before = second.train.inputs[0].clone()
    first.train.inputs[0] += 1
    assert torch.equal(second.train.inputs[0], before)
    assert torch.equal(torch.from_numpy(np.load(digits.training.inputs))[0], before)


def test_many_processes_may_prepare_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        prepared = list(pool.map(lambda _: make(tmp_path), range(8)))
    assert len({result.split_hash for result in prepared}) == 1
    assert not list(tmp_path.rglob(".new-*"))


def test_a_truncated_cache_file_is_named(tmp_path: Path) -> None:
    prepared = make(tmp_path)
    path = prepared.training.inputs
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"inputs\.npy cannot be read .* delete its folder"):
        load_splits(prepared.training)


def test_an_unknown_dataset_and_a_fraction_too_small_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dataset 'fashion-minst'; did you mean 'fashion-mni"):
        make(tmp_path, name="fashion-minst")
    with pytest.raises(DataError, match=r"digits: \[data\] validation = 0.001 cannot be held out"):
        make(tmp_path, validation=0.001)


def test_an_unwritable_cache_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"cache folder .*file/decoded cannot be written"):
        make(blocked)


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist"])
def test_the_error_for_an_empty_data_directory_has_its_path(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte; point --data-dir .* quickstart"):
        make(tmp_path / "cache", tmp_path, name=name)
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        make(tmp_path / "cache", name=name)


def test_the_error_for_a_failed_download_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror refuses the connection, as on a machine without a network."""
    import torchvision

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    message = r"not in .*datasets and could not be downloaded .* point --data-dir .* quickstart"
    with pytest.raises(DataError, match=message):
        make(tmp_path, name="fashion-mnist")


def write_zeros(folder: Path) -> Path:
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in MD5["FashionMNIST"]:
        (raw / name).write_bytes(b"\0" * 100)
    return raw


def test_a_wrong_file_is_refused_by_name(tmp_path: Path) -> None:
    write_zeros(tmp_path)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is cut off or altered \(100 byt"):
        find_dataset("fashion-mnist", tmp_path)


DAMAGED = {
    "zero bytes": b"",
    "cut": tiny_mnist.encode_idx(np.zeros((600, 28, 28)))[:-1],
    "one byte too many": tiny_mnist.encode_idx(np.zeros((600, 28, 28))) + b"x",
    "a wrong header": tiny_mnist.encode_idx(np.zeros((600, 28, 28)))[:4] + b"\xff" * 12,
    "still packed": gzip.compress(tiny_mnist.encode_idx(np.zeros((600, 28, 28)))),
    "a page of a proxy": b"<html>404</html>",
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_refused_by_name(mnist: Mnist, tmp_path: Path, how: str) -> None:
    mnist()
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(DAMAGED[how])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is cut off or altered"):
        mnist()


def test_a_folder_in_place_of_a_file_is_refused_by_name(mnist: Mnist, tmp_path: Path) -> None:
    path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"no file .*t10k-labels-idx1-ubyte"):
        mnist()


@pytest.mark.parametrize("packed", [b"", gzip.compress(b"x" * 5000, mtime=0)[:-9], b"no archive"])
def test_a_cut_archive_is_refused_by_name(tmp_path: Path, packed: bytes) -> None:
    raw = write_zeros(tmp_path)
    for path in list(raw.iterdir()):
        path.unlink()
        (raw / f"{path.name}.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is cut off or altered"):
        find_dataset("fashion-mnist", tmp_path)
    assert not list(raw.glob("*ubyte"))


class Mirror(http.server.BaseHTTPRequestHandler):
    """A server of a made-up MNIST's archives, which cuts the first two responses for `cut`.

    One download is two requests: torchvision first resolves redirects.
    """

    files: ClassVar[dict[str, bytes]] = {}
    cut = "/t10k-images-idx3-ubyte.gz"
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        content = self.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        is_cut = self.path == self.cut and self.requests.count(self.path) < 2
        self.requests.append(self.path)
        self.wfile.write(content[:100] if is_cut else content)

    def log_message(self, *_: object) -> None:
        pass


def test_a_download_that_was_cut_is_refused_and_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if a complete file was truncated later, while it was unpacked."""
    import torchvision

    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path / "made up"))
    raw = tmp_path / "made up" / "MNIST" / "raw"
    Mirror.files.update({f"/{p.name}.gz": gzip.compress(p.read_bytes()) for p in raw.iterdir()})
    known = [(path[1:], hashlib.md5(content).hexdigest()) for path, content in Mirror.files.items()]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", known)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        mirror = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [mirror])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(DataError, match=r"could not be downloaded .*t10k-images-idx3-uby"):
                make(tmp_path / "cache", name="mnist")
            before = len(Mirror.requests)
            assert make(tmp_path / "cache", name="mnist").sizes["test"] == 100
            assert Mirror.cut in Mirror.requests[before:]
            assert len(set(Mirror.requests[before:])) <= 2, (
                "complete files are not downloaded again"
            )
            cached = tmp_path / "cache" / "harness" / "datasets" / "MNIST" / "raw"
            (cached / "train-images-idx3-ubyte").write_bytes(b"half")
            assert make(tmp_path / "other cache", name="mnist").sizes["test"] == 100
        finally:
            server.shutdown()
            thread.join()


def test_a_wrong_archive_is_refused_by_name(tmp_path: Path) -> None:
    raw = write_zeros(tmp_path)
    for path in list(raw.iterdir()):
        path.unlink()
        (raw / f"{path.name}.gz").write_bytes(gzip.compress(b"\0" * 100))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is cut off or altered"):
        find_dataset("fashion-mnist", tmp_path)


@pytest.mark.realdata
def test_real_fashion_mnist_has_the_known_sizes_and_statistics(
    real_data: Path, isolated: Path
) -> None:
    prepared = make(isolated / "harness", real_data, name="fashion-mnist")
    assert prepared.sizes == {"train": 54_000, "validation": 6_000, "test": 10_000}
    assert prepared.training.shape == (28, 28)
    assert prepared.training.classes[0] == "T-shirt/top"
    assert prepared.training.mean / 255 == pytest.approx(0.2860, abs=1e-3)
    assert prepared.training.std / 255 == pytest.approx(0.3530, abs=1e-3)
    splits = load_splits(prepared.training)
    counts = torch.bincount(splits.validation.labels[splits.validation.rows])
    assert counts.tolist() == [600] * 10


@pytest.mark.realdata
def test_a_truncated_real_file_is_refused_even_if_the_cache_is_complete(
    real_data: Path, isolated: Path, tmp_path: Path
) -> None:
    make(isolated / "harness", real_data, name="fashion-mnist")
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (real_data / "FashionMNIST" / "raw").iterdir():
        shutil.copyfile(path, raw / path.name)
    with (raw / "t10k-images-idx3-ubyte").open("r+b") as stream:
        stream.truncate(7_000_000)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte is cut off .*7,000,000 bytes"):
        make(isolated / "harness", tmp_path, name="fashion-mnist")


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PreparedDataset]:
    """A function that prepares a made-up MNIST."""
    monkeypatch.setattr(builtin, "MD5", tiny_mnist.write(tmp_path))
    return lambda **changes: make(tmp_path / "cache", tmp_path, name="mnist", **changes)


def test_a_stand_in_is_held_out_of_the_training_set(mnist: Callable[..., PreparedDataset]) -> None:
    """As for a dataset that comes without a test set."""
    with_test = mnist()
    stand_in = mnist(own_test=False, test=0.2)
    assert (with_test.sizes["test"], stand_in.sizes["test"]) == (100, 120)
    assert stand_in.sizes["train"] + stand_in.sizes["validation"] == 480
    images = {bytes(image) for image in np.load(stand_in.test.inputs)}
    assert images <= {bytes(image) for image in np.load(with_test.training.inputs)}
    assert not images & {bytes(image) for image in np.load(stand_in.training.inputs)}
    assert not images & {bytes(image) for image in np.load(with_test.test.inputs)}
    assert with_test.split_hash != stand_in.split_hash


def test_selected_classes_are_numbered_in_their_order(
    mnist: Callable[..., PreparedDataset],
) -> None:
    full, two = mnist(), mnist(classes=["7", "2"])
    assert two.training.classes == ("7", "2")
    assert two.sizes["test"] == 20
    for part, labels, all_labels in (
        ("training", np.load(two.training.labels), np.load(full.training.labels)),
        ("test", read_test_labels(two), read_test_labels(full)),
    ):
        images = [np.load(getattr(prepared, part).inputs) for prepared in (two, full)]
        selected = np.isin(all_labels, [2, 7])
        np.testing.assert_array_equal(images[0], images[1][selected])
        np.testing.assert_array_equal(labels, (all_labels[selected] == 2).astype(int))
    with pytest.raises(
        DataError, match=r"\[data\] classes: mnist has no class 'seven'; known: 0, 1"
    ):
        mnist(classes=["7", "seven"])
