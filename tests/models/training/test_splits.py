"""A picture keeps its split, and few pictures are still enough for training and validation."""

from collections import Counter
from itertools import permutations

import pytest

from models.training.splits import SPLITS, split_of_folder, split_of_name, splits_of_names

# By their hashes; of the tests, the first lies nearer to validation.
TRAINED = ["photo 0", "photo 1", "photo 2"]
VALIDATED = ["photo 44", "photo 70"]
TESTED = ["photo 87", "photo 92"]


def _any(_: str) -> bool:
    return True


def test_splits_by_name_are_about_90_5_and_5_of_a_hundred() -> None:
    counts = Counter(split_of_name(f"photo {number}") for number in range(4000))
    assert 3540 < counts["train"] < 3660
    assert 150 < counts["validation"] < 250
    assert 150 < counts["test"] < 250


def test_split_of_a_name_never_changes() -> None:
    """What was trained on stays what was trained on, with every later version of this program."""
    names = [f"photo {number}" for number in range(100)]
    of_split = {split: [n for n in names if split_of_name(n) == split] for split in SPLITS}
    assert of_split["validation"][:3] == ["photo 44", "photo 70", "photo 81"]
    assert of_split["test"] == ["photo 87", "photo 92", "photo 99"]


def test_folders_are_splits_in_any_case() -> None:
    assert [split_of_folder(name) for name in ("train", "TRAIN", "Val", "validation", "Test")] == [
        "train", "train", "validation", "validation", "test"
    ]  # fmt: skip
    assert split_of_folder("training") is None


def test_where_both_have_a_picture_the_hash_alone_decides() -> None:
    names = [f"photo {number}" for number in range(100)]
    assert splits_of_names(names, _any) == {name: split_of_name(name) for name in names}


@pytest.mark.parametrize("names", [TRAINED, VALIDATED, TESTED, [TRAINED[0], TESTED[0]]])
def test_two_pictures_are_enough_for_training_and_validation(names: list[str]) -> None:
    """Wherever their hashes fall, and in whatever order they are found."""
    splits = splits_of_names(names, _any)
    assert {"train", "validation"} <= set(splits.values())
    assert all(splits_of_names(order, _any) == splits for order in permutations(names))


def test_one_picture_is_moved_and_no_more() -> None:
    for names in (TRAINED, [*TRAINED, *TESTED]):
        splits = splits_of_names(names, _any)
        assert sum(splits[name] != split_of_name(name) for name in names) == 1


def test_names_that_cannot_be_used_do_not_count() -> None:
    """The only one for validation is torn, so another one is moved there."""
    splits = splits_of_names([*TRAINED, VALIDATED[0]], lambda name: name in TRAINED)
    assert sorted(splits[name] for name in TRAINED) == ["train", "train", "validation"]


def test_nothing_usable_is_left_as_it_is() -> None:
    assert splits_of_names(TRAINED, lambda _: False) == dict.fromkeys(TRAINED, "train")
    assert splits_of_names([], _any) == {}
