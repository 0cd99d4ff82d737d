"""Failing downloads from a real local server: one line, and the next run repairs them."""

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from scipy.io import savemat

from prunescope.data import sources
from prunescope.data.sources import torchvision as torchvision_source
from prunescope.errors import InputError

datasets = pytest.importorskip("torchvision.datasets")
TRAIN, TEST = 20, 10


class Server(ThreadingHTTPServer):
    """Serves `files`, correctly or with faults."""

    daemon_threads = True

    def __init__(self, port=0, files=()):
        super().__init__(("127.0.0.1", port), Answer)
        self.files, self.fault, self.over = dict(files), None, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def server_close(self):
        self.over.set()
        self.shutdown()
        super().server_close()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        whole = self.server.files[self.path.rsplit("/", 1)[-1]]
        half = len(whole) // 2
        self.send_response(200)
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        if self.server.fault is None:
            self.wfile.write(whole)
        elif self.server.fault == "damaged":
            self.wfile.write(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
        else:
            self.wfile.write(whole[:half])
            self.wfile.flush()
        if self.server.fault == "stalled":
            self.server.over.wait(20)
        if self.server.fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        yield server


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def offer_mnist(server, patch, images, labels) -> list[str]:
    arrays = {
        "train-images-idx3-ubyte": images[:TRAIN, 0],
        "train-labels-idx1-ubyte": labels[:TRAIN],
        "t10k-images-idx3-ubyte": images[TRAIN:, 0],
        "t10k-labels-idx1-ubyte": labels[TRAIN:],
    }
    server.files = {f"{name}.gz": gzip.compress(idx(array)) for name, array in arrays.items()}
    patch(datasets.MNIST, "mirrors", [server.url])
    patch(datasets.MNIST, "resources", [(name, md5(content)) for name, content in server.files.items()])
    return [f"MNIST/raw/{name}" for name in (*server.files, *arrays)]


def offer_cifar10(server, patch, images, labels) -> list[str]:
    names = ["data_batch_1", "data_batch_2", "test_batch", "batches.meta"]
    cuts = [slice(0, TRAIN // 2), slice(TRAIN // 2, TRAIN), slice(TRAIN, None)]
    parts = [{"data": images[cut].reshape(-1, 3072), "labels": labels[cut].tolist()} for cut in cuts]
    batches = [pickle.dumps(part) for part in (*parts, {"label_names": list("abcdefghij")})]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, batch in zip(names, batches, strict=True):
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(batch)
            tar.addfile(member, io.BytesIO(batch))
    server.files = {"cifar-10-python.tar.gz": archive.getvalue()}
    checks = [[name, md5(batch)] for name, batch in zip(names, batches, strict=True)]
    patch(datasets.CIFAR10, "url", f"{server.url}cifar-10-python.tar.gz")
    patch(datasets.CIFAR10, "tgz_md5", md5(archive.getvalue()))
    patch(datasets.CIFAR10, "train_list", checks[:2])
    patch(datasets.CIFAR10, "test_list", checks[2:3])
    patch(datasets.CIFAR10, "meta", {"filename": names[3], "key": "label_names", "md5": checks[3][1]})
    return [*server.files, *(f"cifar-10-batches-py/{name}" for name in names)]


def offer_svhn(server, patch, images, labels) -> list[str]:
    offered = {}
    for split, cut in (("train", slice(0, TRAIN)), ("test", slice(TRAIN, None))):
        file = io.BytesIO()
        savemat(file, {"X": images[cut].transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[cut]})
        name = f"{split}_32x32.mat"
        server.files[name] = file.getvalue()
        offered[split] = [server.url + name, name, md5(file.getvalue())]
    patch(datasets.SVHN, "split_list", offered)
    return list(server.files)


OFFERS = {
    "MNIST": (offer_mnist, (1, 28, 28)),
    "CIFAR10": (offer_cifar10, (3, 32, 32)),
    "SVHN": (offer_svhn, (3, 32, 32)),
}


@pytest.fixture(params=OFFERS)
def offered(request, server, monkeypatch, tmp_path):
    """A tiny data set on the server; torchvision's addresses and checksums point to it."""
    offer, shape = OFFERS[request.param]
    monkeypatch.setitem(torchvision_source.SIZES, request.param, (shape, 10, TRAIN, TEST))
    images = np.random.default_rng(0).integers(0, 256, (TRAIN + TEST, *shape), dtype=np.uint8)
    labels = (np.arange(TRAIN + TEST) % 10).astype(np.uint8)
    names = offer(server, monkeypatch.setattr, images, labels)

    def fetch(download=True):
        return sources.fetch("x", f"torchvision:{request.param}", str(tmp_path), download)

    fetch.name, fetch.files, fetch.root = request.param, [tmp_path / name for name in names], tmp_path
    fetch.is_right = lambda data: (
        np.array_equal(np.concatenate([data.train_images, data.test_images]), images)
        and np.array_equal(np.concatenate([data.train_labels, data.test_labels]), labels)
    )
    return fetch


def refused(fetch, download=True) -> str:
    with pytest.raises(InputError) as caught:
        fetch(download)
    line = str(caught.value)
    assert "\n" not in line and f"data set {fetch.name} under data.root = {fetch.root}" in line
    return line


def test_a_good_download_is_used_and_not_repeated(offered, server):
    assert offered.is_right(offered())
    server.files.clear()
    assert offered.is_right(offered()) and offered.is_right(offered(download=False))


@pytest.mark.parametrize("fault", ["damaged", "cut", "reset", "stalled"])
def test_a_bad_download_is_refused_and_repaired_by_the_next_try(offered, server, fault, monkeypatch):
    monkeypatch.setattr(torchvision_source, "SILENCE", 0.5)
    server.fault = fault
    assert "run again" in refused(offered)
    assert socket.getdefaulttimeout() is None
    refused(offered, download=False)
    server.fault = None
    assert offered.is_right(offered())


def test_no_server_is_refused_and_the_next_try_works(offered, server):
    server.server_close()
    assert "refused" in refused(offered)
    with Server(server.server_port, server.files):
        assert offered.is_right(offered())


def test_files_of_a_killed_download_are_never_used(offered):
    """torchvision writes to the final name: a kill leaves complete files, one truncated file, no others."""
    offered()
    whole = {path: path.read_bytes() for path in offered.files}
    for last, cut in enumerate(offered.files):
        for path in offered.files:
            path.unlink()
        for path in offered.files[:last]:
            path.write_bytes(whole[path])
        cut.write_bytes(whole[cut][: len(whole[cut]) // 2])
        refused(offered, download=False)
        try:
            assert offered.is_right(offered())
        except InputError as error:  # torchvision finds all files and checks the last one too late
            assert offered.name != "SVHN" and cut == offered.files[-1], error
            assert "delete its files there" in str(error)
            for path in offered.files:
                path.unlink()
            assert offered.is_right(offered())
