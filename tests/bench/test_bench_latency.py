"""Figure f measures what it says."""

from pathlib import Path

import f_latency
import numpy as np
import pytest
import scenes
from standins import SLOW_PIXEL, tiny_bench


def test_neither_the_quiet_period_nor_the_computing_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = scenes.photo(f_latency.SIDE_PX, f_latency.SIDE_PX)
    slow[0, 0] = SLOW_PIXEL  # the stand-in takes its time over this one
    monkeypatch.setattr(scenes, "photo", lambda *_: slow)
    finding = f_latency.measure(tiny_bench(tmp_path), drops=2, quiet_s=0.7)
    drops = finding.details["drops"]
    assert len(drops) == 2
    for drop in drops:
        assert drop["computing_s"] > 0.1
        assert drop["whole_s"] > 0.7 + drop["computing_s"]
        assert drop["rest_s"] == pytest.approx(drop["whole_s"] - 0.7 - drop["computing_s"])
        # The log's own steps must not hold more than there was.
        assert drop["rest_s"] > 0
    rest = [drop["rest_s"] for drop in drops]
    assert [row.value for row in finding.rows] == [pytest.approx(np.median(rest)), max(rest)]
