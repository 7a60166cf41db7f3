"""Figures c and d measure what they say."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import c_hole
import d_matte
import numpy as np
import pytest
import scenes
from recording import windows_of
from standins import tiny_bench
from workbench import peak_bytes

# 64 bytes a pixel, as the stand-ins say, and windows of 64 pixels.
SMALL = {"best_size": 64}


class Pace:
    """A network that takes as long as its pixels, and has memory for some."""

    def __init__(self, seconds_a_pixel: float, most_pixels: int) -> None:
        self.seconds_a_pixel, self.most_pixels = seconds_a_pixel, most_pixels

    def pixels_at_once(self, _: int | None) -> int:
        return self.most_pixels

    def run_batch(self, pictures: scenes.Pixels, companions: scenes.Pixels) -> scenes.Pixels:
        time.sleep(companions.size * self.seconds_a_pixel)
        return pictures


def test_whole_picture_is_extrapolated_by_its_pixels() -> None:
    network = cast(Any, Pace(4e-8, 600 * 600))
    whole = c_hole.whole_picture(network, 12_000_000, budget_s=10)
    assert whole.side == 512  # 1024 does not fit into the memory
    assert 0.48 <= whole.seconds < 1.5


def test_whole_picture_is_no_larger_than_the_time_allows() -> None:
    whole = c_hole.whole_picture(cast(Any, Pace(2e-7, 10**9)), 12_000_000, budget_s=0.2)
    assert whole.side == 512  # 1024 would take 0.21 s


def test_windows_are_those_that_the_daemon_works(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path, **SMALL)
    artifact = bench.need_networks().files["inpaint"]
    photo = scenes.photo(400, 300)
    one = windows_of(artifact, "inpaint", "cpu", photo, scenes.square_hole(400, 300, 0.002))
    assert one.shapes == ((1, 64, 64),)
    assert (one.count, one.pixels) == (1, 64 * 64)
    many = windows_of(artifact, "inpaint", "cpu", photo, scenes.specks(400, 300, 0.05))
    assert many.count > 10
    none = windows_of(artifact, "inpaint", "cpu", photo, np.zeros((300, 400), np.uint8))
    assert none.count == 0


def test_peak_is_what_a_process_once_held_and_has_given_back() -> None:
    program = "a = bytearray(150_000_000); a = None; print('x', flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 150e6 < peak_bytes(process.pid) < 300e6
        process.kill()


def test_a_hole_goes_through_the_daemon_and_its_parts_are_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_hole, "WHOLE_SIDES_PX", (64, 128))
    finding = c_hole.measure(tiny_bench(tmp_path, **SMALL), size=(400, 300), budget_s=1)
    about = finding.details
    alone = {name: times["least_s"] for name, times in about["times"].items()}
    end_to_end = alone.pop("end to end")
    assert alone.keys() == {"forward", "decode", "encode"}
    by_name = {row.what: row.value for row in finding.rows}
    assert by_name["end to end / (forward + decode + encode)"] == pytest.approx(
        end_to_end / sum(alone.values())
    )
    assert by_name["whole photo, extrapolated / end to end"] == pytest.approx(
        about["whole"]["seconds"] / end_to_end
    )
    # What torch takes at least; the test's own process is no part of it.
    assert 100e6 < about["peak_bytes"] <= about["peak_bytes_after_specks"] < 3e9
    assert about["specks"]["is_whole"]
    results = list((tmp_path / "hole-spool" / "outbox").glob("hole *.png"))
    assert len(results) == len(about["times"]["end to end"]["seconds"]) + 1


def test_a_portrait_that_takes_too_long_is_worked_in_half_and_counted_twice(
    tmp_path: Path,
) -> None:
    bench = tiny_bench(tmp_path, **SMALL)
    finding = d_matte.measure(bench, size=(320, 240), budget_s=0)
    about = finding.details
    assert about["worked"] == [160, 240]
    seconds = finding.rows[0].value
    assert seconds is not None
    assert seconds == pytest.approx(2 * about["job_s"])
    assert "half" in finding.rows[0].note
    assert finding.rows[1].value == pytest.approx(320 * 240 / 1e6 / seconds)
    share = finding.rows[3].value
    assert share is not None
    assert share >= about["unknown_share"]
