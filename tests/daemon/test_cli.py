"""The command line: what it takes, what it says, and how it ends."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from driver import BECOME_NOBODY

from daemon import __version__, cli
from daemon.intake.pairing import Waiting
from daemon.people.progress import print_summary
from daemon.reasons import REASONS, Report, Trouble
from daemon.settings import Settings
from daemon.supervisor.tally import Summary

REPOSITORY = Path(__file__).parents[2]
COMMANDS = ("run", "once", "check", "status", "history", "pause", "resume", "retry")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("RETOUCHD_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def status(*arguments: str) -> int:
    """How a command line ends, also where argparse ends it."""
    try:
        return cli.main(arguments)
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_setting_with_its_default(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert status(command, "--help") == 0
    shown = capsys.readouterr().out
    for name, field in Settings.options().items():
        assert f"--{name.replace('_', '-')}" in shown
        assert (field.description or "-") in shown
    assert "[0664]" in shown
    assert "--settings FILE" in shown


def test_every_setting_is_an_option_of_every_command() -> None:
    flags = {name: f"--{name.replace('_', '-')}" for name in Settings.options()}
    switches = {name for name, field in Settings.options().items() if field.annotation is bool}
    assert "events" in switches
    given = [part for name, flag in flags.items() if name not in switches for part in (flag, "x")]
    given += [flags[name].replace("--", "--no-", 1) for name in switches]
    for command in COMMANDS:
        options = vars(cli._parser().parse_args([command, *given]))
        assert Settings.options().keys() <= options.keys()
        assert not any(options[name] for name in switches)


def test_an_option_that_is_not_given_sets_nothing() -> None:
    assert cli._parser().parse_args(["run"]) == argparse.Namespace(command="run", settings=None)


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--version") == 0
    assert capsys.readouterr().out == f"retouchd {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "COMMAND"),
        (("dance",), "dance"),
        (("run", "--quiet-perod-s", "3"), "--quiet-perod-s"),
        (("run", "--quiet", "3"), "--quiet"),  # no abbreviations
        (("run", "inbox"), "inbox"),
        (("run", "--spool"), "--spool"),
        (("why",), "retouchd why: PATH is missing."),
        (("history", "--limit", "0"), "--limit: '0' should be a whole number, 1 or more."),
        (("history", "--limit", "many"), "--limit: 'many' should be a whole number, 1 or more."),
        (("retry", "--reason", "nonsense"), "--reason: nothing fails for 'nonsense'; it can be"),
        (("retry", "--reason", "disk_full"), "--reason: nothing fails for 'disk_full'; it can be"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_wrong_in_one_line(
    arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*arguments) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert "companion_missing" not in said  # no picture fails for that
    assert "--help" in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--folder-mode", "9999"), "folder_mode = '9999' (--folder-mode): should be an octal"),
        (("--quiet-period-s=-1",), "quiet_period_s = '-1' (--quiet-period-s): "),
        (("--settings", "gone.toml"), "gone.toml: can't be read (No such file or directory)."),
        (("--inbox", "a", "--outbox", "a/b"), "lies in inbox"),
        (("--user", "nobody-of-that-name"), "no such user"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_one_line(
    command: str, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(command, *options) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("retouchd: ")
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_wrong_variable_ends_with_2_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETOUCHD_QUIET_PERIOD_S", "abc")
    assert status("run") == 2
    assert "quiet_period_s = 'abc' (RETOUCHD_QUIET_PERIOD_S)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "once"])
def test_without_a_model_it_ends_with_2_and_makes_no_folder(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(command, "--spool", "s") == 2
    assert "RETOUCHD_INPAINT_MODEL" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "once"])
def test_a_refused_model_ends_with_2_and_makes_no_folder(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(command, "--spool", "s", "--inpaint-model", "gone.pt") == 2
    assert f"{tmp_path / 'gone.pt'}: there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_the_other_task_is_refused(
    inpaint_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("run", "--matting-model", str(inpaint_model)) == 2
    assert "is a model for 'inpaint', but is set as matting_model" in capsys.readouterr().err


def test_a_spool_that_cannot_be_made_ends_with_1_and_what_to_do(
    tmp_path: Path, inpaint_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert status("run", "--spool", "file/s", "--inpaint-model", str(inpaint_model)) == 1
    said = capsys.readouterr().err
    assert said.startswith("retouchd: ")
    assert str(tmp_path / "file") in said


# `once` ends with 0 only if every complete pair succeeded.


@pytest.mark.parametrize("reason", [r.key for r in REASONS.values() if r.kind.value == "wait"])
def test_once_fails_where_a_complete_pair_was_left(reason: str) -> None:
    incomplete_pairs = {"companion_missing", "picture_missing", "ambiguous", "unreadable_kind"}
    incomplete_pairs |= {"marker_missing", "marker_alone", "cannot_be_transparent"}
    # `once` ends when no pair is still settling, so this can't be left.
    passing = {"not_quiet"}
    assert cli._should_have_been_done(reason) == (reason not in incomplete_pairs | passing)


def test_the_summary_is_plain_text_whatever_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]a.jpg", ":cat:.jpg", "two\nlines.jpg", os.fsdecode(b"\xff.jpg"), "x" * 300]
    print_summary(
        Summary(
            done=1,
            failures=5,
            failed=tuple((name, Trouble("vanished").sentence) for name in names),
            waiting=tuple(
                Waiting(name, Report.of(Trouble("companion_missing", stem=name, purpose="x")))
                for name in names
            ),
            held=Trouble("disk_full", path=names[2]),
            was_stopped=False,
        )
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 done, 5 failed, 5 waiting"
    assert len(lines) == 1 + 5 + 5 + 1
    assert any(line.startswith("failed:  [red]a.jpg: ") for line in lines)
    assert any(line.startswith("waiting: :cat:.jpg: ") for line in lines)
    assert lines[-1].startswith("stopped: no space is left for two\\nlines.jpg.")
    assert all(line.isprintable() for line in lines)


# check


def findings(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    ended = status("check", *options)
    return ended, capsys.readouterr().out.splitlines()


def test_check_without_a_model_says_so_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, lines = findings(capsys, "--spool", "s")
    assert ended == 1
    assert f"ok   inbox           {tmp_path}/s/inbox will be made" in lines
    assert lines[-1].startswith("BAD  models ")
    assert list(tmp_path.iterdir()) == []


def test_check_leaves_folders_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("inbox", "work", "outbox", "failed", "archive"):
        (tmp_path / "s" / name).mkdir(parents=True)
    _, lines = findings(capsys, "--spool", "s")
    assert [line[:3] for line in lines] == ["ok "] * 7 + ["BAD"]
    assert sorted(p.name for p in (tmp_path / "s").rglob("*")) == sorted(
        ["inbox", "work", "outbox", "failed", "archive"]
    )


def test_check_names_a_file_that_lies_where_a_folder_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "outbox").touch()
    _, lines = findings(capsys, "--spool", "s")
    (line,) = (line for line in lines if " outbox " in line)
    assert line.startswith("BAD  outbox")
    assert "is no folder" in line


def test_check_names_the_folder_in_which_nothing_can_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    _, lines = findings(capsys, "--spool", "file/s")
    assert sum(line.startswith("BAD") for line in lines) == 6
    assert f"can't be made in {tmp_path}/file." in lines[1]


def test_check_tells_the_matting_folders_and_which_are_not_there(
    tmp_path: Path, matting_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s" / "inbox" / "Shop").mkdir(parents=True)
    folders = ("--matting-folders", "shop, portraits", "--trimap-band-percent", "1.5")
    model = ("--matting-model", str(matting_model))
    _, lines = findings(capsys, "--spool", "s", *folders, *model)
    (line,) = (line for line in lines if " matting_folders " in line)
    assert line == (
        "ok   matting_folders masks in shop, portraits mean cut out (not in the inbox yet: "
        "portraits), with an unknown band of 1.5 % of the shorter side"
    )


def test_check_asks_whether_the_folder_of_nearly_that_name_is_meant(
    tmp_path: Path, matting_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s" / "inbox" / "portraits").mkdir(parents=True)
    model = ("--matting-model", str(matting_model))
    _, lines = findings(capsys, "--spool", "s", "--matting-folders", "portrats", *model)
    (line,) = (line for line in lines if " matting_folders " in line)
    assert "(not in the inbox yet: portrats; is portraits meant?)" in line


def test_check_says_that_matting_folders_need_a_matting_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended, lines = findings(capsys, "--spool", "s", "--matting-folders", ".")
    assert ended == 1
    (line,) = (line for line in lines if " matting_folders " in line)
    assert line.startswith("BAD  matting_folders masks in . mean cut out; they wait, as no")


def test_check_is_silent_on_matting_folders_where_there_are_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not any("matting_folders" in line for line in findings(capsys, "--spool", "s")[1])


def test_check_refuses_a_bad_model_and_starts_no_worker(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended, lines = findings(capsys, "--spool", "s", "--matting-model", "gone.pt")
    assert ended == 1
    assert lines[-1].startswith("BAD  matting_model")
    assert "there is no such file" in lines[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_check_as_a_user_without_rights_says_what_is_missing_and_does_not_crash(
    tmp_path: Path,
) -> None:
    (tmp_path / "s" / "inbox").mkdir(parents=True)
    tmp_path.chmod(0o700)
    program = f"import sys, daemon.cli\n{BECOME_NOBODY}\nsys.exit(daemon.cli.main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-c", program, "check", "--spool", str(tmp_path / "s")],
        env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == ""
    assert (
        f"BAD  inbox           {tmp_path}/s/inbox is not there and can't be made in" in run.stdout
    )


def test_a_path_that_the_terminal_cannot_show_ends_no_check(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "check", "--spool", os.fsencode(tmp_path) + b"/\xff"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == b""
    assert b"\\udcff/inbox will be made" in run.stdout


def test_ctrl_c_ends_a_command_with_a_line_and_130(tmp_path: Path) -> None:
    # It waits for a worker, which takes for ever to load this one.
    model = tiny.write_hanging(tmp_path / "model.pt")
    command = [sys.executable, "-m", "daemon", "check", "--spool", str(tmp_path / "s")]
    with subprocess.Popen(
        [*command, "--inpaint-model", str(model)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as check:
        assert check.stdout and check.stderr
        assert any(line.startswith("ok   inpaint_model") for line in check.stdout)
        check.send_signal(signal.SIGINT)
        assert check.wait(30) == 130
        assert check.stderr.read() == "retouchd: stopped by Ctrl-C.\n"


def test_ctrl_c_is_a_line_before_all_is_imported(tmp_path: Path) -> None:
    # A module that interrupts where it is imported, as a person would just then.
    (tmp_path / "structlog.py").write_text("raise KeyboardInterrupt\n")
    run = subprocess.run(
        [sys.executable, "-m", "daemon", "status"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (130, "retouchd: stopped by Ctrl-C.\n")
