"""Matting folders, in the real daemon: a mask there means cut out, and nowhere else."""

import json
import time
from collections.abc import Callable

import numpy as np
import pytest
from driver import Daemon, Pixels, Site, hole, inverted, load, photo, save, trimap
from tiny import SLOW_PIXEL

from daemon.worker.trimaps import draw_trimap

Start = Callable[..., Daemon]


@pytest.fixture
def shop(both: Site) -> Site:
    """A spool with a matting folder, and a band of 3 pixels."""
    both.environment["RETOUCHD_MATTING_FOLDERS"] = "portraits, shop/products"
    both.environment["RETOUCHD_TRIMAP_BAND_PERCENT"] = "5"
    return both


def expected_alpha(band: int) -> Pixels:
    """What the tiny matting network makes of the trimap of the hole."""
    made = draw_trimap(hole() > 0, np.zeros(hole().shape, np.bool_), band).values
    return np.where(made == 128, 100, made).astype(np.uint8)


def test_a_mask_in_a_matting_folder_is_cut_out_and_one_elsewhere_retouched(shop: Site) -> None:
    for folder in ("shop/products/new", "shop"):
        save(photo(), shop.inbox / folder / "cat.png")
        save(hole(), shop.inbox / folder / "cat_mask.png")
    done = shop.once()
    assert done.returncode == 0, done.stderr
    assert shop.files("outbox") == [
        "shop/cat.log",
        "shop/cat.png",
        *(f"shop/products/new/cat.{n}" for n in ("alpha.png", "cutout.png", "log", "trimap.png")),
    ]
    made = shop.outbox / "shop" / "products" / "new"
    alpha, drawn = load(made / "cat.alpha.png"), load(made / "cat.trimap.png")
    assert np.array_equal(alpha, expected_alpha(band=3))
    assert np.array_equal(alpha[drawn != 128], drawn[drawn != 128])
    assert np.array_equal(drawn[hole() == 0] == 255, np.zeros((hole() == 0).sum(), np.bool_))
    log = (made / "cat.log").read_text()
    assert "with an unknown band of 3 pixels on either side of its edge (5 %" in log
    assert "mask:                 shop/products/new/cat_mask.png" in log
    assert (load(shop.outbox / "shop" / "cat.png") == inverted(photo(), hole())).all()
    claimed = [json.loads(line) for line in done.stderr.splitlines() if "pair_claimed" in line]
    assert {line["picture"]: line["task"] for line in claimed} == {
        "shop/products/new/cat.png": "matting",
        "shop/cat.png": "inpaint",
    }


def test_a_made_trimap_can_be_dropped_back_with_the_photo(shop: Site) -> None:
    save(photo(), shop.inbox / "portraits" / "cat.png")
    save(hole(), shop.inbox / "portraits" / "cat_mask.png")
    assert shop.once().returncode == 0
    made = shop.outbox / "portraits"
    first = load(made / "cat.alpha.png")
    save(photo(), shop.inbox / "portraits" / "cat.png")
    (made / "cat.trimap.png").rename(shop.inbox / "portraits" / "cat.trimap.png")
    done = shop.once()
    assert done.returncode == 0, done.stderr
    assert np.array_equal(load(made / "cat.2.alpha.png"), first)
    assert "made from the mask" not in (made / "cat.2.log").read_text()
    assert not (made / "cat.2.trimap.png").exists()


def test_a_matting_folder_that_is_not_there_is_told_of_with_the_name_that_may_be_meant(
    shop: Site,
) -> None:
    shop.environment["RETOUCHD_MATTING_FOLDERS"] = "portrats, portraits 2, Shop, nowhere"
    for folder in ("portraits", "portraits 2", "shop"):
        (shop.inbox / folder).mkdir()
    done = shop.once()
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    events = [line["event"] for line in lines if line["event"] != "runs_as_root"]
    assert events[:3] == ["started", *["matting_folder_missing"] * 2]
    told = {line["folder"]: line for line in lines if line["event"] == "matting_folder_missing"}
    assert {name: line["nearest"] for name, line in told.items()} == {
        "portrats": "portraits",
        "nowhere": None,
    }
    assert told["portrats"]["level"] == "warning"
    assert "write portraits in matting_folders" in told["portrats"]["advice"]


def test_where_every_matting_folder_is_there_the_log_is_silent_on_them(shop: Site) -> None:
    for folder in ("Portraits", "shop/products"):
        (shop.inbox / folder).mkdir(parents=True)
    assert "matting_folder_missing" not in shop.once().stderr


def test_without_the_setting_a_mask_in_a_folder_called_matting_is_retouched(both: Site) -> None:
    save(photo(), both.inbox / "matting" / "cat.png")
    save(hole(), both.inbox / "matting" / "cat_mask.png")
    assert both.once().returncode == 0
    assert both.files("outbox") == ["matting/cat.log", "matting/cat.png"]


def test_a_pair_in_a_matting_folder_waits_where_there_is_no_matting_model(shop: Site) -> None:
    del shop.environment["RETOUCHD_MATTING_MODEL"]
    for name, companion in (("cat", "mask"), ("dog", "trimap")):
        save(photo(), shop.inbox / "portraits" / f"{name}.png")
        pixels = hole() if companion == "mask" else trimap()
        save(pixels, shop.inbox / "portraits" / f"{name}_{companion}.png")
    done = shop.once()
    assert done.returncode == 1
    assert done.stdout.count("no matting model is configured") == 2
    assert len(shop.files("inbox")) == 4


def test_a_mask_that_is_all_white_or_all_black_goes_to_failed_with_the_reason(shop: Site) -> None:
    for name, value in (("white", 255), ("black", 0)):
        save(photo(), shop.inbox / "portraits" / f"{name}.png")
        save(np.full_like(hole(), value), shop.inbox / "portraits" / f"{name}_mask.png")
    assert shop.once().returncode == 1
    for name, missing in (("white", "black"), ("black", "white")):
        reason = (shop.failed / "portraits" / f"{name}.png.reason.txt").read_text()
        assert f"the mask is nowhere {missing}" in reason
        assert "(reason: mask_without_edge" in reason


def test_a_restart_with_other_settings_does_what_was_decided_at_the_claim(
    shop: Site, start: Start
) -> None:
    slow = photo()
    slow[0, 0] = SLOW_PIXEL
    save(slow, shop.inbox / "portraits" / "cat.png")
    save(hole(), shop.inbox / "portraits" / "cat_mask.png")
    daemon = start(shop)
    started = daemon.wait_for("job_started")
    time.sleep(0.3)
    daemon.kill()
    assert shop.jobs() == [started["job"]]
    shop.environment["RETOUCHD_MATTING_FOLDERS"] = ""
    shop.environment["RETOUCHD_TRIMAP_BAND_PERCENT"] = "20"
    second = start(shop)
    second.wait_for("job_finished", job=started["job"])
    names = shop.files("outbox")
    assert names == [f"portraits/cat.{n}" for n in ("alpha.png", "cutout.png", "log", "trimap.png")]
    alpha = load(shop.outbox / "portraits" / "cat.alpha.png")
    assert np.array_equal(alpha, expected_alpha(band=3))
    save(photo(), shop.inbox / "portraits" / "dog.png")  # and what comes later is retouched
    save(hole(), shop.inbox / "portraits" / "dog_mask.png")
    second.wait_for("job_finished", picture="portraits/dog.png")
    assert (load(shop.outbox / "portraits" / "dog.png") == inverted(photo(), hole())).all()
