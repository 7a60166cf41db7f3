"""The catalogue keeps its rules, and the page about it tells the same numbers."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from models.training.catalogue import CatalogueError, Entry, read_catalogue

PAGE = Path(__file__).parents[3] / "docs" / "training-data.md"
HEADER = "name\tsubject\tsplit\tkind\tpackage\tmember\tlicence\n"
ROW = "cat\tcat\ttrain\tphoto\tcats-data\tusr/share/cat.jpg\tCC0-1.0\n"


def _group(entry: Entry) -> str:
    return "photo" if entry.kind == "photo" else "cutout"


def _cells(page: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the page, without its first two lines."""
    table = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_no_subject_lies_in_two_splits() -> None:
    splits = defaultdict(set)
    for entry in read_catalogue():
        splits[entry.subject].add(entry.split)
    assert [subject for subject, found in splits.items() if len(found) > 1] == []


def test_pictures_of_the_demo_are_never_trained_on() -> None:
    by_name = {entry.name: entry for entry in read_catalogue() if entry.kind == "photo"}
    for name in ("coffee", "rocket", "astronaut", "cat"):
        assert by_name[name].split == "test"


def test_each_split_has_photos_and_cutouts_of_both_kinds() -> None:
    counts = Counter((entry.split, entry.kind) for entry in read_catalogue())
    assert len(counts) == 9
    assert counts["train", "photo"] > 100
    soft = {split: counts[split, "soft"] for split in ("train", "validation", "test")}
    assert soft["test"] >= sum(soft.values()) / 3


def test_names_are_plain_and_differ_within_photos_and_cutouts() -> None:
    entries = read_catalogue()
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.name) for entry in entries)
    assert len({(_group(entry), entry.name) for entry in entries}) == len(entries)


def test_each_licence_is_one_the_page_names() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = {entry.licence for entry in read_catalogue() if entry.licence not in page}
    assert missing == set()


def test_page_counts_each_split_as_the_catalogue_does() -> None:
    counts = Counter((entry.split, entry.kind) for entry in read_catalogue())
    rows = _cells(PAGE.read_text(encoding="utf-8"), "What is in the starter pack")
    told = {
        (split, kind): int(number)
        for split, *numbers in rows
        for kind, number in zip(("photo", "soft", "hard"), numbers, strict=True)
    }
    assert told == counts


def test_page_counts_each_package_and_licence_as_the_catalogue_does() -> None:
    counts = Counter((entry.package, entry.licence) for entry in read_catalogue())
    rows = _cells(PAGE.read_text(encoding="utf-8"), "Sources and licences")
    told = {(package.strip("`"), licence): int(number) for package, number, licence in rows}
    assert told == counts


def test_catalogue_is_sorted_so_that_a_change_is_easy_to_see() -> None:
    keys = [(_group(entry) != "photo", entry.name) for entry in read_catalogue()]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name\tsplit\n", "must name the columns"),
        (HEADER + ROW.replace("train", "training"), r":2: the split is one of train"),
        (HEADER + ROW.replace("photo", "drawing"), r":2: .* the kind one of photo"),
        (HEADER + ROW.replace("\tCC0-1.0", ""), r":2: needs 7 cells"),
        (HEADER + ROW.replace("CC0-1.0", ""), r":2: needs 7 cells"),
        (HEADER + ROW + ROW, "cat is there twice"),
        (HEADER + ROW + ROW.replace("cat\t", "tom\t", 1), "tom is there twice"),
        (
            HEADER + ROW + "cat\tcat\ttest\thard\tcats-data\tusr/cat.png\tGPL-2\n",
            "the subject cat lies in two splits, train and test",
        ),
    ],
)
def test_row_that_breaks_a_rule_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "catalogue.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=why):
        read_catalogue(path)


def test_one_name_may_be_a_photo_and_a_cutout(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.tsv"
    path.write_text(HEADER + ROW + "cat\tcat\ttrain\thard\tstamps\tcat.png\tGPL-2\n")
    assert [entry.kind for entry in read_catalogue(path)] == ["photo", "hard"]
