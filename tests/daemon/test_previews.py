"""The preview beside each result: before, mask and after in one small picture."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from driver import Daemon, Pixels, Site, hole, save, trimap
from PIL import Image, ImageCms
from rooms import Rooms
from skimage import data
from test_pictures_memory import SLACK, held_by

from daemon.spool.layout import Spool
from daemon.spool.record import Output, Record
from daemon.spool.record import save as save_record
from daemon.worker import companions, pictures, previews
from daemon.worker.companions import Companion
from daemon.worker.pictures import Picture
from daemon.worker.protocol import MOST_PREVIEWED
from daemon.worker.scaling import miniature

# What JPEG may do to a smooth picture.
LOSS = 12
PHOTO = np.asarray(Image.fromarray(data.astronaut()).resize((96, 64)))


@pytest.fixture
def previewing(site: Site) -> Site:
    site.environment["RETOUCHD_PREVIEWS"] = "true"
    return site


def panels(strip: Pixels) -> list[Any]:
    """Before, mask and after, as numbers that can be subtracted."""
    width = strip.shape[1] // 3
    assert strip.shape[1] == 3 * width
    return [strip[:, i * width : (i + 1) * width].astype(int) for i in range(3)]


def load_strip(path: Path) -> Pixels:
    with Image.open(path) as image:
        assert image.format == "JPEG"
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        return np.asarray(image)


def picture_of(pixels: Pixels, form: str = "PNG", **options: Any) -> Picture:
    data = samples.encoded(Image.fromarray(pixels), form, **options)
    return pictures.read_picture(data, pixels.size)


def mask_of(values: Pixels, picture: Picture) -> Companion:
    return companions.read_mask(samples.encoded(Image.fromarray(values), "PNG"), picture, 10**9)


def near(one: Any, other: Any) -> bool:
    return bool(np.abs(one.astype(int) - other.astype(int)).mean() < LOSS)


def test_a_retouched_picture_comes_with_before_mask_and_after(previewing: Site) -> None:
    save(PHOTO, previewing.inbox / "holiday" / "cat.png")
    save(hole(), previewing.inbox / "holiday" / "cat_mask.png")
    done = previewing.once()
    assert done.returncode == 0, done.stderr
    assert previewing.files("outbox") == [
        "holiday/cat.log",
        "holiday/cat.png",
        "holiday/cat.preview.jpg",
    ]
    before, mask, after = panels(load_strip(previewing.outbox / "holiday" / "cat.preview.jpg"))
    assert before.shape == PHOTO.shape
    inside = hole() > 0
    assert near(before, PHOTO)
    assert near(after[inside], 255 - PHOTO[inside])
    assert near(after[~inside], PHOTO[~inside])
    assert near(mask[~inside], PHOTO[~inside])
    assert np.abs(mask[inside] - PHOTO[inside]).mean() > 3 * LOSS
    assert "seconds, preview:" in (previewing.outbox / "holiday" / "cat.log").read_text()


def test_a_cut_out_comes_with_trimap_and_checkerboard(both: Site) -> None:
    both.environment["RETOUCHD_PREVIEWS"] = "true"
    save(PHOTO, both.inbox / "cat.png")
    save(trimap(), both.inbox / "cat_trimap.png")
    done = both.once()
    assert done.returncode == 0, done.stderr
    assert "cat.preview.jpg" in both.files("outbox")
    before, known, after = panels(load_strip(both.outbox / "cat.preview.jpg"))
    assert near(before, PHOTO)
    assert near(known, np.repeat(trimap()[..., None], 3, axis=2))
    assert near(after[trimap() == 255], PHOTO[trimap() == 255])
    squares = after[:8, :16].mean(axis=(0, 2)) if (trimap()[:8, :16] == 0).all() else None
    assert squares is not None
    assert squares[2:6].mean() > 250 > 220 > squares[10:14].mean() > 205


def test_the_preview_is_published_before_the_result(
    previewing: Site, start: Callable[..., Daemon]
) -> None:
    save(PHOTO, previewing.inbox / "cat.png")
    save(hole(), previewing.inbox / "cat_mask.png")
    finished = start(previewing).wait_for("job_finished")
    assert finished["outputs"] == ["cat.log", "cat.preview.jpg", "cat.png"]


def test_without_the_setting_there_is_no_preview(site: Site) -> None:
    save(PHOTO, site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    assert site.once("--no-previews").returncode == 0
    assert site.files("outbox") == ["cat.log", "cat.png"]


@pytest.mark.parametrize("previews_now", [True, False])
def test_a_repeat_makes_what_the_first_try_made_whatever_is_set_by_now(
    spool: Spool, previews_now: bool
) -> None:
    rooms = Rooms(spool)
    record = rooms.claimed()
    rooms.workplace.settings = rooms.settings.model_copy(update={"previews": not previews_now})
    with rooms.attempts.begun(record, pid=1) as (order, _):
        first = order.outputs
    for name in first:
        (Path(str(spool.job(record.job))) / "out" / name).write_bytes(name.encode())
    assert ("preview" in first) is not previews_now
    record = rooms.attempts.end(record.job)
    outputs = [(name, f".{name[:3]}") for name in first]
    record = _decided(spool, record, outputs)
    rooms.workplace.settings = rooms.settings.model_copy(update={"previews": previews_now})
    with rooms.attempts.begun(record, pid=1) as (order, _):
        assert order.outputs == first


def _decided(spool: Spool, record: Record, outputs: list[tuple[str, str]]) -> Record:
    """The record as it is when its outputs have names, and were lost in a crash."""
    made = tuple(Output(name, suffix, "0" * 64, f"cat{suffix}") for name, suffix in outputs)
    return save_record(spool, replace(record, outputs=made))


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (960, 640, (320, 480)),
        (640, 960, (480, 320)),
        (96, 64, (64, 96)),
        (4001, 10, (1, 480)),
        (481, 481, (480, 480)),
    ],
)
def test_a_panel_is_small_and_in_proportion(width: int, height: int, size: tuple[int, int]) -> None:
    picture = picture_of(np.zeros((height, width), np.uint8))
    assert previews.panel_size(picture) == size
    assert max(size) <= MOST_PREVIEWED
    mask = np.zeros((height, width), np.uint8)
    mask[0, 0] = 255
    strip = previews.strip_of_retouched(picture, mask_of(mask, picture), picture.rgb())
    assert strip.shape == (size[0], 3 * size[1], 3)


def test_a_picture_on_its_side_is_shown_upright() -> None:
    stored = Image.fromarray(PHOTO)
    file = samples.oriented(stored, "JPEG", 6, quality=95)
    picture = pictures.read_picture(file, 10**6)
    mask = mask_of(np.eye(96, 64, dtype=np.uint8) * 255, picture)
    before, _, _ = panels(previews.strip_of_retouched(picture, mask, picture.rgb()))
    assert near(before, np.rot90(PHOTO, -1))


def other_profile() -> bytes:
    """A profile for RGB in which red and blue have changed places."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")


def test_colours_of_a_profile_become_those_of_srgb() -> None:
    picture = picture_of(PHOTO, icc_profile=other_profile())
    strip = previews.strip_of_retouched(picture, mask_of(hole(), picture), picture.rgb())
    before, _, after = panels(strip)
    assert np.abs(before - PHOTO[..., ::-1]).max() <= 2
    assert np.array_equal(before, after)


def test_what_is_transparent_in_the_picture_shows_the_checkerboard() -> None:
    opaque = np.full((64, 96, 1), 255, np.uint8)
    opaque[:, 48:] = 0
    picture = picture_of(np.concatenate([PHOTO, opaque], axis=2))
    strip = previews.strip_of_retouched(picture, mask_of(hole(), picture), picture.rgb())
    before, _, after = panels(strip)
    assert np.array_equal(before[:, :48], PHOTO[:, :48])
    assert set(np.unique(before[:, 48:])) == {214, 255}
    assert np.array_equal(before, after)


def test_a_grey_picture_and_one_of_16_bits_look_as_they_are() -> None:
    grey = np.asarray(Image.fromarray(PHOTO).convert("L"))
    for picture in (
        picture_of(grey),
        pictures.read_picture(samples.deep("PNG", colour=False), 10**6),
    ):
        mask = np.zeros(picture.size[::-1], np.uint8)
        mask[5:20, 5:20] = 255
        strip = previews.strip_of_retouched(picture, mask_of(mask, picture), picture.rgb())
        before, _, after = panels(strip)
        assert np.array_equal(before, picture.rgb())
        assert np.array_equal(after, picture.rgb())


def test_a_scratch_that_is_thinner_than_a_pixel_of_the_preview_still_shows() -> None:
    picture = picture_of(np.full((3000, 4000, 3), 128, np.uint8))
    mask = np.zeros((3000, 4000), np.uint8)
    mask[:, 2001:2004] = 255
    strip = previews.strip_of_retouched(picture, mask_of(mask, picture), picture.rgb())
    before, marked, _ = panels(strip)
    assert np.abs(marked - before).max(axis=(0, 2)).max() > 40


@pytest.mark.parametrize("shape", [(600, 960), (601, 967), (100, 481), (2000, 300)])
def test_a_miniature_is_the_average_of_what_each_pixel_stands_for(shape: tuple[int, int]) -> None:
    ramp = np.add.outer(np.arange(shape[0]) * 0.1, np.arange(shape[1]) * 0.1).astype(np.uint8)
    size = (shape[0] // 7, shape[1] // 5)
    small = miniature(lambda rows: ramp[rows], shape, size)
    rows = (np.arange(size[0]) + 0.5) * shape[0] / size[0] * 0.1
    columns = (np.arange(size[1]) + 0.5) * shape[1] / size[1] * 0.1
    inside = (slice(3, -3), slice(3, -3))
    expected = np.add.outer(rows, columns) % 256
    smooth = np.abs(expected - 0) < 250  # where it begins anew nobody knows the average
    off = np.abs(small.astype(float) - expected)[inside]
    assert off[smooth[inside] & (expected[inside] > 6)].max() < 2


def test_a_preview_of_a_large_picture_takes_next_to_no_memory() -> None:
    picture = picture_of(np.zeros((4000, 6000, 3), np.uint8))
    mask = np.zeros((4000, 6000), np.uint8)
    mask[:400] = 255
    companion, filled = mask_of(mask, picture), picture.rgb()
    previews.strip_of_retouched(picture, companion, filled)  # what is loaded once is loaded
    strip, held = held_by(lambda: previews.strip_of_retouched(picture, companion, filled))
    assert strip.shape == (320, 1440, 3)
    assert held < SLACK


def test_a_preview_is_a_small_file() -> None:
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((480, 480)))
    out = io.BytesIO()
    pictures.write_preview(np.hstack([photo, photo, photo]), out)
    assert 10_000 < len(out.getvalue()) < 100_000
