"""Real programs feed the real daemon. One test is one column of the table in docs/feeders.md.

Each finished upload gives exactly one result, the right one; an unfinished one gives nothing. The
last test looks at all that the others have left.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import hole, photo
from fed_daemon import TROUBLES, FedDaemon, Picture, draw, is_junk
from feeding import QUIET_S
from rows import rows_that_can
from table import behaviour_of

pytestmark = pytest.mark.feeders

JUNK = ("Thumbs.db", ".DS_Store", "~$lamp.png", "lamp.png.part", ".lamp.png.Xa81b2")


Test = Callable[..., None]


def by_feeder(test: Test) -> Test:
    """Run a test with each feeder that can do what its name says."""
    rows = rows_that_can(behaviour_of(test.__name__))
    cells = [pytest.param(row, id=row.name) for row in rows]
    by: Callable[[Test], Test] = pytest.mark.parametrize("fed", cells, indirect=True)
    return by(test)


@by_feeder
def test_whole_tree(fed: FedDaemon, tmp_path: Path) -> None:
    pairs = {
        "Größe 1.png": "Größe 1_mask.png",
        "shoot/images/day 1/lamp.png": "shoot/masks/day 1/lamp.png",
        "shoot/images/day 2/lamp.png": "shoot/masks/day 2/lamp.png",
        "a/b/c/lamp.png": "a/b/c/lamp_mask.png",
    }
    originals = {name: draw(photo(at), tmp_path / name) for at, name in enumerate(pairs)}
    masks = {name: draw(hole(), tmp_path / name) for name in pairs.values()}
    for name in JUNK:
        (tmp_path / "a" / name).write_bytes(originals["Größe 1.png"].path.read_bytes())
    tree = fed.folder("tree")
    fed.junk |= {f"{tree}/a/{name}" for name in JUNK}
    fed.feeder.put_tree(tmp_path, tree)
    for name, companion in pairs.items():
        fed.expect(f"{tree}/{name}", originals[name], masks[companion])
    junk = fed.site.inbox / tree / "a" / "lamp.png.part"
    assert junk.read_bytes() == originals["Größe 1.png"].path.read_bytes()


@by_feeder
def test_slow_write(fed: FedDaemon, picture: Picture, mask: Picture) -> None:
    slow = f"{fed.folder('slow')}/lamp.png"
    fed.feeder.put(mask.path, "slow/lamp_mask.png")
    began = time.monotonic()
    with fed.uploading(picture, slow) as upload:
        fed.daemon.wait_until(lambda: fed.feeder.arrived("slow") > picture.bytes // 2, "half of it")
        assert fed.stands(slow) == fed.feeder.writes_in_place
        upload.wait()
    assert fed.claims(slow) == 0
    assert time.monotonic() - began > 2 * QUIET_S  # or nothing was shown
    fed.expect(slow, picture, mask)
    assert (fed.claims(slow), fed.given_back(slow)) == (1, 0)


@by_feeder
def test_killed_half_way_then_again(fed: FedDaemon, picture: Picture, mask: Picture) -> None:
    half = f"{fed.folder('half')}/lamp.png"
    fed.feeder.put(mask.path, "half/lamp_mask.png")
    with fed.uploading(picture, half) as upload:
        fed.daemon.wait_until(lambda: fed.feeder.arrived("half") > picture.bytes // 3, "a third")
        upload.kill()
    assert fed.feeder.arrived("half") < picture.bytes
    if (
        fed.feeder.writes_in_place or fed.feeder.renames_halves
    ):  # be it a moment after the client's end
        fed.daemon.wait_for("pair_given_back", picture=half)
        fed.daemon.wait_until(lambda: fed.stands(half), "the half, back in the inbox")
    else:
        time.sleep(2 * QUIET_S)
        assert fed.claims(half) == 0
    fed.feeder.put(picture.path, half)
    fed.expect(half, picture, mask)
    assert fed.claims(half) == fed.given_back(half) + 1


@by_feeder
def test_overwritten_while_it_waits(
    fed: FedDaemon, picture: Picture, other: Picture, mask: Picture
) -> None:
    twice = f"{fed.folder('twice')}/lamp.png"
    fed.feeder.put(other.path, twice)
    time.sleep(1.3 * QUIET_S)  # the daemon knows it by now as one that waits for its mask only
    before = fed.looks(twice)
    with fed.uploading(picture, twice) as upload:
        if fed.feeder.writes_in_place:  # then the pair is there, and half of it old
            fed.daemon.wait_until(lambda: fed.looks(twice) != before, "a new beginning")
            fed.feeder.put(mask.path, "twice/lamp_mask.png")
        upload.wait()
    if not fed.feeder.writes_in_place:
        fed.feeder.put(mask.path, "twice/lamp_mask.png")
    assert fed.claims(twice) == 0
    fed.expect(twice, picture, mask)
    assert (fed.claims(twice), fed.given_back(twice)) == (1, 0)


@by_feeder
def test_renamed(fed: FedDaemon, picture: Picture, other: Picture, mask: Picture) -> None:
    folder = fed.folder("renamed")
    for name, original in (("lamp.png.part", picture), ("draft.png", other)):
        fed.feeder.put(original.path, f"{folder}/{name}")
    for name in ("lamp_mask.png", "vase_mask.png"):
        fed.feeder.put(mask.path, f"{folder}/{name}")
    time.sleep(1.3 * QUIET_S)
    fed.feeder.rename(f"{folder}/lamp.png.part", f"{folder}/lamp.png")
    fed.feeder.rename(f"{folder}/draft.png", f"{folder}/vase.png")
    fed.expect(f"{folder}/lamp.png", picture, mask)
    fed.expect(f"{folder}/vase.png", other, mask)


@by_feeder
def test_two_clients_at_once(
    fed: FedDaemon, picture: Picture, other: Picture, mask: Picture
) -> None:
    folder = fed.folder("both")
    for name in ("lamp_mask.png", "vase_mask.png"):
        fed.feeder.put(mask.path, f"{folder}/{name}")
    lamp, vase = f"{folder}/lamp.png", f"{folder}/vase.png"
    with fed.uploading(picture, lamp) as one, fed.uploading(other, vase) as another:
        one.wait()
        another.wait()
    fed.expect(lamp, picture, mask)
    fed.expect(vase, other, mask)


@by_feeder
def test_clean_afterwards(fed: FedDaemon) -> None:
    time.sleep(1.5 * QUIET_S)  # time for a twin to appear, if there were one
    assert fed.left() == set()
    assert fed.failures() == {}
    assert fed.site.jobs() == []
    assert {name for name in fed.site.files("outbox") if name.endswith(".png")} == fed.results
    finished = [event["picture"] for event in fed.daemon.seen("job_finished")]
    assert len(finished) == len(set(finished)) == len(fed.results)
    claimed: list[dict[str, Any]] = fed.daemon.seen("pair_claimed")
    assert not [event for event in claimed if is_junk(event["picture"])]
    assert not [event for event in claimed if is_junk(event["companion"])]
    assert not [event for name in TROUBLES for event in fed.daemon.seen(name)]
