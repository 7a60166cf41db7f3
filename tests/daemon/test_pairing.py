"""Names alone tell what belongs together, and nothing is ever guessed."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.matting import MattingFolders
from daemon.intake.names import PICTURE_SUFFIXES, UNREADABLE_SUFFIXES, is_junk_file
from daemon.intake.pairing import Pairing, pair_up
from daemon.intake.scan import Entry, Identity

PAGE = Path(__file__).parents[2] / "docs" / "naming.md"


def paired(*paths: str, matting_folders: tuple[str, ...] = ()) -> Pairing:
    entries = [Entry(path, Identity(1, at, 10, 0)) for at, path in enumerate(paths)]
    return pair_up(entries, MattingFolders(matting_folders))


def pairs(*paths: str) -> set[tuple[str, str, str]]:
    """The pairs as (picture, companion, task)."""
    found = paired(*paths).pairs
    return {(p.picture.path, p.companion.path, p.task) for p in found if p.companion}


def reasons(*paths: str) -> dict[str, str]:
    """What each waiting file waits for."""
    return {w.path: w.report.key for w in paired(*paths).waiting}


def sentence(path: str, *paths: str) -> str:
    """All that is said about one waiting file."""
    (waiting,) = (w for w in paired(path, *paths).waiting if w.path == path)
    trouble = waiting.report.trouble()
    return f"{trouble.sentence} {trouble.advice}"


@pytest.mark.parametrize("mark", ["_", ".", "-"])
def test_a_mask_beside_its_picture_is_a_pair_to_retouch(mark: str) -> None:
    assert pairs("cat.jpg", f"cat{mark}mask.png") == {("cat.jpg", f"cat{mark}mask.png", "inpaint")}


@pytest.mark.parametrize("mark", ["_", ".", "-"])
def test_a_trimap_beside_its_picture_is_a_pair_to_cut_out(mark: str) -> None:
    name = f"cat{mark}trimap.png"
    assert pairs("cat.jpg", name) == {("cat.jpg", name, "matting")}


@pytest.mark.parametrize(
    ("tree", "task"), [("masks", "inpaint"), ("trimaps", "matting"), ("Masks", "inpaint")]
)
def test_parallel_trees_pair_by_relative_path_and_stem(tree: str, task: str) -> None:
    picture, companion = "shoot/images/day 1/cat.jpg", f"shoot/{tree}/day 1/cat.png"
    assert pairs(picture, companion) == {(picture, companion, task)}


def test_trees_at_the_top_of_the_inbox_pair() -> None:
    assert pairs("images/a.jpg", "masks/a.jpg") == {("images/a.jpg", "masks/a.jpg", "inpaint")}


def test_a_companion_in_a_tree_may_carry_its_mark_too() -> None:
    picture, companion = "images/cat.jpg", "masks/cat_mask.png"
    assert pairs(picture, companion) == {(picture, companion, "inpaint")}


def test_a_trimap_in_the_tree_of_masks_is_not_taken_for_the_mask_of_its_picture() -> None:
    assert pairs("images/cat.jpg", "masks/cat_trimap.png") == set()


def test_both_layouts_mix_freely() -> None:
    found = pairs("images/a.jpg", "masks/a.png", "images/b.jpg", "images/b_mask.png")
    assert found == {
        ("images/a.jpg", "masks/a.png", "inpaint"),
        ("images/b.jpg", "images/b_mask.png", "inpaint"),
    }


def test_the_innermost_tree_name_counts() -> None:
    picture = "images/2024/images/a.jpg"
    assert pairs(picture, "images/2024/masks/a.png") == {
        (picture, "images/2024/masks/a.png", "inpaint")
    }
    assert pairs(picture, "masks/2024/images/a.png") == set()


def test_same_names_in_different_folders_do_not_pair() -> None:
    assert pairs("a/cat.jpg", "b/cat_mask.png") == set()
    assert pairs("images/a/cat.jpg", "masks/b/cat.png") == set()


def test_suffixes_may_differ_and_their_case_too() -> None:
    assert pairs("cat.JPG", "cat_mask.tiff") == {("cat.JPG", "cat_mask.tiff", "inpaint")}


def test_case_does_not_matter() -> None:
    assert pairs("Cat.jpg", "CAT_Mask.PNG") == {("Cat.jpg", "CAT_Mask.PNG", "inpaint")}


def test_decomposed_and_composed_names_pair() -> None:
    picture = unicodedata.normalize("NFD", "Äpfel/Crème brûlée.jpg")
    companion = unicodedata.normalize("NFC", "äpfel/crème brûlée_mask.png")
    assert pairs(picture, companion) == {(picture, companion, "inpaint")}


def test_only_the_plain_words_mark_a_companion() -> None:
    # The long s and the dotless i count as s and i to a case-blind pattern.
    assert set(
        reasons(
            "cat.jpg",
            "cat_ma\N{LATIN SMALL LETTER LONG S}k.png",
            "cat_tr\N{LATIN SMALL LETTER DOTLESS I}map.png",
        ).values()
    ) == {"companion_missing"}


@pytest.mark.parametrize(
    "name", ["mask.png", "_mask.png", "catmask.png", "masked.png", "a_mask2.png"]
)
def test_a_name_without_a_base_or_a_mark_is_a_picture(name: str) -> None:
    assert reasons(name) == {name: "companion_missing"}


@pytest.mark.parametrize(
    "base",
    [
        "two words",
        " ",
        "👩‍👧",
        os.fsdecode(b"\xff\xfe"),
        "two\nlines",
        "-rf",
        "--help",
        "a.b.c",
        "cat_mask_2",
        "*",
        "{stem}",
        "a" * 246,
        "é" * 123,
        "…",
    ],
)
def test_an_odd_name_pairs_like_any(base: str) -> None:
    picture, companion = f"{base}.jpg", f"{base}_mask.png"
    assert pairs(picture, companion) == {(picture, companion, "inpaint")}


@pytest.mark.parametrize("base", ["two\nlines", os.fsdecode(b"\xff"), "\x1b[31m", "{stem}", "%s"])
def test_an_odd_name_is_told_in_one_printable_line(base: str) -> None:
    assert sentence(f"{base}.jpg").isprintable()
    assert sentence(f"{base}_mask.png").isprintable()
    assert sentence(f"{base}.jpg", f"{base}_mask.png", f"{base}-mask.png").isprintable()


def test_a_name_with_braces_is_told_as_it_is() -> None:
    assert "{stem}{stem:x}_mask.png" in sentence("{stem}{stem:x}.jpg")


def test_two_masks_for_a_picture_are_never_guessed_between() -> None:
    names = ("cat.jpg", "cat_mask.png", "cat.mask.png")
    assert pairs(*names) == set()
    assert set(reasons(*names).values()) == {"ambiguous"}


def test_a_mask_and_a_trimap_for_a_picture_are_never_guessed_between() -> None:
    assert pairs("cat.jpg", "cat_mask.png", "cat_trimap.png") == set()


def test_a_companion_beside_and_one_in_a_tree_are_never_guessed_between() -> None:
    assert pairs("images/a.jpg", "images/a_mask.png", "masks/a.png") == set()


def test_two_pictures_for_a_mask_are_never_guessed_between() -> None:
    assert pairs("cat.jpg", "cat.png", "cat_mask.png") == set()


def test_whole_names_tell_two_pictures_of_one_stem_apart() -> None:
    names = ("cat.jpg", "cat.png", "cat.jpg.mask.png", "cat.png_mask.tif")
    assert pairs(*names) == {
        ("cat.jpg", "cat.jpg.mask.png", "inpaint"),
        ("cat.png", "cat.png_mask.tif", "inpaint"),
    }


def test_whole_names_tell_pictures_in_trees_apart() -> None:
    names = ("images/a.jpg", "images/a.png", "masks/a.jpg.png", "masks/a.png.png")
    assert pairs(*names) == {
        ("images/a.jpg", "masks/a.jpg.png", "inpaint"),
        ("images/a.png", "masks/a.png.png", "inpaint"),
    }


def test_a_mask_of_a_picture_called_mask_is_told_from_it() -> None:
    assert pairs("cat_mask.jpg", "cat_mask_mask.png") == {
        ("cat_mask.jpg", "cat_mask_mask.png", "inpaint")
    }


def test_an_ambiguity_holds_up_no_other_pair() -> None:
    names = ("cat.jpg", "cat.png", "cat_mask.png", "dog.jpg", "dog_mask.png")
    assert pairs(*names) == {("dog.jpg", "dog_mask.png", "inpaint")}


def test_each_file_of_an_ambiguity_is_told_all_that_take_part() -> None:
    names = {"cat.jpg", "cat_mask.png", "cat.mask.png"}
    for name in names:
        said = sentence(name, *names - {name})
        assert all(other in said for other in names), said


def test_an_ambiguity_of_a_thousand_files_is_told_in_a_line() -> None:
    masks = [f"cat{mark}mask.{'p' * n}ng" for mark in "_-." for n in range(1, 300)]
    said = sentence("cat.jpg", *masks)
    assert "and 890 more" in said
    assert len(said) < 600


def test_a_lone_picture_is_told_which_names_to_give_its_companion() -> None:
    assert reasons("a/cat.jpg") == {"a/cat.jpg": "companion_missing"}
    said = sentence("a/cat.jpg")
    assert "cat_mask.png" in said
    assert "cat_trimap.png" in said


def test_a_lone_mask_is_told_which_picture_it_waits_for() -> None:
    assert reasons("cat.mask.png") == {"cat.mask.png": "picture_missing"}
    said = sentence("cat.mask.png")
    assert "cat.jpg" in said
    assert "beside it" in said


@pytest.mark.parametrize("name", ["cat.png", "cat_trimap.png"])
def test_a_lone_trimap_in_a_tree_is_told_where_its_picture_belongs(name: str) -> None:
    path = f"shoot/Trimaps/day 1/{name}"
    said = sentence(path)
    assert "cat.jpg" in said
    assert "into shoot/images/day 1" in said
    assert len(pairs(path, "shoot/images/day 1/cat.jpg")) == 1


def test_the_tails_are_what_follows_the_common_base() -> None:
    for picture, companion, base in (
        ("cat.jpg", "cat_mask.png", "cat"),
        ("cat.jpg", "cat.jpg.mask.png", "cat"),
        ("images/Cat.jpg", "masks/cat.png", "cat"),
        ("images/cat.jpg", "masks/cat.jpg.png", "cat"),
        ("a.b.jpg", "A.B-trimap.tif", "a.b"),
        (unicodedata.normalize("NFD", "é.jpg"), "é_mask.png", "é"),
        ("ß.jpg", "SS_mask.png", "ss"),
    ):
        (pair,) = paired(picture, companion).pairs
        names = picture.rpartition("/")[2], companion.rpartition("/")[2]
        for name, tail in zip(names, (pair.picture_tail, pair.companion_tail), strict=True):
            assert name.endswith(tail)
            kept = unicodedata.normalize("NFC", name.removesuffix(tail)).casefold()
            assert kept == base


def test_no_files_are_no_pairs() -> None:
    assert paired() == Pairing((), ())


# Few letters, so that names often meet; among them what folds, composes and separates.
LETTER = st.sampled_from(["a", "B", "é", "e\N{COMBINING ACUTE ACCENT}", "ß", ".", "_", " ", "\n"])
NAME = st.lists(LETTER, max_size=3).map("".join)
# What a file name can not hold becomes an underscore.
NO_PATH = bytes.maketrans(b"/\0", b"__")
MARK = st.sampled_from(["", "", "_mask", ".mask", "-Mask", "_trimap", "_mask_mask", ".jpg.mask"])
SUFFIX = st.sampled_from([".jpg", ".JPG", ".png"])
FOLDER = st.lists(st.sampled_from(["images", "masks", "Trimaps", "x"]), max_size=3).map(
    lambda parts: "".join(f"{part}/" for part in parts)
)
PATH = st.builds("{}{}{}{}".format, FOLDER, NAME, MARK, SUFFIX)
PATHS = st.lists(PATH, max_size=12, unique=True)


@given(PATHS)
def test_each_file_is_in_exactly_one_place(paths: list[str]) -> None:
    found = paired(*paths)
    placed = [entry.path for pair in found.pairs for entry in pair.inputs]
    placed += [waiting.path for waiting in found.waiting]
    assert sorted(placed) == sorted(paths)


@given(st.data(), PATHS)
def test_the_order_of_the_scan_does_not_matter(data: st.DataObject, paths: list[str]) -> None:
    def settled(order: list[str]) -> tuple[set[object], set[object]]:
        found = paired(*order)
        chosen = {
            (*(entry.path for entry in p.inputs), p.role, p.picture_tail, p.companion_tail)
            for p in found.pairs
        }
        said = {(w.path, w.report.trouble().sentence) for w in found.waiting}
        return set(chosen), set(said)

    assert settled(paths) == settled(data.draw(st.permutations(paths)))


@given(PATHS)
def test_a_pair_is_a_pair_also_without_the_others(paths: list[str]) -> None:
    for picture, companion, task in pairs(*paths):
        assert pairs(picture, companion) == {(picture, companion, task)}


@given(PATHS)
def test_both_files_of_a_pair_are_each_others_only_candidate(paths: list[str]) -> None:
    found = pairs(*paths)
    for picture, companion, _ in found:
        for other in set(paths) - {picture, companion}:
            assert not pairs(picture, other), other
            assert not pairs(companion, other), other


@given(PATHS, st.sampled_from(["NFC", "NFD"]))
def test_the_unicode_form_of_names_does_not_matter(paths: list[str], form: str) -> None:
    def normal(text: str) -> str:
        return unicodedata.normalize("NFC" if form == "NFC" else "NFD", text)

    if len({normal(path) for path in paths}) == len(paths):
        formed = {(normal(p), normal(c), task) for p, c, task in pairs(*paths)}
        assert pairs(*map(normal, paths)) == formed


@given(PATHS)
def test_the_case_of_names_does_not_matter(paths: list[str]) -> None:
    if len({path.swapcase() for path in paths}) == len(paths):
        swapped = {(p.swapcase(), c.swapcase(), task) for p, c, task in pairs(*paths)}
        assert pairs(*(path.swapcase() for path in paths)) == swapped


@given(st.binary(min_size=1, max_size=40).map(lambda raw: os.fsdecode(raw.translate(NO_PATH))))
def test_any_bytes_make_a_pair_with_their_mask(base: str) -> None:
    picture, companion = f"{base}.jpg", f"{base}_mask.png"
    assert len(pairs(picture, companion)) == 1
    assert sentence(picture).isprintable()


# Matting folders.


def meant(*paths: str, matting_folders: tuple[str, ...]) -> list[tuple[str, str]]:
    """Role and task of each pair."""
    found = paired(*paths, matting_folders=matting_folders)
    return [(pair.role, pair.task) for pair in found.pairs]


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("a/b/cat.jpg", "a/b/cat_mask.png"),
        ("a/b/c/d/cat.jpg", "a/b/c/d/cat_mask.png"),
        ("A/B/cat.jpg", "a/B/cat_mask.png"),
        ("a/b/images/cat.jpg", "a/b/masks/cat.png"),
        ("a/b/images/c/cat.jpg", "a/b/masks/c/cat_mask.png"),
        ("a/images/b/cat.jpg", "a/masks/b/cat.png"),
    ],
)
def test_a_mask_in_a_matting_folder_or_below_means_cut_out(picture: str, mask: str) -> None:
    folders = ("x", "a/masks/b") if "a/masks/b" in mask else ("x", "a/b")
    assert meant(picture, mask, matting_folders=folders) == [("mask", "matting")]
    assert meant(picture, mask, matting_folders=()) == [("mask", "inpaint")]


def test_in_trees_the_pictures_folder_may_be_the_matting_folder() -> None:
    names = ("a/images/b/cat.jpg", "a/masks/b/cat.png")
    assert meant(*names, matting_folders=("a/images",)) == [("mask", "matting")]


@pytest.mark.parametrize("folder", ["cat.jpg", "a", "ab", "b", "cat", "matting", "..", "a b/c"])
def test_a_mask_elsewhere_means_retouch(folder: str) -> None:
    for names in (("cat.jpg", "cat_mask.png"), ("a b/cat.jpg", "a b/cat_mask.png")):
        assert meant(*names, matting_folders=(folder,)) == [("mask", "inpaint")]


@pytest.mark.parametrize("folder", ["matting", "trimap", "trimaps", "images", "masks"])
def test_without_the_setting_no_name_of_a_folder_makes_a_mask_mean_cut_out(folder: str) -> None:
    names = (f"{folder}/cat.jpg", f"{folder}/cat_mask.png")
    assert meant(*names, matting_folders=()) == [("mask", "inpaint")]


def test_a_dot_is_the_whole_inbox() -> None:
    for names in (("cat.jpg", "cat_mask.png"), ("a/b/cat.jpg", "a/b/cat_mask.png")):
        assert meant(*names, matting_folders=(".",)) == [("mask", "matting")]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("set_form", ["NFC", "NFD"])
def test_a_matting_folder_may_be_spelt_in_either_unicode_form(form: str, set_form: str) -> None:
    def spelt(text: str, how: str) -> str:
        return unicodedata.normalize("NFC" if how == "NFC" else "NFD", text)

    names = [spelt(f"Größe é/{name}", form) for name in ("cat.jpg", "cat_mask.png")]
    folder = spelt("GRÖSSE É", set_form)
    assert meant(*names, matting_folders=(folder,)) == [("mask", "matting")]


def test_a_trimap_in_a_matting_folder_is_a_trimap() -> None:
    names = ("a/cat.jpg", "a/cat_trimap.png")
    assert meant(*names, matting_folders=("a",)) == [("trimap", "matting")]


def test_a_mask_and_a_trimap_in_a_matting_folder_are_not_guessed_between() -> None:
    names = ("a/cat.jpg", "a/cat_mask.png", "a/cat_trimap.png")
    assert meant(*names, matting_folders=("a",)) == []


def test_a_lone_picture_in_a_matting_folder_is_told_what_a_mask_means_there() -> None:
    said = {
        waiting.path: waiting.report.trouble().advice
        for waiting in paired("a/cat.jpg", "dog.jpg", matting_folders=("a",)).waiting
    }
    assert "cat_mask.png (to cut out)" in said["a/cat.jpg"]
    assert "dog_mask.png (to retouch)" in said["dog.jpg"]


@given(PATHS)
def test_a_matting_folder_changes_no_pair_but_only_what_a_mask_means(paths: list[str]) -> None:
    plain, matting = paired(*paths), paired(*paths, matting_folders=(".",))
    assert {(p.picture, p.companion, p.role) for p in plain.pairs} == {
        (p.picture, p.companion, p.role) for p in matting.pairs
    }
    assert {pair.task for pair in matting.pairs} <= {"matting"}


def test_folders_that_are_not_in_the_inbox_are_known(tmp_path: Path) -> None:
    for name in ("Shop/Products", "shop/other", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("Shop")
    folders = MattingFolders(
        (".", "shop/products", "SHOP/OTHER", "shop/none", "file", "link", ".hidden", "x/y")
    )
    assert folders.missing(tmp_path) == ["shop/none", "file", "link", ".hidden", "x/y"]
    assert MattingFolders(("a",)).missing(tmp_path / "nowhere") == ["a"]


EXAMPLE = re.compile(r"```text pairs(?: in (.*?))?\n(.*?)```", re.DOTALL)
MEANINGS = {
    "retouch": ("mask", "inpaint"),
    "cut out": ("trimap", "matting"),
    "cut out, by a trimap made from the mask": ("mask", "matting"),
}


def examples() -> list[tuple[str, ...]]:
    """The page's examples, each a line: matting folders, the files, what they mean or `waits`."""
    return [
        (folders, *re.split(r"  +\+ |  +-> ", line.strip()))
        for folders, block in EXAMPLE.findall(PAGE.read_text("utf-8"))
        for line in block.splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("example", examples(), ids=" ".join)
def test_the_page_on_naming_is_right(example: tuple[str, ...]) -> None:
    folders, *names, result = example
    found = paired(*names, matting_folders=tuple(folders.split(", ")) if folders else ())
    if result == "waits":
        assert found.pairs == ()
    else:
        (pair,) = found.pairs
        assert [entry.path for entry in pair.inputs] == names
        assert (pair.role, pair.task) == MEANINGS[result]


def test_the_page_on_naming_has_examples_of_all_ends() -> None:
    assert {example[-1] for example in examples()} == {*MEANINGS, "waits"}


def test_the_page_on_naming_lists_every_suffix() -> None:
    words = set(re.findall(r"`(\.\w+)`", PAGE.read_text("utf-8")))
    assert words >= PICTURE_SUFFIXES
    assert words >= UNREADABLE_SUFFIXES


def test_the_names_that_the_page_calls_junk_are_junk() -> None:
    (listed,) = re.findall(r"```text junk\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert listed.split()
    assert all(is_junk_file(name) for name in listed.split())
