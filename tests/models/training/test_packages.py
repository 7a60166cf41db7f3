"""Packages are fetched once and read whole; a pack made from them is the same bytes each time."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training import prepare as prepare_module
from models.training.catalogue import read_catalogue
from models.training.pack import read_cutouts, read_photos
from models.training.packages import (
    Members,
    PackageError,
    fetch_package,
    remove_leftovers,
    unpacked,
    version_of,
)
from models.training.prepare import PrepareError, prepare

ROOT = Path(__file__).parents[3]

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb builds the packages of these tests"
)
HEADER = "name\tsubject\tsplit\tkind\tpackage\tmember\tlicence\n"


def _build_deb(package: str, files: Path, cache: Path) -> Path:
    """A real package whose files are those under `files`."""
    control = files / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        f"Package: {package}\nVersion: 2:1.5-3\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: pictures for a test\n"
    )
    cache.mkdir(exist_ok=True)
    deb = cache / f"{package}_2%3a1.5-3_all.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--build", files, deb], check=True, capture_output=True)
    return deb


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with two packages in it: a photo, and a cut-out beside a torn one."""
    photos = tmp_path / "photos" / "usr" / "share"
    photos.mkdir(parents=True)
    noise = np.random.default_rng(5).integers(0, 256, (900, 700, 3)).astype(np.uint8)
    Image.fromarray(noise).save(photos / "cat.png")
    _build_deb("cats-data", tmp_path / "photos", tmp_path / "cache")
    stamps = tmp_path / "stamps"
    stamps.mkdir()
    cutout = np.zeros((50, 60, 4), np.uint8)
    cutout[10:40, 10:40] = (200, 90, 10, 255)
    Image.fromarray(cutout).save(stamps / "dog.png")
    (stamps / "torn.png").write_bytes(b"no picture")
    _build_deb("stamps", stamps, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.tsv"
    path.write_text(
        HEADER
        + "cat\tcat\ttest\tphoto\tcats-data\tusr/share/cat.png\tCC0-1.0\n"
        + "dog\tdog\ttrain\thard\tstamps\tdog.png\tGPL-2\n"
        + "torn\ttorn\ttrain\tsoft\tstamps\ttorn.png\tGPL-2\n"
        + "gone\tgone\ttrain\tphoto\tstamps\tgone.rcc!src/gone.webp\tGPL-2\n"
    )
    return path


def _no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has dpkg and no apt-get."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for command in ("dpkg", "dpkg-deb", "tar"):
        if found := shutil.which(command):
            (commands / command).symlink_to(found)
    monkeypatch.setenv("PATH", str(commands))


def _apt_that(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for apt-get, a shell script, first on the path."""
    command = tmp_path / "apt" / "apt-get"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{does}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")


@needs_dpkg
def test_pack_is_made_from_cached_packages_without_apt(
    cache: Path, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_apt(tmp_path, monkeypatch)
    said: list[str] = []
    pack = tmp_path / "new" / "pack.zip"
    summary = prepare(pack, cache=cache, catalogue=catalogue, progress=said.append)
    assert summary.counts == {("test", "photo"): 1, ("train", "hard"): 1}
    assert summary.size_bytes == pack.stat().st_size
    (photo,) = read_photos(pack, "test")
    assert photo.pixels.shape == (823, 640, 3)
    assert photo.source == "cats-data 2:1.5-3, usr/share/cat.png"
    (cutout,) = read_cutouts(pack, "train")
    assert (cutout.subject, cutout.licence, cutout.pixels.shape) == ("dog", "GPL-2", (30, 30, 4))
    assert any("cats-data" in line for line in said)


@needs_dpkg
def test_cache_may_be_named_from_the_folder_one_is_in(
    cache: Path, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    summary = prepare(Path("pack.zip"), cache=Path(cache.name), catalogue=catalogue)
    assert (tmp_path / "pack.zip").exists()
    assert summary.counts == {("test", "photo"): 1, ("train", "hard"): 1}


@needs_dpkg
def test_pictures_that_cannot_be_read_are_left_out_and_named(
    cache: Path, catalogue: Path, tmp_path: Path
) -> None:
    summary = prepare(tmp_path / "pack.zip", cache=cache, catalogue=catalogue)
    assert len(summary.skipped) == 2
    text = str(summary)
    assert "left out: stamps: torn.png: is no picture" in text
    assert "left out: stamps: gone.rcc is not in this version of the package" in text


@needs_dpkg
def test_same_packages_give_the_same_bytes_and_leave_nothing_else(
    cache: Path, catalogue: Path, tmp_path: Path
) -> None:
    for name in ("one.zip", "two.zip"):
        prepare(tmp_path / name, cache=cache, catalogue=catalogue)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert {path.suffix for path in cache.iterdir()} == {".deb"}


@needs_dpkg
def test_pack_above_the_limit_is_an_error_and_no_file(
    cache: Path, catalogue: Path, tmp_path: Path
) -> None:
    with pytest.raises(PrepareError, match="at most 1000 are wanted"):
        prepare(tmp_path / "pack.zip", cache=cache, catalogue=catalogue, limit_bytes=1000)
    assert not (tmp_path / "pack.zip").exists()


def test_machine_without_apt_is_told_what_to_do(
    tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_apt(tmp_path, monkeypatch)
    with pytest.raises(PrepareError, match=r"apt-get is not on this machine.*Debian 12"):
        prepare(tmp_path / "pack.zip", cache=tmp_path / "cache", catalogue=catalogue)


def test_unknown_package_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt_that("echo 'E: Unable to locate package cats-data' >&2; exit 100", tmp_path, monkeypatch)
    with pytest.raises(PackageError, match=r"no package cats-data. Run `apt-get update` first"):
        fetch_package("cats-data", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_download_without_a_network_or_without_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt_that('echo "E: Failed to fetch: $TROUBLE" >&2; exit 100', tmp_path, monkeypatch)
    monkeypatch.setenv("TROUBLE", "could not resolve")
    with pytest.raises(PackageError, match=r"could not resolve.*Is there a network"):
        fetch_package("cats-data", tmp_path / "cache")
    monkeypatch.setenv("TROUBLE", "write (28: No space left on device)")
    with pytest.raises(PackageError, match="disk is full"):
        fetch_package("cats-data", tmp_path / "cache")


def test_package_is_downloaded_once_and_never_kept_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in writes half a file and fails, then a whole one, then would fail again."""
    cache = tmp_path / "cache"
    half = "echo half > cats-data_1_all.deb; echo 'E: connection lost' >&2; exit 100"
    _apt_that(half, tmp_path, monkeypatch)
    with pytest.raises(PackageError, match="connection lost"):
        fetch_package("cats-data", cache)
    (tmp_path / "apt" / "apt-get").write_text("#!/bin/sh\necho whole > cats-data_1_all.deb\n")
    deb = fetch_package("cats-data", cache)
    assert deb.read_text() == "whole\n"
    (tmp_path / "apt" / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    assert fetch_package("cats-data", cache) == deb


@needs_dpkg
def test_damaged_package_is_told(tmp_path: Path) -> None:
    deb = tmp_path / "cats-data_1_all.deb"
    deb.write_bytes(b"!<arch>\nand then nothing")
    with (
        pytest.raises(PackageError, match=r"can't be unpacked .* Remove it and start again"),
        unpacked(deb),
    ):
        pass


@needs_dpkg
def test_unpacked_files_are_gone_after_the_block(cache: Path) -> None:
    deb = cache / "cats-data_2%3a1.5-3_all.deb"
    with unpacked(deb) as folder:
        assert Members(folder).read("usr/share/cat.png").startswith(b"\x89PNG")
    assert not folder.exists()
    assert version_of(deb) == "2:1.5-3"


@needs_dpkg
def test_what_a_killed_process_left_is_removed_and_nothing_in_use(
    cache: Path, catalogue: Path, tmp_path: Path
) -> None:
    deb = cache / "cats-data_2%3a1.5-3_all.deb"
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from models.training.packages import unpacked\n"
        "with unpacked(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, deb], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        remove_leftovers(cache)
        assert (left / "usr/share/cat.png").exists()
        process.kill()
    assert left.exists()
    prepare(tmp_path / "pack.zip", cache=cache, catalogue=catalogue)
    assert {path.suffix for path in cache.iterdir()} == {".deb"}


def test_output_that_is_no_pack_is_refused_before_anything_is_fetched(
    tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apt_that("echo 'E: was asked' >&2; exit 100", tmp_path, monkeypatch)
    photo = tmp_path / "keep.jpg"
    photo.write_bytes(b"a photo")
    with pytest.raises(PrepareError, match=r"keep\.jpg: is there already and is no pack"):
        prepare(photo, cache=tmp_path / "cache", catalogue=catalogue)
    with pytest.raises(PrepareError, match=r"is a folder\. Name a file in it"):
        prepare(tmp_path, cache=tmp_path / "cache", catalogue=catalogue)
    assert photo.read_bytes() == b"a photo"


def test_full_disk_is_told_as_such(
    tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "packages")

    monkeypatch.setattr(prepare_module, "fetch_package", full)
    with pytest.raises(PrepareError, match=r"packages: the disk is full. Make room"):
        prepare(tmp_path / "pack.zip", cache=tmp_path / "cache", catalogue=catalogue)


@pytest.mark.slow
def test_real_package_holds_the_pictures_the_catalogue_names(tmp_path: Path) -> None:
    """The smallest of the packages; the others were looked at when the catalogue was made."""
    entries = [entry for entry in read_catalogue() if entry.package == "palapeli-data"]
    assert entries
    try:
        deb = fetch_package("palapeli-data", tmp_path)
    except PackageError as error:
        pytest.skip(str(error))
    with unpacked(deb) as folder:
        for entry in entries:
            assert Members(folder).read(entry.member).startswith(b"\xff\xd8\xff")
