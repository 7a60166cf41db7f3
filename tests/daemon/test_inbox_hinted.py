"""The inbox where every change rings: a look is only where one did, and misses nothing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from floods import flood
from test_inbox import Watched
from test_pairing_cost import in_trees, lone, paired, steps

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "inbox", events=True, scan_interval_s=3600)
    yield watched
    watched.inbox.close()


def test_a_look_after_a_hint_is_only_where_it_rang(box: Watched, listed: list[str]) -> None:
    box.put(*(f"{day}/a.jpg" for day in range(50)))
    box.look()
    listed.clear()
    box.put("7/cat.jpg", "7/cat_mask.png")
    box.look(after=1)
    assert listed == ["7"]
    box.look(after=1)
    assert listed == ["7"]
    assert box.inbox.next_look == box.clock.now + 4
    box.look(after=4)
    assert listed == ["7", "7"]  # it is looked at unasked when the pair may be quiet
    assert box.taken() == ["7/cat.jpg"]


def test_a_walk_at_the_interval_finds_what_did_not_ring(box: Watched, listed: list[str]) -> None:
    box.put("day/a.jpg")
    box.look()
    listed.clear()
    box.look(after=3599)
    assert listed == []
    box.look(after=2)
    assert listed == ["inbox", "day"]


def test_a_file_that_grows_without_being_closed_is_not_taken(box: Watched) -> None:
    box.put("images/cat.jpg", "masks/cat.png")
    with (box.folder / "images" / "cat.jpg").open("ab") as upload:
        box.look()
        for _ in range(3):
            upload.write(b"more")
            upload.flush()
            box.look(after=5)
            assert box.taken() == []
        box.look(after=5)
        assert box.taken() == ["images/cat.jpg"]


def test_a_pair_is_taken_only_after_a_look_at_both_files_as_they_are_now(box: Watched) -> None:
    """The other file was seen long ago, in a folder that has not rung since."""
    box.put("images/cat.jpg", content=b"")
    with (box.folder / "images" / "cat.jpg").open("ab") as upload:
        upload.write(b"some")
        upload.flush()
        box.look()
        upload.write(b"more")
        upload.flush()
        box.put("masks/cat.png")
        box.look(after=100)
        box.look(after=5)
        assert box.taken() == []
        box.look(after=5)
        assert box.taken() == ["images/cat.jpg"]


def test_a_pair_that_lost_its_rival_is_looked_at_before_it_is_taken(
    box: Watched, listed: list[str]
) -> None:
    box.put("images/cat.jpg", "masks/cat.png", "trimaps/cat.png")
    box.look()
    (box.folder / "trimaps" / "cat.png").unlink()
    listed.clear()
    box.look(after=100)
    assert listed == ["trimaps"]
    assert box.taken() == []
    assert box.inbox.next_look <= box.clock.now + 0.1
    box.look(after=0.1)
    assert sorted(listed) == ["images", "masks", "trimaps"]
    assert box.taken() == ["images/cat.jpg"]


def test_a_pair_that_was_taken_is_looked_at_again(box: Watched, listed: list[str]) -> None:
    box.put("day/cat.jpg", "day/cat_mask.png", "night/dog.jpg")
    box.look()
    box.look(after=5)
    assert box.taken() == ["day/cat.jpg"]
    listed.clear()
    box.look(after=5)
    assert listed == ["day"]
    assert box.inbox.ready_count() == 1  # nobody has claimed it after all


def test_a_claim_rings_for_nobody(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    box.look(after=5)
    assert box.taken() == ["cat.jpg"]
    before = box.inbox.next_look
    for name in ("cat.jpg", "cat_mask.png"):
        (box.folder / name).rename(box.folder.parent / name)
    box.inbox.answer_bell()
    assert box.inbox.next_look == before
    box.put("dog.jpg")
    box.inbox.answer_bell()
    assert box.inbox.next_look < before
    box.look(after=1)
    assert box.inbox.ready_count() == 0


def test_lost_hints_bring_the_walk_forward(box: Watched) -> None:
    box.put("a.jpg", "b.jpg")
    box.look()
    flood(box.folder / "a.jpg", box.folder / "b.jpg")
    box.look(after=1)
    assert box.inbox.next_look <= box.clock.now + 0.1


def test_a_pair_whose_rights_are_missing_is_asked_about_where_it_rings(
    box: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def access(name: str, *_: Any, **__: Any) -> bool:
        asked.append(name)
        return name != "cat.jpg"

    monkeypatch.setattr(os, "access", access)
    box.put("theirs/cat.jpg", "theirs/cat_mask.png")
    box.look()
    box.look(after=5)
    assert box.taken() == []
    asked.clear()
    box.put("dog.jpg")
    box.look(after=1)
    assert asked == []
    (box.folder / "theirs" / "cat.jpg").chmod(0o644)
    box.look(after=1)
    assert "cat.jpg" in asked


def test_a_thousand_files_that_wait_are_told_in_turns_and_all_in_the_end(box: Watched) -> None:
    box.put(*(f"{number}.jpg" for number in range(1000)))
    box.look()
    told = [len(box.look(after=60)) for _ in range(10)]
    assert max(told) < 1000
    assert sum(told) == 1000


@pytest.mark.parametrize("names", [lone, paired, in_trees])
def test_a_walk_over_four_times_the_files_takes_four_times_the_steps(
    tmp_path: Path, names: Callable[[int], list[str]]
) -> None:
    taken = []
    for count in (100, 400):
        box = Watched(tmp_path / str(count))
        box.put(*(path for number in range(count) for path in names(number)))
        box.look()
        for _ in range(6):  # until all that waits has been told
            box.look(after=60)
        taken.append(steps(box.inbox.look))
    assert taken[1] < 1.3 * 4 * taken[0]


def test_a_look_after_a_hint_takes_few_steps_for_what_did_not_ring(box: Watched) -> None:
    box.put(*(f"lot/{number}.jpg" for number in range(1000)))
    box.look()
    box.look(after=1)
    box.put("cat.jpg", "cat_mask.png")
    assert steps(box.inbox.look) < 10 * 1000
    assert box.inbox.is_settling()
