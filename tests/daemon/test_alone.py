"""Pictures without a companion, in folders that say where the hole is: which are jobs alone."""

import re
from typing import Any

import pytest
from hypothesis import given
from test_pairing import PAGE, PATHS, paired

from daemon.folders import FolderRules, FolderSettings, Rules
from daemon.intake.alone import with_those_alone
from daemon.intake.markers import require_markers
from daemon.intake.matting import MattingFolders
from daemon.intake.names import kind_of
from daemon.intake.pairing import Pair, Pairing, rule_of
from daemon.intake.scan import Entry, Identity

DUST = "/etc/dust.png"


def rules(**tables: dict[str, Any]) -> FolderRules:
    named = {name.replace("_", "/"): FolderSettings(**table) for name, table in tables.items()}
    return FolderRules(Rules(), named)


EVERYWHERE = FolderRules(Rules(), {".": FolderSettings.model_validate({"mask": DUST})})
TRANSPARENT = FolderRules(Rules(), {".": FolderSettings(alpha_as_mask=True)})


def found(of: FolderRules, *paths: str, matting: tuple[str, ...] = ()) -> Pairing:
    entries = [Entry(path, Identity(1, at, 10, 0)) for at, path in enumerate(paths)]
    pairing = paired(*paths, matting_folders=matting)
    return with_those_alone(pairing, entries, of, MattingFolders(matting))


def only(pairing: Pairing) -> Pair:
    (pair,) = pairing.pairs
    return pair


def test_a_picture_alone_is_a_job_with_its_folders_mask() -> None:
    pair = only(found(rules(scans={"mask": DUST}), "scans/day 1/cat.jpg", "other/dog.jpg"))
    assert (pair.picture.path, pair.companion, pair.mask_file) == (
        "scans/day 1/cat.jpg",
        None,
        DUST,
    )
    assert (pair.role, pair.task, pair.source) == ("mask", "inpaint", "folder")
    assert pair.identities == (pair.picture.identity,)
    assert pair.folders == {"scans/day 1"}
    assert (pair.picture_tail, pair.companion_tail) == (".jpg", "")


def test_in_a_matting_folder_it_is_cut_out_by_a_trimap_made_from_that() -> None:
    pair = only(found(rules(shop={"mask": DUST}), "shop/cat.jpg", matting=("shop",)))
    assert (pair.role, pair.task, pair.mask_file) == ("mask", "matting", DUST)


def test_one_that_is_transparent_needs_no_mask() -> None:
    pair = only(found(TRANSPARENT, "cat.png"))
    assert (pair.companion, pair.mask_file, pair.source) == (None, None, "alpha")
    assert (pair.role, pair.task) == ("mask", "inpaint")


@pytest.mark.parametrize("name", ["cat.jpg", "cat.JPEG", "cat.jpe", "cat.jfif", "cat.bmp"])
def test_what_can_not_be_transparent_waits_and_the_reason_says_so(name: str) -> None:
    (waiting,) = found(TRANSPARENT, name).waiting
    assert waiting.report.key == "cannot_be_transparent"
    trouble = waiting.report.trouble()
    assert f"a {name[3:]} file can't be transparent" in trouble.sentence
    assert "Put cat_mask.png beside it" in trouble.advice


@pytest.mark.parametrize("name", ["cat.png", "cat.tif", "cat.tiff", "cat.webp", "cat.PNG"])
def test_what_can_be_transparent_is_believed_until_it_is_read(name: str) -> None:
    assert only(found(TRANSPARENT, name)).picture.path == name


@pytest.mark.parametrize("of", [EVERYWHERE, TRANSPARENT])
@pytest.mark.parametrize(
    ("paths", "rule"),
    [
        (("cat.png", "cat_mask.png"), "beside"),
        (("cat.png", "cat_trimap.png"), "beside"),
        (("Images/a/cat.png", "masks/A/cat.png"), "trees"),
        (("a/images/cat.png", "a/images/cat_mask.png"), "beside"),
    ],
)
def test_a_companion_of_its_own_wins(of: FolderRules, paths: tuple[str, ...], rule: str) -> None:
    pair = only(found(of, *paths))
    assert [entry.path for entry in pair.inputs] == list(paths)
    assert (pair.source, rule_of(pair)) == ("own", rule)


def test_it_can_be_told_which_rule_made_a_pair() -> None:
    assert rule_of(only(found(EVERYWHERE, "cat.png"))) == "folder"
    assert rule_of(only(found(TRANSPARENT, "cat.png"))) == "alpha"


@pytest.mark.parametrize("of", [EVERYWHERE, TRANSPARENT])
def test_masks_without_pictures_and_rivals_wait_as_ever(of: FolderRules) -> None:
    paths = ("lost_mask.png", "masks/lost.png", "a.png", "a_mask.png", "a.mask.png")
    pairing = found(of, *paths)
    assert pairing.pairs == ()
    assert {each.path: each.report.key for each in pairing.waiting} == {
        **dict.fromkeys(paths[:2], "picture_missing"),
        **dict.fromkeys(paths[2:], "ambiguous"),
    }


@given(PATHS)
def test_nobody_is_left_out_and_only_those_alone_are_changed(paths: list[str]) -> None:
    before, after = paired(*paths), found(EVERYWHERE, *paths)
    assert after.pairs[: len(before.pairs)] == before.pairs
    placed = [entry.path for pair in after.pairs for entry in pair.inputs]
    assert sorted([*placed, *(each.path for each in after.waiting)]) == sorted(paths)
    assert all(each.report.key != "companion_missing" for each in after.waiting)


@given(PATHS)
def test_without_such_folders_all_is_as_without_settings(paths: list[str]) -> None:
    assert found(rules(a={"output_format": "tiff"}), *paths) == paired(*paths)


def test_a_picture_alone_waits_for_its_marker_where_that_is_asked_for() -> None:
    entries = [Entry(name, Identity(1, 1, 1, 1)) for name in ("cat.png", "dog.png")]
    marker = Entry("dog.done", Identity(1, 2, 1, 1))
    pairing = require_markers(found(EVERYWHERE, "cat.png", "dog.png"), entries, [marker])
    assert [pair.picture.path for pair in pairing.pairs] == ["dog.png"]
    assert pairing.pairs[0].marker == marker
    assert [each.report.key for each in pairing.waiting] == ["marker_missing"]


def test_markers_count_only_in_folders_that_ask_for_them() -> None:
    of = rules(a={"mask": DUST}, b={"mask": DUST, "done_marker": True})
    paths = ("a/cat.png", "b/cat.png", "b/dog.png")
    entries = [Entry(name, Identity(1, 1, 1, 1)) for name in paths]
    put = [
        Entry(name, Identity(1, 2, 1, 1)) for name in ("a/lost.done", "a/cat.done", "b/dog.done")
    ]
    pairing = require_markers(found(of, *paths), entries, put, lambda path: of.of(path).done_marker)
    assert {pair.picture.path: pair.marker for pair in pairing.pairs} == {
        "a/cat.png": None,
        "b/dog.png": put[2],
    }
    assert {each.path: each.report.key for each in pairing.waiting} == {
        "b/cat.png": "marker_missing"
    }


# The page.

EXAMPLE = re.compile(r"```text alone by (mask|alpha)\n(.*?)```", re.DOTALL)
MEANINGS = {
    "by the folder's mask": "folder",
    "by its transparency": "alpha",
    "by its own mask": "beside",
}


def examples() -> list[tuple[str, ...]]:
    """The page's examples, each a line: what the folder says, the files, what they mean."""
    return [
        (says, *re.split(r"  +\+ |  +-> ", line.strip()))
        for says, block in EXAMPLE.findall(PAGE.read_text("utf-8"))
        for line in block.splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("example", examples(), ids=" ".join)
def test_the_page_on_naming_is_right_on_pictures_alone(example: tuple[str, ...]) -> None:
    says, *names, result = example
    assert all(kind_of(name) == "picture" for name in names)
    pairing = found(EVERYWHERE if says == "mask" else TRANSPARENT, *names)
    if result == "waits":
        assert pairing.pairs == ()
    else:
        assert rule_of(only(pairing)) == MEANINGS[result]


def test_the_page_has_examples_of_both_and_of_all_ends() -> None:
    assert {example[0] for example in examples()} == {"mask", "alpha"}
    assert {example[-1] for example in examples()} == {*MEANINGS, "waits"}
