"""What the service manager hears, on a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.supervisor import systemd
from daemon.supervisor.systemd import READY, STOPPING, WATCHDOG, Heart, StatusLine, notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's socket, named by the environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # Bound by a short name: a socket's address holds 107 bytes, and tmp_path may be longer.
        monkeypatch.chdir(tmp_path)
        sock.bind("notify")
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "notify")
        yield sock


@pytest.mark.parametrize("line", [READY, STOPPING, WATCHDOG])
def test_each_state_arrives_as_one_datagram(manager: socket.socket, line: str) -> None:
    notify(line)
    assert manager.recv(1000) == line.encode()


def test_several_lines_arrive_together(manager: socket.socket) -> None:
    notify(READY, "STATUS=watching")
    assert manager.recv(1000) == b"READY=1\nSTATUS=watching"


def test_an_address_in_the_abstract_namespace_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"retouchd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify(READY)
        assert sock.recv(1000) == b"READY=1"


@pytest.mark.parametrize("address", ["", "gone", "/" + "x" * 300, "vsock:2:1234"])
def test_an_address_where_nobody_listens_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify(READY)


def test_without_a_service_manager_nothing_is_sent(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify(READY)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1000)


def test_a_service_manager_that_does_not_read_blocks_nothing(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_PATIENCE_S", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
        flood.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                flood.sendto(b"x", "notify")
    notify(WATCHDOG)


def test_the_watchdog_hears_of_a_loop_that_turns_once_in_a_while(manager: socket.socket) -> None:
    now = 0.0
    heart = Heart(lambda: now)
    manager.setblocking(False)
    for turn in range(100):
        now = 0.1 * turn
        heart.beat()
    assert [manager.recv(1000) for _ in range(10)] == 10 * [b"WATCHDOG=1"]
    with pytest.raises(BlockingIOError):
        manager.recv(1000)


def test_a_status_is_told_when_it_changes_and_not_for_every_picture(
    manager: socket.socket,
) -> None:
    now = 0.0
    status = StatusLine(lambda: now)
    status.show("1 done")
    status.show("1 done")
    status.show("2 done")  # too soon
    now = 1.0
    status.show("3 done")
    now = 2.0
    status.show("3 done")
    assert [manager.recv(1000) for _ in range(2)] == [b"STATUS=1 done", b"STATUS=3 done"]
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1000)
