from pathlib import Path

import numpy as np
import pytest

from models.evaluation.measuring import Bench, measure
from models.evaluation.methods import EvaluationError, Method, Picture
from models.evaluation.results_kept import Attempt, KeptResults
from models.evaluation.tasks import INPAINT, MATTING, Case

RNG = np.random.default_rng(3)
PICTURE = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
HOLE = np.zeros((16, 16), np.uint8)
HOLE[4:8, 4:8] = 255


class Counting:
    """A method that makes everything 9, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, picture: Picture, guide: Picture) -> Picture:
        self.calls += 1
        picture[:] = 9  # an input may be spoiled: each method gets its own
        guide[:] = 0
        return picture


def case(name: str = "a") -> Case:
    given = np.where(HOLE[:, :, None] > 0, np.uint8(127), PICTURE)
    return Case(name, ("all",), name, given, HOLE.copy(), PICTURE)


def test_result_is_kept_and_comes_back_the_same_with_its_time(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path / "peers", "1 thread")
    assert kept.find("peer 1.0", PICTURE, HOLE) is None
    kept.keep("peer 1.0", PICTURE, HOLE, Attempt(PICTURE[::-1], 1.5, 1.25))
    found = KeptResults(tmp_path / "peers", "1 thread").find("peer 1.0", PICTURE, HOLE)
    assert found is not None
    assert (found.result == PICTURE[::-1]).all()
    assert found.result.dtype == np.uint8
    assert (found.seconds, found.cpu_seconds, found.kept) == (1.5, 1.25, True)


def test_result_is_found_only_for_the_same_method_threads_and_input(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path, "1 thread")
    kept.keep("peer 1.0", PICTURE, HOLE, Attempt(PICTURE, 1, 1))
    assert kept.find("peer 1.1", PICTURE, HOLE) is None
    assert kept.find("peer 1.0", PICTURE[::-1], HOLE) is None
    assert kept.find("peer 1.0", PICTURE, HOLE.T[::-1]) is None
    assert KeptResults(tmp_path, "2 threads").find("peer 1.0", PICTURE, HOLE) is None


def test_damaged_file_counts_as_none_and_is_written_anew(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path, "")
    kept.keep("peer", PICTURE, HOLE, Attempt(PICTURE, 1, 1))
    (file,) = tmp_path.iterdir()
    for content in (b"", b"PK\x03\x04 no zip", file.read_bytes()[:200]):
        file.write_bytes(content)
        assert kept.find("peer", PICTURE, HOLE) is None
    kept.keep("peer", PICTURE, HOLE, Attempt(PICTURE, 1, 1))
    assert kept.find("peer", PICTURE, HOLE) is not None


def test_peer_runs_once_and_an_artifact_every_time(tmp_path: Path) -> None:
    for kind, identity, calls in (("peer", "peer 1", 0), ("artifact", "", 3)):
        run = Counting()
        method = Method("m", "peer" if kind == "peer" else "artifact", "", run, identity)
        Bench(KeptResults(tmp_path, "")).run(method, PICTURE, HOLE)
        warm_up_and_one = run.calls
        again = Bench(KeptResults(tmp_path, "")).run(method, PICTURE, HOLE)
        assert run.calls - warm_up_and_one == calls
        assert again.kept == (kind == "peer")


def test_method_is_warmed_up_once_for_a_size(tmp_path: Path) -> None:
    run = Counting()
    bench = Bench(KeptResults(tmp_path, ""))
    for _ in range(3):
        bench.run(Method("m", "peer", "", run), PICTURE, HOLE)
    assert run.calls == 4
    bench.run(Method("m", "peer", "", run), PICTURE[:12], HOLE[:12])
    assert run.calls == 6


def test_only_what_was_missing_is_judged(tmp_path: Path) -> None:
    one = case()
    method = Method("nine", "peer", "", Counting())
    scores, shown = measure(INPAINT, [method], [one], Bench(KeptResults(tmp_path, "")), ["a"])
    assert (shown["a"]["nine"][HOLE == 0] == PICTURE[HOLE == 0]).all()
    assert (shown["a"]["nine"][HOLE > 0] == 9).all()
    expected = np.abs(PICTURE[HOLE > 0].astype(int) - 9).mean()
    assert scores[0].errors["l1_hole"] == pytest.approx(expected)


def test_known_regions_of_a_trimap_are_put_back() -> None:
    trimap = np.full((16, 16), 128, np.uint8)
    trimap[:4], trimap[12:] = 0, 255
    one = Case("a", (), "a", PICTURE, trimap, np.zeros((16, 16), np.uint8))
    settled = MATTING.settle(one, np.full((16, 16), 77, np.uint8))
    assert (settled[:4] == 0).all()
    assert (settled[4:12] == 77).all()
    assert (settled[12:] == 255).all()


def test_no_method_spoils_the_input_of_the_next(tmp_path: Path) -> None:
    one = case()
    methods = [Method(name, "peer", "", Counting()) for name in ("first", "second")]
    before = one.picture.copy(), one.guide.copy()
    measure(INPAINT, methods, [one], Bench(KeptResults(tmp_path, "")))
    assert (one.picture == before[0]).all()
    assert (one.guide == before[1]).all()


def test_result_of_the_other_task_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"a: a method gave \[16, 16\]"):
        INPAINT.settle(case(), HOLE)
