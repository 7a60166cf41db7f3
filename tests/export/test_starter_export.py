"""`retouchd-export starter`: what a newcomer runs first."""

from pathlib import Path

import pytest
import torch

from daemon.artifact import read_manifest
from export import cli


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("starter") / "networks"
    assert cli.main(["starter", "--output", str(folder)]) == 0
    return folder


def test_both_networks_are_written_and_say_what_they_are(exported: Path) -> None:
    inpaint = read_manifest(exported / "inpaint.pt")
    matting = read_manifest(exported / "matting.pt")
    assert (inpaint.task, inpaint.stage, inpaint.prefill) == ("inpaint", 3, "smooth")
    assert (matting.task, matting.prefill) == ("matting", "sides")
    for manifest in (inpaint, matting):
        assert manifest.trained
        assert manifest.note
        assert manifest.metrics
        assert "non-commercial" not in manifest.licence


def test_known_pixels_come_through_and_the_hole_is_filled_with_what_is_around(
    exported: Path,
) -> None:
    network = torch.jit.load(exported / "inpaint.pt")
    image = torch.full((1, 3, 90, 70), 120, dtype=torch.uint8)
    image[:, 0] = 200
    mask = torch.zeros((1, 1, 90, 70), dtype=torch.uint8)
    mask[:, :, 30:60, 20:50] = 255
    spoiled = torch.where(mask > 0, 7, image)
    made = network(spoiled, mask)
    hole = (mask > 0).expand_as(image)
    assert torch.equal(made[~hole], image[~hole])
    assert (made.int() - image.int()).abs().max() < 30


def test_one_folder_is_made_and_a_file_in_its_place_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("x")
    assert cli.main(["starter", "--output", str(tmp_path / "taken")]) == 2
    assert "Name a folder" in capsys.readouterr().err
