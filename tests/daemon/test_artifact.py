"""What may be loaded as a model, told from the zip alone: no torch, none of the file's code."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.artifact import (
    CONTRACT,
    CONTRACT_VERSION,
    MANIFEST_KEY,
    MAX_MANIFEST_BYTES,
    ArtifactError,
    read_artifact,
    read_manifest,
)

LEAST: dict[str, Any] = {
    "contract": CONTRACT,
    "contract_version": CONTRACT_VERSION,
    "task": "inpaint",
    "network": "edgeconnect",
}


def write(path: Path, manifest: object = LEAST, member: str | None = None, **zip_args: Any) -> Path:
    """A zip as torch.jit.save lays it out, with a manifest: JSON of an object, or bytes as is."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", **zip_args) as archive:
        archive.writestr(f"{path.stem}/code/__torch__.py", "raise SystemExit('code was run')")
        archive.writestr(member or f"{path.stem}/extra/{MANIFEST_KEY}", text)
    path.chmod(0o644)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_manifest(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    return said


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


@pytest.mark.parametrize("kept", [0, 1, 20, 300])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "m.pt")
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
