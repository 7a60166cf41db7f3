"""docs/pictures.md says what the code does."""

import io
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import samples
from driver import REPOSITORY
from PIL import Image

from daemon.reasons import REASONS, Kind
from daemon.settings import OutputFormat
from daemon.worker import companions, pictures

PAGE = (REPOSITORY / "docs" / "pictures.md").read_text(encoding="utf-8")
# Output format to what the page says of it: exact, profile, EXIF, resolution.
KEPT = {
    name: [cell.strip() for cell in rest.split("|")]
    for name, rest in re.findall(r"^\| `(png|tiff|webp|jpeg)`[^|]*\|(.*)\|$", PAGE, re.MULTILINE)
}


def test_every_output_format_has_its_row() -> None:
    assert {*KEPT, "same"} == set(get_args(OutputFormat))
    assert "| `same` |" in PAGE


@pytest.mark.parametrize("form", KEPT)
def test_what_the_page_says_is_kept_is_kept(tmp_path: Path, form: OutputFormat) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    profile = samples.colour_profile("RGB")
    source = samples.encoded(
        samples.photo(), "JPEG", exif=exif, icc_profile=profile, dpi=(300, 300)
    )
    folder = samples.Folder(tmp_path)
    picture = folder.picture(source)
    file = folder.written(
        lambda out: pictures.write_retouched(picture, picture.rgb(), samples.hole(), out, form, 95)
    )
    with Image.open(io.BytesIO(file)) as result:
        is_exact = np.array_equal(np.asarray(result), picture.rgb())
        seen = [
            "icc_profile" in result.info,
            result.getexif().get(0x010F) == "Maker",
            "dpi" in result.info,
        ]
    said = KEPT[form]
    assert is_exact is (said[0] == "yes")
    assert seen == [each.startswith("kept") for each in said[1:]]


def test_thresholds_of_the_page_are_the_codes() -> None:
    assert f"above {companions.LOSSY_MASK_THRESHOLD} of 255" in PAGE
    low, high = companions.LOSSY_TRIMAP_BACKGROUND, companions.LOSSY_TRIMAP_FOREGROUND
    assert f"| 0 to {low} | {high} to 255 |" in PAGE


def test_refusals_of_the_page_are_reasons_that_send_to_failed() -> None:
    named = re.findall(r"^\| `(\w+)` \| [^|]*\|$", PAGE, re.MULTILINE)
    assert len(named) == 13
    assert all(REASONS[key].kind is Kind.FILE for key in named)
