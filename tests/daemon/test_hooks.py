"""Hooks and the webhook, called by the real daemon for what it has done."""

import json
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from driver import PATIENCE_S, Daemon, Site, hole, photo, save
from receiver import Receiver, receiving
from told import a_moment, done, failed

from daemon.people.calls import hooks as hooks_module
from daemon.people.calls.facts import as_json, as_variables, facts_of
from daemon.people.calls.hooks import Hooks
from daemon.people.calls.process import Called
from daemon.reasons import REASONS, Report
from daemon.settings import HOOK_VARIABLES, Settings, SettingsError, load_settings
from daemon.spool.book import Book

FOLDERS = {"outbox": Path("/srv/out"), "failed": Path("/srv/failed")}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder into which `hook` writes what it is told, a file each."""
    (tmp_path / "calls").mkdir()
    return tmp_path / "calls"


def hook(calls: Path, then: str = "") -> str:
    """A hook that writes down what it is told; a moment later the file is there whole."""
    script = f"cat >{calls}/.$$ && env | grep -a ^RETOUCHD_ | sort >{calls}/$$.env; {then}"
    return shlex.join(["sh", "-c", f"{script}\nmv {calls}/.$$ {calls}/$$.json"])


def told(calls: Path) -> list[dict[str, Any]]:
    """What hooks were told."""
    return [json.loads(path.read_bytes()) for path in sorted(calls.glob("*.json"))]


def drop(site: Site, name: str, *, is_good: bool = True) -> None:
    save(photo(), site.inbox / f"{name}.png")
    save(hole() if is_good else hole(50, 50), site.inbox / f"{name}_mask.png")


def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What is told.


def test_a_job_that_was_done_is_told_with_the_places_of_its_results() -> None:
    facts = facts_of(done(outputs=("a/cat.log", "a/cat.png")), FOLDERS)
    assert facts["outcome"] == "done"
    assert facts["picture"] == "cat.jpg"
    assert facts["outputs"] == ["/srv/out/a/cat.log", "/srv/out/a/cat.png"]
    assert facts["result"] == "/srv/out/a/cat.png"
    assert facts["ended_at"] == "1970-01-01T00:16:50Z"
    assert (facts["reason"], facts["sentence"], facts["advice"]) == (None, None, None)


def test_of_a_cut_out_the_result_is_the_cut_out() -> None:
    outputs = ("cat.log", "cat.preview.jpg", "cat.trimap.png", "cat.cutout.png", "cat.alpha.png")
    assert facts_of(done(outputs=outputs), FOLDERS)["result"] == "/srv/out/cat.cutout.png"


@pytest.mark.parametrize("reason", REASONS)
def test_a_job_that_failed_is_told_in_the_words_of_the_list(reason: str) -> None:
    ended = failed(reason)
    trouble = Report(reason, {"role": "mask"}).trouble()
    variables = as_variables(facts_of(ended, FOLDERS))
    assert variables["RETOUCHD_REASON"] == reason
    assert variables["RETOUCHD_SENTENCE"] == trouble.sentence
    assert variables["RETOUCHD_ADVICE"] == trouble.advice
    assert variables["RETOUCHD_NOTE"] == "/srv/failed/cat.jpg.reason.txt"
    assert variables["RETOUCHD_RESULT"] == ""


def test_a_hostile_name_stays_one_line_of_json_and_comes_back_as_it_was() -> None:
    name = os.fsdecode(b"\xff\n\"'$(id)\xe2\x80\xae.png")
    facts = facts_of(done(picture=name, outputs=(name,)), FOLDERS)
    line = as_json(facts)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert json.loads(line)["picture"] == name
    assert json.loads(as_variables(facts)["RETOUCHD_OUTPUTS"]) == [f"/srv/out/{name}"]


def test_every_variable_is_there_and_is_no_unknown_setting(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = as_variables(facts_of(done(), FOLDERS))
    assert tuple(variables) == HOOK_VARIABLES
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    load_settings({})  # a hook may run retouchd itself
    monkeypatch.setenv("RETOUCHD_PICTURES", "x")
    with pytest.raises(SettingsError, match="RETOUCHD_PICTURES"):
        load_settings({})


# The real daemon.


def test_each_pair_is_told_to_its_hook_and_to_the_webhook(
    site: Site, calls: Path, receiver: Receiver, tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    (tmp_path / "bad").mkdir()
    site.environment["RETOUCHD_ON_SUCCESS"] = hook(calls)
    site.environment["RETOUCHD_ON_FAILURE"] = hook(tmp_path / "bad")
    site.environment["RETOUCHD_WEBHOOK_URL"] = receiver.url
    daemon = start(site)
    drop(site, "cat")
    drop(site, "dog", is_good=False)
    daemon.wait_until(lambda: len(receiver.came) == 2, "two posts")
    daemon.wait_until(lambda: bool(told(calls) and told(tmp_path / "bad")), "two hooks")
    (good,), (bad,) = told(calls), told(tmp_path / "bad")
    assert sorted(each["picture"] for each in receiver.came) == ["cat.png", "dog.png"]
    assert good in receiver.came
    assert bad in receiver.came
    assert good["result"] == str(site.outbox / "cat.png")
    assert Path(good["result"]).exists()
    assert set(good["seconds"]) >= {"read", "network", "write"}
    assert bad["reason"] == "size_mismatch"
    assert bad["sentence"] in Path(bad["note"]).read_text()
    (variables,) = (tmp_path / "bad").glob("*.env")
    assert f"RETOUCHD_SENTENCE={bad['sentence']}" in variables.read_text().splitlines()
    assert daemon.stop() == 0


def test_a_daemon_that_was_killed_makes_the_calls_that_it_owes_when_it_is_back(
    site: Site, receiver: Receiver, start: Callable[..., Daemon]
) -> None:
    site.environment["RETOUCHD_WEBHOOK_URL"] = receiver.url
    receiver.may_answer.clear()
    daemon = start(site)
    drop(site, "cat")
    drop(site, "dog")
    daemon.wait_until(lambda: len(site.files("outbox")) == 4, "two results")  # none waited
    daemon.wait_until(lambda: len(receiver.came) == 1, "a post that hangs")
    daemon.kill()
    receiver.came.clear()
    receiver.may_answer.set()
    daemon = start(site)
    daemon.wait_until(lambda: len(receiver.came) == 2, "both posts")
    assert sorted(each["picture"] for each in receiver.came) == ["cat.png", "dog.png"]


def test_a_hook_that_fails_is_told_of_in_the_log_and_tried_again(
    site: Site, calls: Path, start: Callable[..., Daemon]
) -> None:
    site.environment["RETOUCHD_ON_SUCCESS"] = hook(
        calls, r"""printf 'no\n{"event": "x"}\r\n'; exit 7"""
    )
    daemon = start(site)
    drop(site, "cat")
    line = daemon.wait_for("hook_failed", call="on_success", picture="cat.png")
    assert line["why"] == 'exit status 7: {"event": "x"}'
    assert line["tries"] == 1
    assert not daemon.seen("x")
    assert daemon.stop() == 0
    assert site.files("outbox") == ["cat.log", "cat.png"]


def test_of_a_webhook_that_fails_the_log_names_the_server_and_no_more_of_its_url(
    site: Site, start: Callable[..., Daemon]
) -> None:
    with receiving() as gone:
        site.environment["RETOUCHD_WEBHOOK_URL"] = gone.url
    daemon = start(site)
    drop(site, "cat")
    line = daemon.wait_for("hook_failed", call="webhook", picture="cat.png")
    assert line["why"] == "localhost can't be reached: Connection refused"
    assert "secret-token" not in str(daemon.events)


def test_of_a_webhook_that_gets_no_answer_the_log_names_the_server(
    site: Site, start: Callable[..., Daemon]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        site.environment["RETOUCHD_WEBHOOK_URL"] = f"http://127.0.0.1:{port}/secret-token"
        site.environment["RETOUCHD_HOOK_TIMEOUT_S"] = "1"
        daemon = start(site)
        drop(site, "cat")
        line = daemon.wait_for("hook_failed", call="webhook", picture="cat.png")
    assert line["why"] == "the call to 127.0.0.1: it was ended after 1 s"
    assert "secret-token" not in str(daemon.events)


def test_a_daemon_that_is_stopped_ends_the_hook_that_runs_and_waits_for_none(
    site: Site, tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    pid = tmp_path / "pid"
    site.environment["RETOUCHD_ON_SUCCESS"] = (
        f"sh -c 'echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 300'"
    )
    site.environment["RETOUCHD_HOOK_TIMEOUT_S"] = "300"
    daemon = start(site)
    drop(site, "cat")
    daemon.wait_until(pid.exists, "the hook")
    before = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - before < 20
    until(lambda: not psutil.pid_exists(int(pid.read_text())))


def test_once_has_told_everything_when_it_ends(site: Site, calls: Path) -> None:
    site.environment["RETOUCHD_ON_SUCCESS"] = hook(calls, "sleep 0.3")
    for name in ("cat", "dog", "emu"):
        drop(site, name)
    ended = site.once()
    assert ended.returncode == 0, ended.stderr
    assert sorted(each["picture"] for each in told(calls)) == ["cat.png", "dog.png", "emu.png"]


# Without a daemon.


def settings_of(folder: Path, **more: object) -> Settings:
    return Settings(spool=folder, **more)  # type: ignore[arg-type]


@pytest.fixture
def work(tmp_path: Path, alone: None) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_who_asks_for_no_calls_has_no_thread_and_no_files(work: Path) -> None:
    hooks = Hooks(settings_of(work.parent))
    hooks.update(a_moment())
    hooks.close(1.0)
    assert not hooks._thread.is_alive()
    assert list(work.iterdir()) == []


def test_who_asks_for_calls_again_is_not_told_of_the_time_between(work: Path, calls: Path) -> None:
    wanted = settings_of(work.parent, on_success=hook(calls))
    Hooks(wanted).close(1.0)
    Hooks(settings_of(work.parent)).close(1.0)
    Book(work).append(done(job="between", ended_at=1e9))
    hooks = Hooks(wanted)
    Book(work).append(done(job="now", ended_at=1e9))
    hooks.close(20.0)
    assert [each["job"] for each in told(calls)] == ["now"]


def test_one_kind_of_calls_that_fails_holds_up_no_other(work: Path, calls: Path) -> None:
    settings = settings_of(
        work.parent, on_success="/nowhere/at/all", on_failure=hook(calls), hook_timeout_s=5
    )
    hooks = Hooks(settings)
    for number in range(3):
        Book(work).append(done(job=f"a{number}", ended_at=1e9))
        Book(work).append(failed(job=f"b{number}", ended_at=1e9))
    hooks.update(a_moment())
    until(lambda: len(told(calls)) == 3)
    hooks.close(1.0)


def test_the_webhooks_url_is_not_told_to_hooks(work: Path, calls: Path) -> None:
    settings = settings_of(
        work.parent, on_success=hook(calls), webhook_url="http://127.0.0.1:9/secret"
    )
    hooks = Hooks(settings)
    Book(work).append(done(ended_at=1e9))
    hooks.update(a_moment())
    until(lambda: len(told(calls)) == 1)
    hooks.close(1.0)
    assert "secret" not in "".join(path.read_text() for path in calls.glob("*.env"))


def test_facts_too_long_for_an_environment_are_told_on_the_input_alone(
    work: Path, calls: Path, receiver: Receiver
) -> None:
    deep = "/".join(["\xe9" * 120] * 95)  # as deep as a user on a share can make it
    outputs = tuple(f"{deep}/cat{ending}" for ending in (".log", ".preview.jpg", ".png"))
    settings = settings_of(work.parent, on_success=hook(calls), webhook_url=receiver.url)
    hooks = Hooks(settings)
    ended = done(picture=f"{deep}/cat.jpg", outputs=outputs, ended_at=1e9)
    Book(work).append(ended)
    hooks.update(a_moment())
    until(lambda: len(told(calls)) == 1 and len(receiver.came) == 1)
    hooks.close(1.0)
    assert told(calls) == receiver.came
    assert told(calls)[0]["picture"] == ended.picture
    assert len(told(calls)[0]["outputs"]) == 3
    (environment,) = calls.glob("*.env")
    variables = dict(line.split("=", 1) for line in environment.read_text().splitlines())
    assert "RETOUCHD_OUTPUTS" not in variables
    assert variables["RETOUCHD_OUTCOME"] == "done"
    assert set(variables) < set(HOOK_VARIABLES)


def test_no_fact_stands_in_the_webhooks_environment(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []

    def noted(command: object, told: bytes, variables: dict[str, str], *_: object) -> Called:
        seen.append(dict(variables))
        return Called(True, "")

    # What is asked for is what it is given, before anything is started.
    monkeypatch.setattr(hooks_module, "call", noted)
    url = "http://127.0.0.1:9/in"
    hooks = Hooks(settings_of(work.parent, webhook_url=url))
    Book(work).append(done(ended_at=1e9))
    hooks.update(a_moment())
    until(lambda: bool(seen))
    hooks.close(1.0)
    assert seen == [{"RETOUCHD_WEBHOOK_URL": url}]


# The settings.


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/usr/local/bin/notify", ("/usr/local/bin/notify",)),
        ("notify --to 'the office' \"x y\"", ("notify", "--to", "the office", "x y")),
        ("sh -c 'a | b'", ("sh", "-c", "a | b")),
        ("", ()),
    ],
)
def test_a_command_is_split_as_a_shell_would_split_it(
    text: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings({"on_success": text}).on_success == words
    monkeypatch.setenv("RETOUCHD_ON_FAILURE", text)
    assert load_settings({}).on_failure == words


@pytest.mark.usefixtures("alone")
def test_a_command_may_be_a_list_in_toml(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('on_success = ["notify", "a b", ""]')
    assert load_settings({}, file).on_success == ("notify", "a b", "")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("on_success", "notify 'a", "can't be split into words"),
        ("on_success", "./notify", "its path from / on"),
        ("on_failure", "bin/notify", "its path from / on"),
        ("on_failure", "''", "should begin with the program's name"),
        ("on_failure", "a\0b", "zero byte"),
        ("webhook_url", "example.org/x", "should be a URL"),
        ("webhook_url", "ftp://example.org/x", "should be a URL"),
        ("webhook_url", "file:///etc/passwd", "should be a URL"),
        ("webhook_url", "https://", "should be a URL"),
        ("webhook_url", "https://example.org/a b", "should be a URL"),
        ("webhook_url", "https://example.org/a\nb", "should be a URL"),
        ("webhook_url", "https://example.org:x/", "should be a URL"),
        ("webhook_url", "https://[::1/", "should be a URL"),
        ("webhook_url", "", "should be a URL"),
        ("webhook_url", "https://me:pw@example.org/", "no user and password"),
        ("hook_timeout_s", "0", "greater than 0"),
        ("hook_retry_hours", "-1", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_called_is_refused(name: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    assert str(caught.value).startswith(f"{name} = ")
    assert hint in str(caught.value)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("value", ["3", "true", "[3]", "[[]]", "{ a = 1 }"])
def test_a_command_of_another_kind_is_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "r.toml"
    file.write_text(f"on_success = {value}")
    with pytest.raises(SettingsError, match=r"on_success.* should be a command"):
        load_settings({}, file)
