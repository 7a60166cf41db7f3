"""One call of a hook: how it is started, what it gets, and that it ends."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from daemon.people.calls.process import Called, call

PYTHON = [sys.executable, "-I", "-S", "-c"]


def run(*command: str, told: bytes = b"", timeout_s: float = 20.0, **variables: str) -> Called:
    return call(command, told, variables, timeout_s, threading.Event())


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or does so now: to be killed takes a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """A file into which hooks write the number of what they start."""
    yield tmp_path / "pids"


def test_a_program_gets_the_facts_on_its_input_and_in_its_environment(tmp_path: Path) -> None:
    got = tmp_path / "got"
    name = os.fsdecode(b"caf\xe9\n.jpg")
    script = f'cat >{got}; printf %s "$RETOUCHD_PICTURE" >>{got}'
    assert run("sh", "-c", script, told=b'{"a": 1}\n', RETOUCHD_PICTURE=name).is_ok
    assert got.read_bytes() == b'{"a": 1}\n' + b"caf\xe9\n.jpg"


def test_more_than_a_pipe_holds_is_told_to_a_program_that_reads_none_of_it() -> None:
    assert run("true", told=b"x" * 1_000_000).is_ok
    done = run("sh", "-c", "wc -c", told=b"x" * 1_000_000)
    assert done.how == "exit status 0: 1000000"


def test_no_shell_comes_between(tmp_path: Path) -> None:
    assert run("printf", "%s", f"$(touch {tmp_path}/x); `id` *").how.endswith("`id` *")
    assert not (tmp_path / "x").exists()


def test_a_program_that_fails_is_told_with_its_status_and_its_last_line() -> None:
    done = run("sh", "-c", "echo one; echo two >&2; exit 3")
    assert done == Called(False, "exit status 3: two")


def test_a_program_that_is_not_there_or_may_not_be_run_is_no_error_of_ours(tmp_path: Path) -> None:
    assert run("/nowhere/notify").how == "/nowhere/notify: No such file or directory"
    assert run(str(tmp_path)).how == f"{tmp_path}: Permission denied"


def test_what_it_says_is_one_line_that_forges_none_and_is_cut() -> None:
    says = "import sys; sys.stdout.buffer.write(b'\\x1b[2Ja\\rb\\xff\\xe2\\x80\\xae' + b'y' * 5000)"
    done = run(*PYTHON, says)
    assert done.how.isprintable()
    assert len(done.how) < 400
    forged = run("sh", "-c", r"""printf '{"event":"job_failed"}\r\033[2K\n\n'""")
    assert forged.how.isprintable()


def test_a_program_that_never_stops_talking_costs_no_memory_and_ends_with_its_time() -> None:
    done = run("yes", timeout_s=1.0)
    assert done.how == "it was ended after 1 s: y"


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(pids: Path) -> None:
    script = f"trap '' TERM; sleep 300 & echo $! >{pids}; echo $$ >>{pids}; wait"
    start = time.monotonic()
    done = run("sh", "-c", script, timeout_s=1.0)
    assert not done.is_ok
    assert time.monotonic() - start < 10
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    assert all(is_gone(pid) for pid in started)


def test_what_a_program_leaves_running_behind_it_is_ended_and_not_waited_for(pids: Path) -> None:
    start = time.monotonic()
    assert run("sh", "-c", f"sleep 300 & echo $! >{pids}").is_ok
    assert time.monotonic() - start < 10
    assert is_gone(int(pids.read_text()))


def test_a_program_that_closes_its_mouth_is_waited_for(tmp_path: Path) -> None:
    script = f"exec >&- 2>&-; sleep 0.3; echo done >{tmp_path}/x; exit 4"
    assert run("sh", "-c", script) == Called(False, "exit status 4")
    assert (tmp_path / "x").exists()


def test_a_daemon_that_stops_waits_for_no_program(pids: Path) -> None:
    stopping = threading.Event()
    threading.Timer(0.5, stopping.set).start()
    start = time.monotonic()
    done = call(["sh", "-c", f"echo $$ >{pids}; sleep 300"], b"", {}, 300.0, stopping)
    assert done.was_cut_short
    assert not done.is_ok
    assert time.monotonic() - start < 10
    assert is_gone(int(pids.read_text()))


def test_it_inherits_no_open_file_such_as_the_spools_lock(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)  # as it is while a worker is started
    try:
        done = run("sh", "-c", "ls -l /proc/$$/fd | grep -c lock")
        kept = run("sh", "-c", "ls /proc/$$/fd | tr '\\n' ' '")
    finally:
        os.close(lock)
    assert done.how == "exit status 1: 0"
    assert kept.how.split(": ")[1].split()[:3] == ["0", "1", "2"]


def test_it_is_none_of_the_service_managers_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("WATCHDOG_USEC", "1")
    monkeypatch.setenv("KEPT", "yes")
    done = run("sh", "-c", 'echo "$NOTIFY_SOCKET$WATCHDOG_USEC$KEPT"')
    assert done.how == "exit status 0: yes"


def test_it_leaves_no_descriptor_and_no_zombie_behind() -> None:
    run("true")
    before = len(os.listdir("/proc/self/fd"))
    children = {child.pid for child in psutil.Process().children()}
    for command in (["true"], ["false"], ["/nowhere"], ["sh", "-c", "exec >&-; sleep 0.05"]):
        run(*command)
    assert len(os.listdir("/proc/self/fd")) == before
    assert {child.pid for child in psutil.Process().children()} <= children
