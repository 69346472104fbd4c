"""Official files that are missing: downloaded, resumed, checked."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperreps.data import official_files
from hyperreps.data.datasets import load_images
from hyperreps.data.official_files import File
from hyperreps.data.sources import SOURCES

from ..image_files import (
    error_of,
    example,
    settings,
    write,
)


def test_without_network_all_missing_files_are_named(
    tmp_path: Path, any_digest: None, no_network: list[str], monkeypatch: Any
) -> None:
    _, _, files = example("mnist")
    del files["train-labels-idx1-ubyte.gz"], files["t10k-images-idx3-ubyte.gz"]
    write(tmp_path / "data" / "mnist", files)
    monkeypatch.chdir(tmp_path)
    message = error_of(lambda: load_images(settings("mnist"), data_dir=Path("data")))
    base = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    assert "(no connection)" in message
    for name in ("train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        assert f"{tmp_path}/data/mnist/{name} from {base}{name}" in message
    assert "train-images-idx3-ubyte.gz" not in message
    assert set(no_network) == {f"{base}train-labels-idx1-ubyte.gz"}
    assert len(no_network) == official_files.ATTEMPTS


def test_what_lies_where_a_file_is_missing_is_named(
    tmp_path: Path, no_network: list[str]
) -> None:
    """As CIFAR-10's pickles, of which nothing is read."""
    write(tmp_path / "cifar10", {"data_batch_1": b"pickle", "batches.meta": b""})
    message = error_of(lambda: load_images(settings("cifar10"), data_dir=tmp_path))
    assert message.endswith("(other files are there: batches.meta, data_batch_1)")


class Server(ThreadingHTTPServer):
    """Serves one file; may break off, ignore ranges, or miss it."""

    data = bytes(range(256)) * (8 * official_files.BLOCK // 256)
    breaks: int = 0  # connections that end half way
    ranges = True
    requests: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/images.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        start = int(re.findall(r"\d+", wanted or "0")[0]) if self.server.ranges else 0
        data = self.server.data[start:]
        if self.path != "/images.bin":
            return self.send_error(404)
        if not data:
            return self.send_error(416)
        self.send_response(206 if self.server.ranges else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            data = data[: len(data) // 2]
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def served(server: Server, *, path: str = "", data: bytes | None = None) -> File:
    digest = hashlib.sha256(data or server.data).hexdigest()
    return File("images.bin", server.url + path, digest)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_a_download_is_checked_and_kept(server: Server, tmp_path: Path) -> None:
    official_files._download(served(server), tmp_path / "new")
    assert (tmp_path / "new" / "images.bin").read_bytes() == server.data
    assert left(tmp_path / "new") == ["images.bin"]


def test_a_broken_download_goes_on_where_it_stopped(
    server: Server, tmp_path: Path
) -> None:
    server.breaks = 2
    official_files._download(served(server), tmp_path)
    assert (tmp_path / "images.bin").read_bytes() == server.data
    size = len(server.data)
    assert server.requests == [
        "bytes=0-",
        f"bytes={size // 2}-",
        f"bytes={size * 3 // 4}-",
    ]


def test_the_next_run_goes_on_where_the_last_gave_up(
    server: Server, tmp_path: Path
) -> None:
    server.breaks = official_files.ATTEMPTS
    message = error_of(lambda: official_files._download(served(server), tmp_path))
    assert message == "images.bin: download failed (connection lost)"
    assert left(tmp_path) == ["images.bin.part"]
    server.requests.clear()
    official_files._download(served(server), tmp_path)
    assert (tmp_path / "images.bin").read_bytes() == server.data
    assert server.requests == [f"bytes={len(server.data) * 7 // 8}-"]
    assert left(tmp_path) == ["images.bin"]


@pytest.mark.parametrize("size", [100, len(Server.data)])
def test_a_server_may_have_no_ranges_or_nothing_left(
    size: int, server: Server, tmp_path: Path
) -> None:
    server.ranges = size == len(server.data)
    (tmp_path / "images.bin.part").write_bytes(server.data[:size])
    official_files._download(served(server), tmp_path)
    assert (tmp_path / "images.bin").read_bytes() == server.data


def test_a_download_with_another_hash_is_thrown_away(
    server: Server, tmp_path: Path
) -> None:
    file = served(server, data=b"official")
    message = error_of(lambda: official_files._download(file, tmp_path))
    assert "another hash than the official file" in message
    assert left(tmp_path) == []


def test_a_file_that_is_not_served_is_an_error(server: Server, tmp_path: Path) -> None:
    file = served(server, path=".old")
    message = error_of(lambda: official_files._download(file, tmp_path))
    assert message.startswith("images.bin: download failed (404 Client Error")


def test_what_is_missing_is_downloaded_then_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, raw, files = example("svhn")
    (tmp_path / "test_32x32.mat").write_bytes(files["test_32x32.mat"])
    server.data = files["train_32x32.mat"]
    urls = [server.url, "http://127.0.0.1:1/never"]
    monkeypatch.setitem(
        SOURCES,
        "svhn",
        replace(
            SOURCES["svhn"],
            files=[
                File(name, url, hashlib.sha256(data).hexdigest())
                for (name, data), url in zip(files.items(), urls, strict=True)
            ],
        ),
    )
    # the name of the .part file is the url's
    for _ in range(2):
        found, _ = load_images(settings("svhn"), data_dir=tmp_path)
        np.testing.assert_array_equal(found.x_train, raw.x_train)
    assert len(server.requests) == 1
    assert left(tmp_path / "svhn") == ["train_32x32.mat"]
