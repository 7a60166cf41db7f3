"""The program that posts to a URL, against a server that answers as servers do."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import REPOSITORY
from receiver import Receiver, certificate, odd_server, receiving

from daemon.people.calls.process import call

PROGRAM = REPOSITORY / "daemon" / "people" / "calls" / "webhook.py"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(url: str, told: object = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it as the daemon does."""
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM)],
        input=json.dumps(told or {"job": "j"}),
        env={**clean, "RETOUCHD_WEBHOOK_URL": url, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_facts_arrive_as_json(receiver: Receiver) -> None:
    told = {"picture": os.fsdecode(b"caf\xe9\n.jpg"), "outputs": ["/a", "/b"]}
    done = post(receiver.url, told)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert receiver.came == [told]
    assert receiver.asked == ["POST /in?token=secret-token"]
    assert receiver.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("answer", [200, 201, 202, 204])
def test_what_a_server_takes_is_well(receiver: Receiver, answer: int) -> None:
    receiver.answer = answer
    assert post(receiver.url).returncode == 0


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 429, 500, 503])
def test_what_a_server_does_not_take_is_told_without_its_page(
    receiver: Receiver, answer: int
) -> None:
    receiver.answer, receiver.words = answer, b"no page /in?token=secret-token here"
    done = post(receiver.url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"localhost answered {answer} ")
    assert len(done.stderr.splitlines()) == 1
    assert "secret-token" not in done.stderr


@pytest.mark.parametrize(
    ("says", "told"), [(b"404 /in?token=secret-token", "404 Not Found"), (b"599 no /in", "599")]
)
def test_what_a_server_puts_behind_its_number_is_not_told(says: bytes, told: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + says + b"\r\nContent-Length: 0\r\n\r\n")

    with odd_server(answer) as url:
        assert post(url).stderr == f"127.0.0.1 answered {told}\n"


@pytest.mark.parametrize("answer", [301, 302, 303, 307, 308])
def test_it_follows_nobody_elsewhere(receiver: Receiver, answer: int) -> None:
    receiver.answer, receiver.location = answer, "/elsewhere"
    done = post(receiver.url)
    assert done.returncode == 1
    assert str(answer) in done.stderr
    assert len(receiver.asked) == 1


def test_a_server_that_is_away_is_told_without_the_url() -> None:
    with receiving() as gone:
        url = gone.url
    done = post(url)
    assert done.returncode == 1
    assert done.stderr == "localhost can't be reached: Connection refused\n"
    assert "secret-token" not in done.stderr


def _trickle(first: bytes) -> Callable[[socket.socket], None]:
    """A byte now and then, for ever: each one comes before a socket's time limit is over."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            time.sleep(0.05)
            connection.sendall(b"x")

    return answer


def _never(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def _again_and_again(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_never, id="never"),
        pytest.param(_trickle(b""), id="a status that trickles"),
        pytest.param(_trickle(b"HTTP/1.1 204 No Content\r\nX: "), id="a header that trickles"),
        pytest.param(_again_and_again, id="continue without end"),
    ],
)
def test_a_server_that_takes_for_ever_is_given_up_in_time(
    answer: Callable[[socket.socket], None],
) -> None:
    command = [sys.executable, "-I", "-S", str(PROGRAM)]
    with odd_server(answer) as url:
        began = time.monotonic()
        called = call(command, b"{}", {"RETOUCHD_WEBHOOK_URL": url}, 2.0, threading.Event())
        assert time.monotonic() - began < 20
    assert not called.is_ok
    assert called.how.startswith("it was ended after 2 s")


def _says(content: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(content)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(_says(b""), "closed connection without response", id="nothing"),
        pytest.param(_says(b"SSH-2.0-OpenSSH_9.2\r\n"), "is no HTTP", id="no HTTP"),
        pytest.param(
            _says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n"), "100", id="headers"
        ),
        pytest.param(_says(b"HTTP/1.1 200 " + b"x" * 200_000), "65536", id="a long line"),
        pytest.param(
            _says(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "500 Internal",
            id="chunks",
        ),
    ],
)
def test_what_is_no_answer_is_told_in_a_line_without_the_url(
    answer: Callable[[socket.socket], None], says: str
) -> None:
    with odd_server(answer) as url:
        done = post(url)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret-token" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("before", [b"POST ", b"HTTP/1.1 ", b"HTTP/"])
def test_a_server_that_sends_back_what_it_was_sent_is_not_repeated(before: bytes) -> None:
    with odd_server(_says(before + b"/in?token=secret-token HTTP/1.1\r\n\r\n")) as url:
        done = post(url)
    assert done.stderr == "127.0.0.1 did not answer as a server does: what it sent is no HTTP\n"


@pytest.mark.parametrize("name", ["a..example", f"{'a' * 64}.example"])
def test_a_name_that_no_server_can_have_is_told_in_a_line(name: str) -> None:
    says = f"{name} can't be reached: no server can have that name\n"
    assert post(f"http://{name}/in?token=secret-token").stderr == says


def test_an_answer_without_an_end_is_not_waited_for() -> None:
    with odd_server(_trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")) as url:
        assert post(url).returncode == 0


def test_it_follows_nobody_round_in_a_circle(receiver: Receiver) -> None:
    receiver.answer, receiver.location = 307, receiver.url
    assert post(receiver.url).returncode == 1
    assert len(receiver.asked) == 1


def test_a_server_that_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    authority, tls = certificate(tmp_path)
    with receiving(tls) as receiver:
        done = post(receiver.url)
        assert done.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
        assert receiver.came == []
        # And one for whom somebody does is told.
        assert post(receiver.url, SSL_CERT_FILE=str(authority)).returncode == 0
        assert len(receiver.came) == 1
        # But not under another name.
        other = receiver.url.replace("localhost", "127.0.0.1")
        assert "CERTIFICATE_VERIFY_FAILED" in post(other, SSL_CERT_FILE=str(authority)).stderr


def test_it_needs_nothing_but_the_standard_library(receiver: Receiver) -> None:
    imports = "import sys; print(*sys.modules)"
    source = PROGRAM.read_text() + f"\n{imports}\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source],
        input="{}",
        env={"RETOUCHD_WEBHOOK_URL": receiver.url},
        capture_output=True,
        text=True,
        check=True,
    )
    names = {name.partition(".")[0] for name in done.stdout.split()}
    assert names - {"__main__"} <= set(sys.stdlib_module_names) | set(sys.builtin_module_names)
