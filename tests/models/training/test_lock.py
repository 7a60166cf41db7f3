"""One training at a time in a folder: real processes, real locks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.training.lock import LOCK, held
from models.training.run_folder import RunError

ROOT = Path(__file__).parents[3]

# Holds the lock of argv[1] with a child, as a training with a loader, and tells the child's id.
HOLDER = """
import os, sys, time
from pathlib import Path
from models.training.lock import held
with held(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(120)
"""


def test_a_second_training_is_refused_and_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        (tmp_path / "run" / "last.pt").write_text("kept", encoding="utf-8")
        with (
            pytest.raises(RunError, match="another training is at work here"),
            held(tmp_path / "run"),
        ):
            pass
    assert (tmp_path / "run" / "last.pt").read_text(encoding="utf-8") == "kept"
    with held(tmp_path / "run"):
        pass


def test_a_killed_training_keeps_nobody_out_though_its_loaders_live_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        with pytest.raises(RunError), held(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with held(tmp_path):
            os.kill(child, signal.SIGKILL)  # it was alive until now, or this raises


def test_a_folder_in_which_nothing_was_done_is_taken_away_again(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()
    (tmp_path / "own").mkdir()
    with held(tmp_path / "own"):
        pass
    assert [path.name for path in (tmp_path / "own").iterdir()] == [LOCK]


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match="is a file"), held(tmp_path / "run"):
        pass
