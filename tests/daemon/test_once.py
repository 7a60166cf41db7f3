"""`retouchd once`, end to end: what goes in, what comes out, and how it ends."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny
from driver import Site, hole, inverted, load, photo, save, trimap
from PIL import Image

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.settings import Settings
from daemon.spool.jobs import claim_pair
from daemon.spool.layout import open_spool


def test_a_photo_and_its_mask_become_a_retouched_photo(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert "1 done, 0 failed, 0 waiting" in done.stdout
    assert site.files("outbox") == ["cat.log", "cat.png"]
    assert site.files("inbox") == site.files("failed") == site.jobs() == []
    assert site.files("archive") == ["cat.png", "cat_mask.png"]
    assert (load(site.outbox / "cat.png") == inverted(photo(), hole())).all()


def test_a_photo_and_its_trimap_become_a_matte_and_a_cutout(both: Site) -> None:
    save(photo(), both.inbox / "shoot" / "images" / "cat.webp")
    save(trimap(), both.inbox / "shoot" / "trimaps" / "cat.tif")
    done = both.once()
    assert done.returncode == 0, done.stderr
    folder = both.outbox / "shoot" / "images"
    assert both.files("outbox") == [
        f"shoot/images/cat{suffix}" for suffix in (".alpha.png", ".cutout.png", ".log")
    ]
    alpha = load(folder / "cat.alpha.png")
    assert (alpha == np.where(trimap() == 128, 100, trimap())).all()
    cutout = load(folder / "cat.cutout.png")
    assert cutout.shape == (64, 96, 4)
    assert (cutout[..., 3] == alpha).all()


def test_the_log_beside_a_result_says_what_ran_and_how_long(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    site.environment["RETOUCHD_INPAINT_MODEL"] = str(
        tiny.write_inpaint(site.root.parent / "untrained.pt", trained=False, stage=2, width=8)
    )
    assert site.once().returncode == 0
    log = (site.outbox / "cat.log").read_text()
    for words in ("tiny, stage 2, width 8", "untrained.pt", "UNTRAINED", "cpu", "seconds, network"):
        assert words in log
    assert "96 x 64" in log


def test_modes_of_results_do_not_depend_on_the_umask(site: Site) -> None:
    save(photo(), site.inbox / "a" / "cat.png")
    save(hole(), site.inbox / "a" / "cat_mask.png")
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", *site.command("once")]
    subprocess.run(command, env=site.variables(), check=True, capture_output=True, timeout=120)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [site.outbox, *site.outbox.rglob("*")]
    }
    assert modes == {"outbox": 0o2775, "a": 0o2775, "cat.png": 0o664, "cat.log": 0o664}
    assert stat.S_IMODE(site.work.stat().st_mode) == 0o700


def test_sizes_that_disagree_fail_with_both_sizes_in_the_reason(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    save(hole(50, 41), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 1
    reason = (site.failed / "cat.png.reason.txt").read_text()
    assert "96 x 64" in reason
    assert "50 x 41" in reason
    assert site.files("failed") == ["cat.png", "cat.png.reason.txt", "cat_mask.png"]
    assert site.files("inbox") == site.files("outbox") == []


def test_what_lacks_its_companion_stays_and_is_listed(site: Site) -> None:
    save(photo(), site.inbox / "lonely.png")
    save(hole(), site.inbox / "orphan_mask.png")
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert site.files("inbox") == ["lonely.png", "orphan_mask.png"]
    assert "lonely.png: the picture waits for its mask" in done.stdout
    assert "orphan_mask.png: the mask waits for its picture" in done.stdout


def test_a_complete_pair_without_a_model_is_no_success(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    save(trimap(), site.inbox / "cat_trimap.png")
    done = site.once()
    assert done.returncode == 1
    assert "no matting model is configured" in done.stdout
    assert site.files("inbox") == ["cat.png", "cat_trimap.png"]


def test_two_candidates_are_never_guessed_between(both: Site) -> None:
    for name in ("cat.png", "dog.jpg", "dog.png"):
        save(photo(), both.inbox / name)
    for name in ("cat_mask.png", "cat_trimap.png", "dog_mask.png"):
        save(hole(), both.inbox / name)
    before = both.files("inbox")
    done = both.once()
    assert both.files("inbox") == before
    assert "0 done, 0 failed, 6 waiting" in done.stdout
    assert "cat.png, cat_mask.png, cat_trimap.png" in done.stdout


def test_two_pictures_of_one_name_both_get_results(site: Site) -> None:
    save(photo(1), site.inbox / "a.jpg")
    save(photo(2), site.inbox / "a.png")
    save(hole(), site.inbox / "a.jpg.mask.png")
    save(hole(), site.inbox / "a.png.mask.png")
    done = site.once()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.files("outbox") == ["a.2.log", "a.2.png", "a.log", "a.png"]
    with Image.open(site.archive / "a.jpg") as image:
        first = np.asarray(image)
    results = [load(site.outbox / name) for name in ("a.png", "a.2.png")]
    expected = [inverted(first, hole()), inverted(photo(2), hole())]
    assert sorted(r.tobytes() for r in results) == sorted(e.tobytes() for e in expected)


def test_a_truncated_picture_stays_in_the_inbox_and_is_no_success(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    whole = (site.inbox / "cat.png").read_bytes()
    (site.inbox / "cat.png").write_bytes(whole[: len(whole) // 2])
    save(hole(), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 1
    assert "looks cut off" in done.stdout
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]
    assert site.files("outbox") == site.files("failed") == site.jobs() == []


def test_a_picture_that_stays_cut_off_for_long_fails(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    whole = (site.inbox / "cat.png").read_bytes()
    (site.inbox / "cat.png").write_bytes(whole[: len(whole) // 2])
    save(hole(), site.inbox / "cat_mask.png")
    site.environment["RETOUCHD_INCOMPLETE_S"] = "0"
    done = site.once()
    assert done.returncode == 1
    assert "damaged or cut off" in (site.failed / "cat.png.reason.txt").read_text()
    assert (site.failed / "cat.png").read_bytes() == whole[: len(whole) // 2]


def test_an_empty_file_means_not_yet(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    (site.inbox / "cat_mask.png").touch()
    done = site.once()
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]
    assert "1 waiting" in done.stdout
    assert site.files("failed") == []


def test_a_model_that_raises_gets_three_tries_and_then_a_reason(site: Site) -> None:
    model = tiny.write_raising(site.root.parent / "raises.pt")
    site.environment["RETOUCHD_INPAINT_MODEL"] = str(model)
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 1
    reason = (site.failed / "cat.png.reason.txt").read_text()
    assert "3 times: " in reason
    assert "this network always fails" in reason
    assert reason.count("the model stopped with an error") == 4  # the reason and its story
    assert site.files("inbox") == site.files("outbox") == []


def test_a_large_photo_is_worked_in_windows_and_the_log_says_so(site: Site) -> None:
    mask = hole(width=1000, height=800)
    mask[700:720, 900:930] = 255
    save(photo(width=1000, height=800), site.inbox / "cat.png")
    save(mask, site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 0, done.stderr
    expected = inverted(photo(width=1000, height=800), mask)
    assert (load(site.outbox / "cat.png") == expected).all()
    assert "filled in 2 windows at full resolution" in (site.outbox / "cat.log").read_text()


def test_a_picture_whose_windows_are_too_large_for_memory_is_refused_in_numbers(
    site: Site,
) -> None:
    model = tiny.write_inpaint(
        site.root.parent / "hungry.pt", memory_bytes_per_pixel=10**6, best_size=1000
    )
    site.environment["RETOUCHD_INPAINT_MODEL"] = str(model)
    save(photo(width=1000, height=500), site.inbox / "cat.png")
    save(hole(width=1000, height=500), site.inbox / "cat_mask.png")
    assert site.once().returncode == 1
    reason = (site.failed / "cat.png.reason.txt").read_text()
    assert "500 x 500" in reason
    assert "250.0 GB" in reason


def test_an_inbox_on_another_file_system_is_served_by_a_hidden_folder(site: Site) -> None:
    inbox = Path("/dev/shm") / f"retouchd-inbox-{os.getpid()}"  # noqa: S108 - a tmpfs
    inbox.mkdir()
    try:
        site.environment["RETOUCHD_INBOX"] = str(inbox)
        assert inbox.stat().st_dev != site.root.stat().st_dev
        save(photo(), inbox / "cat.png")
        save(hole(), inbox / "cat_mask.png")
        done = site.once()
        assert done.returncode == 0, done.stderr
        assert "work_folder_moved" in done.stderr
        assert site.files("outbox") == ["cat.log", "cat.png"]
        assert site.files("archive") == ["cat.png", "cat_mask.png"]
    finally:
        shutil.rmtree(inbox)


def test_a_broken_model_ends_once_with_a_clear_line(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    site.environment["RETOUCHD_INPAINT_MODEL"] = str(
        tiny.write_inpaint(site.root.parent / "liar.pt", smallest_size=4096 * 16)
    )
    site.environment["RETOUCHD_DEVICE"] = "cuda:7"
    done = site.once()
    assert done.returncode == 1
    assert "does not run on cuda:7" in done.stdout
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]


def test_a_claimed_file_that_somebody_took_away_is_told_and_holds_nobody(site: Site) -> None:
    spool = open_spool(Settings(spool=site.root))
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = claim_pair(spool, pair)
    assert record is not None
    (site.work / record.job / "in" / "picture").unlink()
    save(photo(), site.inbox / "dog.png")
    save(hole(), site.inbox / "dog_mask.png")
    done = site.once()
    assert "1 done, 1 failed" in done.stdout
    assert site.files("failed") == ["cat.png.reason.txt", "cat_mask.png"]
    assert "was gone when it was to be worked" in (site.failed / "cat.png.reason.txt").read_text()


def claimed(site: Site, name: str = "cat") -> str:
    """A job that was claimed and not yet run when everything ended."""
    spool = open_spool(Settings(spool=site.root))
    save(photo(), site.inbox / f"{name}.png")
    save(hole(), site.inbox / f"{name}_mask.png")
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = claim_pair(spool, pair)
    assert record is not None
    return record.job


def test_a_claimed_job_whose_model_is_no_longer_set_waits_and_costs_nobody(
    site: Site, matting_model: Path
) -> None:
    claimed(site)
    site.environment = {"RETOUCHD_MATTING_MODEL": str(matting_model)}
    done = site.once()
    assert "0 done, 0 failed, 1 waiting" in done.stdout
    assert "no inpainting model is configured" in done.stdout
    assert "worker_ended" not in done.stderr
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]


def test_a_job_in_the_work_folder_of_earlier_settings_is_done(site: Site) -> None:
    claimed(site)
    done = site.once("--work", str(site.root / "work elsewhere"))
    assert "1 done, 0 failed, 0 waiting" in done.stdout
    assert site.files("outbox") == ["cat.log", "cat.png"]
    assert site.jobs() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a folder somebody else's")
def test_a_work_folder_that_somebody_else_made_in_the_inbox_stops_nobody(site: Site) -> None:
    planted = site.inbox / ".retouchd-work"
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert "queue_held" not in done.stderr
