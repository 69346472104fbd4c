"""Where the compiled kernel is kept: a help that may be missing."""

from __future__ import annotations

import importlib.util
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numba
import pytest

from hyperreps.engines.fused import engine as fused
from hyperreps.networks.architectures import build
from hyperreps.running import machine_code


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts with empty folders."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def load() -> ModuleType:
    return fused.load_kernel.__wrapped__(build("cnn", channels=1))


def kept_in(kernel: ModuleType) -> Path | None:
    """Returns where numba keeps a kernel's machine code; None: nowhere."""
    folders = {f.stats.cache_path for f in (kernel.train_model, kernel.evaluate_model)}
    (folder,) = folders
    return None if folder is None else Path(folder)


@contextmanager
def room(size: int) -> Iterator[None]:
    """Lets no file grow beyond so many bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def share(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))


def test_it_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    folder = kept_in(load())
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "home" / "hyperreps")


@pytest.mark.parametrize("size", [10_000, 200_000], ids=["source", "machine code"])
def test_a_full_disk_is_no_error(tmp_path: Path, size: int) -> None:
    """Neither where the source has no room, nor where the machine code has none."""
    with room(size):
        assert kept_in(load()) is None
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".tmp"]


def test_a_home_that_is_read_only_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "home").touch()  # no folder can be made in it, not even by root
    folder = kept_in(load())
    assert folder is not None
    assert folder.is_relative_to(tmp_path / f"hyperreps-{os.getuid()}")


def test_a_shared_folder_that_cannot_be_used_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").touch()
    share(tmp_path / "shared", monkeypatch)
    assert kept_in(load()) is None


def test_all_who_share_a_folder_can_read_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(tmp_path, monkeypatch)
    before = os.umask(0o077)
    try:
        load()
    finally:
        os.umask(before)
    (source,) = tmp_path.glob("*.py")
    assert source.stat().st_mode & 0o777 == 0o644


def test_machine_code_of_others_that_cannot_be_read_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(tmp_path, monkeypatch)
    kernel = load()
    folder = kept_in(kernel)
    assert folder is not None
    # a folder cannot be opened, not even by root
    (folder / f"{kernel.__name__}.train_model-1.py311.nbi").mkdir(parents=True)
    assert kept_in(load()) is None


def test_a_user_without_name_or_home_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.chdir(tmp_path)
    # the folder of temporary files is another's, so what lies there is not run
    assert kept_in(load()) is None
    assert not (tmp_path / "~").exists()


@pytest.fixture
def umap(monkeypatch: pytest.MonkeyPatch) -> type:
    """Stands in for umap, which compiles for half a minute when it is imported."""
    module = ModuleType("umap")
    module.__spec__ = importlib.util.find_spec("umap")
    module.UMAP = type("UMAP", (), {})
    monkeypatch.setitem(sys.modules, "umap", module)
    return module.UMAP


@pytest.mark.parametrize("chosen", [True, False])
def test_umap_is_compiled_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umap: type, chosen: bool
) -> None:
    """numba itself would end in an error then."""
    if chosen:
        share(tmp_path / "full", monkeypatch)
    with room(1000):
        assert machine_code.import_umap() is umap
    assert Path(numba.config.CACHE_DIR).parent == tmp_path
    assert Path(numba.config.CACHE_DIR).is_dir()


def test_umap_keeps_its_machine_code_where_numba_does(
    monkeypatch: pytest.MonkeyPatch, umap: type
) -> None:
    monkeypatch.setattr(machine_code, "require_room", lambda *_: None)
    assert machine_code.import_umap() is umap
    assert not numba.config.CACHE_DIR
