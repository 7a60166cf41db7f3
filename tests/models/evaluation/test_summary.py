import math

import numpy as np
import pytest

from models.evaluation.measuring import Score
from models.evaluation.methods import Method
from models.evaluation.summary import Difference, differences, gap, means, standard_error, times
from models.evaluation.tables import difference_table, mean_table, time_table
from models.evaluation.tasks import Case, Metric

NOTHING = np.zeros((1, 1), np.uint8)
PSNR = Metric("psnr", "PSNR", more_is_better=True, decimals=1)
SAD = Metric("sad", "SAD", more_is_better=False, decimals=1)


def case(name: str, *groups: str, subject: str = "") -> Case:
    return Case(name, groups, subject or name, NOTHING, NOTHING, NOTHING)


def method(name: str, kind: str = "peer") -> Method:
    return Method(
        name,
        "artifact" if kind == "artifact" else "peer",
        "",
        lambda picture, guide: picture + guide,
    )


def score(name: str, of: str, value: float, metric: Metric = PSNR) -> Score:
    return Score(name, of, {metric.key: value}, 1.0, 1.0, False)


CASES = [case("a", "all", "small"), case("b", "all", "large"), case("c", "all", "large")]
METHODS = [method("ours", "artifact"), method("peer")]
SCORES = [
    *(score(name, "ours", value) for name, value in zip("abc", (20.0, 22.0, 30.0), strict=True)),
    *(score(name, "peer", value) for name, value in zip("abc", (20.5, 21.0, 27.0), strict=True)),
]


def test_mean_is_over_the_pictures_of_each_group() -> None:
    found = {
        (m.group, m.method): (m.mean, m.pictures) for m in means(CASES, SCORES, METHODS, [PSNR])
    }
    assert found["all", "ours"] == (24.0, 3)
    assert found["small", "peer"] == (20.5, 1)
    assert found["large", "peer"] == (24.0, 2)


def test_difference_is_paired_and_its_error_is_that_of_the_differences() -> None:
    found = {d.group: d for d in differences(CASES, SCORES, METHODS, [PSNR])}
    gaps = np.array([-0.5, 1.0, 3.0])
    assert found["all"].mean == pytest.approx(gaps.mean())
    assert found["all"].standard_error == pytest.approx(gaps.std(ddof=1) / math.sqrt(3))
    assert (found["all"].better, found["all"].pictures) == (2, 3)


def test_better_means_less_where_the_metric_is_an_error() -> None:
    scores = [score("a", "ours", 1.0, SAD), score("a", "peer", 2.0, SAD)]
    (found,) = differences([case("a", "all")], scores, METHODS, [SAD])
    assert (found.mean, found.better) == (-1.0, 1)
    assert math.isnan(found.standard_error)


def test_pictures_of_one_subject_are_one_witness() -> None:
    alone = standard_error([1.0, 3.0], ["a", "b"])
    # The same two values, each seen five times: no more is known than before.
    repeated = standard_error([1.0] * 5 + [3.0] * 5, ["a"] * 5 + ["b"] * 5)
    assert repeated == pytest.approx(alone)
    assert standard_error([1.0] * 5 + [3.0] * 5, list("abcdefghij")) < alone / 2


def test_two_perfect_pictures_differ_by_nothing() -> None:
    assert gap(math.inf, math.inf) == 0
    assert gap(math.inf, 30.0) == math.inf
    assert math.isnan(standard_error([math.inf, 1.0], ["a", "b"]))


def test_tables_say_what_they_are_over() -> None:
    table = mean_table("all", means(CASES, SCORES, METHODS, [PSNR]), [PSNR])
    assert table.splitlines()[0] == "### all: 3 pictures"
    assert "| ours | 24.0 |" in table
    difference = Difference("all", "ours", "peer", "psnr", 1.25, math.nan, 3, 1, 2)
    assert "| ours minus peer | +1.2 ± ? (2 of 3) |" in difference_table(PSNR, [difference])
    assert difference_table(PSNR, [difference]).startswith("### PSNR ↑\n")


def test_infinite_mean_is_written_as_such() -> None:
    scores = [score("a", "ours", math.inf), score("a", "peer", 30.0)]
    found = means([case("a", "all")], scores, METHODS, [PSNR])
    assert "| ours | inf |" in mean_table("all", found, [PSNR])


def test_times_say_how_many_are_of_earlier_runs() -> None:
    scores = [
        Score(name, "peer", {}, seconds, seconds, kept)
        for name, seconds, kept in (("a", 1.0, True), ("b", 2.0, False), ("c", 6.0, True))
    ]
    (found,) = times(scores, [method("peer")])
    assert (found.median, found.mean, found.kept) == (2.0, 3.0, 2)
    assert "| peer | 2.000 | 3.000 | 2.000 | 3 | earlier runs: 2 |" in time_table([found])
