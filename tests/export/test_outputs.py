"""Where an artifact may go: never over its own checkpoint, nor over anybody else's file."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from export import cli
from export.outputs import OutputError, check_output
from models.untrained import write_edgeconnect, write_matting


def artifact(path: Path, manifest: str = "{}") -> Path:
    """A zip with a manifest where an artifact has it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/extra/manifest.json", manifest)
    return path


def refused(capsys: pytest.CaptureFixture[str], *command: str | Path) -> str:
    """What is said where the command ends with 2."""
    assert cli.main([str(part) for part in command]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.parametrize("link", [None, os.link, os.symlink])
def test_matting_checkpoint_is_not_written_over(
    tmp_path: Path,
    link: Callable[[Path, Path], None] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_matting(tmp_path / "m.pth", width=4)
    before = (tmp_path / "m.pth").read_bytes()
    output = tmp_path / "m.pth"
    if link:
        output = tmp_path / "out.pt"
        link(tmp_path / "m.pth", output)
    said = refused(capsys, "matting", "--checkpoint", tmp_path / "m.pth", "--output", output)
    assert f"is the checkpoint {tmp_path / 'm.pth'} itself" in said
    assert (tmp_path / "m.pth").read_bytes() == output.read_bytes() == before


@pytest.mark.parametrize("name", ["EdgeModel_gen.pth", "InpaintingModel_gen.pth"])
def test_edgeconnects_checkpoints_are_not_written_over(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_edgeconnect(tmp_path, width=4, blocks=1)
    before = (tmp_path / name).read_bytes()
    command = ("edgeconnect", "--checkpoints", tmp_path, "--output", tmp_path / name)
    assert f"is the checkpoint {tmp_path / name} itself" in refused(capsys, *command)
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("network", ["matting", "edgeconnect", "starter"])
def test_file_that_is_no_artifact_is_not_written_over(
    tmp_path: Path, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_edgeconnect(tmp_path, width=4, blocks=1)
    write_matting(tmp_path / "m.pth", width=4)
    keep = tmp_path / "inpaint.pt"
    keep.write_bytes(b"\xff\xd8\xff a photo")
    command: dict[str, tuple[str | Path, ...]] = {
        "matting": ("--checkpoint", tmp_path / "m.pth", "--output", keep),
        "edgeconnect": ("--checkpoints", tmp_path, "--output", keep),
        "starter": ("--output", tmp_path),
    }
    said = refused(capsys, network, *command[network])
    assert f"{keep}: is there already and is no artifact" in said
    assert keep.read_bytes() == b"\xff\xd8\xff a photo"


def test_an_artifact_of_whatever_version_may_be_replaced_and_so_may_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "new.pt", [tmp_path / "m.pth"])
    check_output(artifact(tmp_path / "old.pt", '{"contract_version": 9}'), [tmp_path / "m.pth"])


def test_zip_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("extra/photo.jpg", b"")
    with pytest.raises(OutputError, match="no artifact"):
        check_output(tmp_path / "photos.zip", [])


def test_device_and_pipe_are_no_artifacts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OutputError, match="no artifact"):
            check_output(path, [])
