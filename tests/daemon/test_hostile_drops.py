"""Malformed files dropped into the real daemon's inbox: each ends somewhere, and nobody waits."""

import os
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import samples
from driver import Daemon, Site, inverted, load
from mutations import KINDS, Malformed
from mutations_any import DOCUMENTS
from PIL import Image

Start = Callable[..., Daemon]

# Some for each format that get past the door and some that do not.
KINDS_DROPPED = {
    "JPEG": ("coefficients_flipped", "looping_exif_segment", "odd_frame", "looping_view_index",
             "few_empty_scans", "wrong_length", "cut_off", "profile_damaged"),
    "PNG": ("odd_header", "stream_bomb", "text_bomb", "animation", "odd_transparency",
            "wrong_checksum", "zip_before", "looping_exif_chunk"),
    "TIFF": ("chain_of_directories", "looping_sub_directories", "odd_tiles", "another_compression",
             "as_big_tiff", "bomb_in_a_strip", "tags_doubled", "document_before"),
    "WEBP": ("odd_canvas", "one_frame_on_an_odd_canvas", "bitstream_flipped", "odd_alpha",
             "many_small_chunks", "riff_in_riff", "odd_frames", "zero_run"),
    "BMP": ("wide_and_flat", "random_runs", "another_depth", "palette_of_another_length",
            "upside_down", "another_header_size", "long_header", "sent_as_text"),
}  # fmt: skip
SPARSE_BYTES = 3_000_000_000
AT_ONCE_S = 30.0
HUGE = {"cat.png": "picture", "dog_mask.png": "mask"}
LYING_NAMES = {
    "page.jpg": (DOCUMENTS[1], "a web page"),
    "drawing.png": (DOCUMENTS[2], "an SVG drawing"),
    "script.tif": (DOCUMENTS[4], "a PostScript file"),
    "paper.webp": (DOCUMENTS[0], "a PDF document"),
    "office.bmp": (b"PK\3\4" + bytes(99), "a ZIP archive"),
    "film.png": (samples.encoded(samples.photo(), "GIF"), "a GIF"),
}


def good_mask() -> bytes:
    return samples.encoded(Image.fromarray(samples.hole()), "PNG")


def drop(site: Site, picture: str, data: bytes, mask: bytes) -> None:
    """Put a pair into the inbox; the mask's name follows the picture's."""
    (site.inbox / picture).write_bytes(data)
    (site.inbox / f"{picture.partition('.')[0]}_mask.png").write_bytes(mask)


def test_malformed_pairs_all_end_and_a_good_one_among_them_is_done(
    site: Site, start: Start
) -> None:
    site.environment["RETOUCHD_INCOMPLETE_S"] = "1"
    site.environment["RETOUCHD_MAX_PIXELS"] = "4000000"
    photo = samples.encoded(samples.photo(), "PNG")
    number = 0
    for form, kinds in KINDS_DROPPED.items():
        assert set(kinds) <= set(KINDS[form])
        for at, kind in enumerate(kinds):
            data = Malformed(form, kind, 7).make()
            number += 1
            if at % 2:
                drop(site, f"{kind}.png", photo, data)
            else:
                drop(site, f"{kind}.{form.lower()}", data, good_mask())
    drop(site, "good.png", photo, good_mask())
    daemon = start(site, "--scan-interval-s", "0.5")
    daemon.wait_until(
        lambda: len(daemon.seen("job_finished") + daemon.seen("job_failed")) == number + 1,
        f"an end for each of {number} malformed pairs and a good one",
    )
    assert site.files("inbox") == site.jobs() == []
    made = load(site.outbox / "good.png")
    assert (made == inverted(np.asarray(samples.photo()), samples.hole())).all()
    reasons = Counter(event["reason"] for event in daemon.seen("job_failed"))
    print(number, "malformed pairs:", reasons, len(daemon.seen("job_finished")) - 1, "done,",
          len(daemon.seen("worker_ended")), "workers ended")  # fmt: skip
    assert set(reasons) <= {
        "corrupt", "not_a_picture", "several_pages", "too_many_pixels", "colour_space",
        "deep_colour", "size_mismatch", "mask_covers_everything", "out_of_proportion",
    }  # fmt: skip
    assert len(reasons) >= 4 and len(daemon.seen("job_finished")) > 5
    assert daemon.seen("worker_ended") == []
    assert not [line for line in daemon.noise if "Traceback" in line or len(line) > 300]
    originals = 2 * (number + 1)
    kept = [name for name in site.files("failed") if not name.endswith(".reason.txt")]
    assert len(kept) + len(site.files("archive")) == originals


def test_files_of_three_gigabytes_are_refused_unread(site: Site) -> None:
    for name in HUGE:
        stem = name[:3]
        drop(site, f"{stem}.png", samples.encoded(samples.photo(), "PNG"), good_mask())
        with (site.inbox / name).open("r+b") as file:
            file.truncate(SPARSE_BYTES)
    start = time.monotonic()
    site.once()
    assert time.monotonic() - start < AT_ONCE_S
    for name, role in HUGE.items():
        moved = (site.failed / name).stat()
        assert moved.st_size == SPARSE_BYTES
        assert moved.st_blocks * 512 < 1_000_000  # as sparse as it came: nobody copied it
        (reason,) = site.failed.glob(f"{name[:3]}*.reason.txt")
        text = reason.read_text("utf-8")
        assert f"the {role} is a file of {SPARSE_BYTES} bytes" in text and "too_many_bytes" in text


def test_what_only_has_a_pictures_name_is_refused_for_what_it_is(site: Site) -> None:
    for name, (data, _) in LYING_NAMES.items():
        drop(site, name, data, good_mask())
    site.environment["PATH"] = os.pathsep.join((str(fake_ghostscript(site)), os.environ["PATH"]))
    site.once()
    assert site.files("outbox") == site.files("inbox") == []
    for name, (_, looks_like) in LYING_NAMES.items():
        (reason,) = site.failed.glob(f"{name.partition('.')[0]}*.reason.txt")
        assert looks_like in reason.read_text("utf-8")
    assert not (site.root.parent / "ghostscript_ran").exists()


def fake_ghostscript(site: Site) -> os.PathLike[str]:
    """A folder with a `gs` in it that leaves a trace when it is run."""
    folder = site.root.parent / "bin"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\n: > '{site.root.parent}/ghostscript_ran'\n")
    (folder / "gs").chmod(0o755)
    return folder
