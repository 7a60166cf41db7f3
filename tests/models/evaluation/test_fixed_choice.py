from models.evaluation.fixed_choice import chance, evenly


def test_chance_depends_on_the_names_alone() -> None:
    first = chance("crop", "cat", 1).random(4).tolist()
    assert chance("crop", "cat", 1).random(4).tolist() == first
    assert chance("crop", "cat", 2).random(4).tolist() != first
    assert chance("hole", "cat", 1).random(4).tolist() != first


def test_a_limit_spreads_over_all_there_is() -> None:
    assert evenly(range(9), 3) == [1, 4, 7]
    assert evenly(range(4), 4) == evenly(range(4), 9) == evenly(range(4), None) == [0, 1, 2, 3]
    assert evenly([], 3) == []
