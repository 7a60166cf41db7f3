"""What may be loaded as a model, told from the zip alone: no torch, none of the file's code."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from artifact_zips import LEAST, refusal, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.artifact import (
    CONTRACT,
    MANIFEST_KEY,
    MAX_MANIFEST_BYTES,
    ArtifactError,
    holds_manifest,
    manifest_of,
    open_artifact,
    read_artifact,
    read_manifest,
)


def test_the_least_manifest_is_read_and_the_rest_has_defaults(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path / "m.pt"))
    assert (manifest.task, manifest.network) == ("inpaint", "edgeconnect")
    assert (manifest.smallest_size, manifest.size_multiple, manifest.halo) == (1, 1, 0)
    assert manifest.trained


def test_a_full_manifest_is_read(tmp_path: Path) -> None:
    full = {
        **LEAST,
        "stage": 3,
        "width": 64,
        "blocks": 8,
        "smallest_size": 16,
        "precision": "bf16",
        "checkpoint_sha256": {"gen.pth": "0" * 64},
        "trained": False,
        "metrics": {"psnr": 27.5},
    }
    manifest = read_manifest(write(tmp_path / "m.pt", full))
    assert (manifest.stage, manifest.width, manifest.blocks) == (3, 64, 8)
    assert manifest.metrics == {"psnr": 27.5}
    assert not manifest.trained


def test_keys_that_an_exporter_adds_are_ignored(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path / "m.pt", {**LEAST, "colour": "blue"})).task == "inpaint"


def test_a_compressed_manifest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", compression=zipfile.ZIP_DEFLATED)
    assert read_manifest(path).task == "inpaint"


def test_a_real_artifact_is_read(inpaint_model: Path) -> None:
    assert read_manifest(inpaint_model).task == "inpaint"


def test_reading_a_manifest_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path;"
        "from daemon.artifact import read_manifest; print(read_manifest(Path(sys.argv[1])).task)"
    )
    path = write(tmp_path / "m.pt")
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert run.stdout == "inpaint\n"


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"contract_version": 2}, "contract_version"),
        ({"contract_version": None}, "contract_version"),
        ({"contract": "another"}, "contract"),
        ({"task": "colorize"}, "task"),
        ({"network": ""}, "network"),
        ({"smallest_size": 0}, "smallest_size"),
        ({"size_multiple": -4}, "size_multiple"),
        ({"precision": "int8"}, "precision"),
        ({"checkpoint_sha256": {"gen.pth": "abc"}}, "checkpoint_sha256.gen.pth"),
        ({"stage": "three"}, "stage"),
    ],
)
def test_a_manifest_not_understood_is_refused_by_the_key_that_is_wrong(
    tmp_path: Path, change: dict[str, Any], hint: str
) -> None:
    said = refusal(write(tmp_path / "m.pt", {**LEAST, **change}))
    assert hint in said
    assert "Export the checkpoint again" in said


@pytest.mark.parametrize("key", LEAST)
def test_each_key_of_the_least_manifest_is_needed(tmp_path: Path, key: str) -> None:
    less = {name: value for name, value in LEAST.items() if name != key}
    assert f"{key}: Field required" in refusal(write(tmp_path / "m.pt", less))


@pytest.mark.parametrize("text", [b"", b" \n", b"\0"])
def test_an_empty_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    assert "manifest" in refusal(write(tmp_path / "m.pt", text))


@pytest.mark.parametrize("text", [b"{", b"[]", b"null", b"\xff\xfe", b"7", b"[" * 100_000])
def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path, text: bytes) -> None:
    assert "not one this version understands" in refusal(write(tmp_path / "m.pt", text))


@pytest.mark.parametrize(
    "member", ["manifest.json", "m/manifest.json", "m/extra/other.json", "a/b/extra/manifest.json"]
)
def test_a_torchscript_file_without_our_manifest_is_refused(tmp_path: Path, member: str) -> None:
    assert "holds no retouchd manifest" in refusal(write(tmp_path / "m.pt", member=member))


def test_two_manifests_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"other/extra/{MANIFEST_KEY}", json.dumps(LEAST))
    assert "holds no retouchd manifest" in refusal(path)


def test_a_manifest_that_unpacks_to_more_than_a_manifest_can_be_is_refused(tmp_path: Path) -> None:
    text = b" " * (MAX_MANIFEST_BYTES + 1)
    path = write(tmp_path / "m.pt", text, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    assert "larger than a manifest can be" in refusal(path)


def test_a_checkpoint_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gen.pth"
    path.write_bytes(b"\x80\x02}q\x00.")  # a bare pickle, as old checkpoints are
    path.chmod(0o644)
    assert "is no complete TorchScript file" in refusal(path)


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    for kept in range(path.stat().st_size - 1, -1, -1):
        os.truncate(path, kept)
        assert "is no complete TorchScript file" in refusal(path)


def test_a_real_artifact_that_is_cut_off_is_refused(inpaint_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(inpaint_model.read_bytes())
    path.chmod(0o644)
    size = path.stat().st_size
    for kept in (size - 1, size - 22, *range(size * 15 // 16, 0, -size // 16), 0):
        os.truncate(path, kept)
        assert "is no complete TorchScript file" in refusal(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    method=st.sampled_from(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    ),
)
def test_a_damaged_file_is_read_or_refused_but_never_crashes(
    tmp_path: Path, at: float, byte: int, method: int
) -> None:
    path = write(tmp_path / "m.pt", compression=method)
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] = byte
    path.write_bytes(data)
    try:
        assert read_manifest(path).contract == CONTRACT
    except ArtifactError as error:
        assert str(error).startswith(f"{path}: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "gone.pt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is not a regular file" in refusal(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.pt")
    assert "is not a regular file" in refusal(tmp_path / "m.pt")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused_and_not_read(device: str) -> None:
    said = refusal(Path(device))
    assert "is not a regular file" in said or "can't be opened" in said


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "m.pt"))
        assert "can't be opened" in refusal(tmp_path / "m.pt")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pt").symlink_to(tmp_path / "m.pt")
    assert "can't be opened" in refusal(tmp_path / "m.pt")


def test_a_path_too_long_to_exist_is_refused(tmp_path: Path) -> None:
    assert "can't be opened" in refusal(tmp_path / ("m" * 300))


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_a_file_that_others_can_write_is_refused_before_it_is_read(
    tmp_path: Path, mode: int
) -> None:
    path = write(tmp_path / "m.pt", b"not even json")
    path.chmod(mode)
    said = refusal(path)
    assert f"(mode {mode:o})" in said
    assert f"chmod go-w '{path}'" in said


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400, 0o755])
def test_a_file_that_only_its_owner_can_write_is_read(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "m.pt")
    path.chmod(mode)
    assert read_artifact(path) == path.read_bytes()


def test_a_link_to_a_file_is_judged_by_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    (tmp_path / "link.pt").symlink_to(path)
    assert read_manifest(tmp_path / "link.pt").task == "inpaint"
    path.chmod(0o666)
    assert "can be written by others" in refusal(tmp_path / "link.pt")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    os.chown(path, 65534, -1)
    assert "belongs to user id 65534" in refusal(path)


def test_the_file_that_was_judged_is_the_one_that_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    with open_artifact(path) as file:
        write(tmp_path / "other.pt", {**LEAST, "network": "other"}).chmod(0o666)
        (tmp_path / "other.pt").replace(path)
        assert manifest_of(path, file).network == "edgeconnect"
    assert "can be written by others" in refusal(path)


def test_a_file_swapped_all_the_time_is_refused_or_the_good_one(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.pt"), write(tmp_path / "bad.pt", {**LEAST, "network": "bad"})
    bad.chmod(0o666)
    path, done = tmp_path / "m.pt", threading.Event()
    path.symlink_to(good)

    def swap() -> None:
        while not done.is_set():
            for target in (bad, good):
                (tmp_path / "next").symlink_to(target)
                (tmp_path / "next").replace(path)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: set[str] = set()
    try:
        until = time.monotonic() + 10
        while len(seen) < 2 and time.monotonic() < until:
            for _ in range(200):
                try:
                    seen.add(read_manifest(path).network)
                except ArtifactError as error:
                    assert "can be written by others" in str(error)
                    seen.add("refused")
    finally:
        done.set()
        swapping.join()
    assert seen == {"edgeconnect", "refused"}


def test_a_large_artifact_takes_no_memory_to_judge(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/constants/0", bytes(50_000_000))
    assert path.stat().st_size > 50_000_000
    tracemalloc.start()
    try:
        assert read_manifest(path).task == "inpaint"
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_whether_a_file_holds_a_manifest_is_told_of_any_version_and_owner(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", b"of another version")
    path.chmod(0o666)
    assert holds_manifest(path)
    assert not holds_manifest(write(tmp_path / "n.pt", member="n/extra/other.json"))
    os.truncate(path, path.stat().st_size - 1)
    os.mkfifo(tmp_path / "pipe")
    for other in (path, tmp_path, tmp_path / "pipe", tmp_path / "gone.pt"):
        assert not holds_manifest(other)
