"""The program that posts to a URL, against a server that answers as servers do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import REPOSITORY
from receiver import Receiver, certificate, receiving

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
def test_what_a_server_does_not_take_is_told_with_its_words(
    receiver: Receiver, answer: int
) -> None:
    receiver.answer, receiver.words = answer, b"no such\n channel" + b"!" * 5000
    done = post(receiver.url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"localhost answered {answer} ")
    assert "no such channel!" in done.stderr
    assert len(done.stderr) < 400
    assert "secret-token" not in done.stderr


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
