"""The command `retouchd`: run, once, check; status, history, pause, resume; why, retry.

Exit status: 0 all is well; 1 something failed; 2 the command line, a setting or a model is wrong,
and starting again won't help. docs/commands.md says what that means for each command.
"""

import argparse
import io
import os
import sys
import typing
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from daemon import __version__
from daemon.artifact import ArtifactError
from daemon.events import configure, let_go
from daemon.people.audience import Audience
from daemon.people.calls.hooks import called_hooks
from daemon.people.checks.check import check, model_manifest, subject_width
from daemon.people.history import MOST_LISTED, show_history
from daemon.people.pages import kept_pages
from daemon.people.pausing import say_pause, say_resume, why_not_once
from daemon.people.progress import print_summary, progress_bar
from daemon.people.questions.why import answer_why
from daemon.people.reach import OutOfReachError
from daemon.people.rebuilding import say_rebuilt
from daemon.people.retry import UnclearError, retry
from daemon.people.status import show_status
from daemon.reasons import REASONS, Kind, world_trouble
from daemon.settings import Settings, SettingsError, load_settings, shown_default
from daemon.spool.layout import SpoolInUseError, locked, open_spool
from daemon.supervisor.loop import Supervisor

DONE, FAILED, WRONG = 0, 1, 2

# What commands are asked beside the settings.
_ASKED = {"as_json", "watch", "path", "failures", "limit", "rebuild", "paths", "reason"}

# How argparse begins to say that something is missing.
_REQUIRED: Final = "the following arguments are required: "
# A supervisor that was killed leaves a worker that ends on its own, but not at once.
_WAIT_FOR_LOCK_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    _open_closed_streams()
    options = vars(_parser().parse_args(arguments))
    command, file = options.pop("command"), options.pop("settings")
    asked = {name: options.pop(name) for name in _ASKED & options.keys()}
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names need not suit the terminal
    try:
        settings = load_settings(options, file)
        configure(settings.log_format, settings.log_level)
        if command in ("run", "once"):
            return _work(settings, once=command == "once")
        return _check(settings) if command == "check" else _tell(command, settings, asked)
    except (SettingsError, ArtifactError, UnclearError) as error:
        print(f"retouchd: {error}", file=sys.stderr)
        return WRONG
    except (SpoolInUseError, OutOfReachError) as error:
        print(f"retouchd: {error}", file=sys.stderr)
        return FAILED
    finally:
        let_go()


def _open_closed_streams() -> None:
    """Open the standard streams that are closed, to nowhere.

    A lock or a pipe would take their numbers, and be handed on or written to as what they are not.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _work(settings: Settings, *, once: bool) -> int:
    models = settings.models()
    if not models and not settings.own_models():
        raise SettingsError(
            "no model is set, so there is nothing to do. Export one with retouchd-export and set "
            "inpaint_model or matting_model (RETOUCHD_INPAINT_MODEL, RETOUCHD_MATTING_MODEL)."
        )
    for task, path in models.items():
        model_manifest(task, path)
    try:
        spool = open_spool(settings)
    except OSError as error:
        trouble = world_trouble(error)
        print(f"retouchd: {trouble.sentence} {trouble.advice}", file=sys.stderr)
        return FAILED
    if once and (why := why_not_once(settings)):
        print(f"retouchd: {why}", file=sys.stderr)
        return FAILED
    with ExitStack() as stack:
        lock = stack.enter_context(locked(spool, _WAIT_FOR_LOCK_S))
        pages = stack.enter_context(kept_pages(settings, spool))
        hooks = stack.enter_context(called_hooks(settings, once=once))
        if not once:
            told = Audience(settings, pages=pages, hooks=hooks)
            Supervisor(settings, spool, lock, on_change=told).run()
            return DONE
        with progress_bar() as progress:
            told = Audience(settings, pages=pages, hooks=hooks, progress=progress)
            summary = Supervisor(settings, spool, lock, until_idle=True, on_change=told).run()
    print_summary(summary)
    if why := why_not_once(settings):
        print(f"retouchd: {why}", file=sys.stderr)
        return FAILED
    left = any(_should_have_been_done(w.report.trouble().reason.key) for w in summary.waiting)
    return FAILED if summary.failures or summary.held or summary.was_stopped or left else DONE


def _should_have_been_done(reason: str) -> bool:
    """Whether a file that waits for this reason belongs to a complete pair."""
    return reason in {
        *("no_model", "incomplete", "unreadable", "empty", "cannot_be_held"),
        *("folder_mask_unreadable", "folder_mask_unusable", "folder_model_unusable"),
        *("permission", "other_filesystem", "io_error"),
    }


def _tell(command: str, settings: Settings, asked: dict[str, Any]) -> int:
    """The commands that people give beside a running daemon."""
    try:
        if command == "status":
            return DONE if show_status(settings, **asked) else FAILED
        if command == "history":
            return _tell_history(settings, **asked)
        if command in ("why", "retry"):
            is_well = (
                answer_why(settings, **asked) if command == "why" else retry(settings, **asked)
            )
            return DONE if is_well else FAILED
        print(f"retouchd: {say_pause(settings) if command == 'pause' else say_resume(settings)}")
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        trouble = world_trouble(error)
        print(f"retouchd: {trouble.sentence}", file=sys.stderr)
        return FAILED
    return DONE


def _tell_history(settings: Settings, *, rebuild: bool, path: str | None, **asked: Any) -> int:
    if rebuild:
        print(f"retouchd: {say_rebuilt(settings)}")
        return DONE
    return DONE if show_history(settings, path, **asked) else FAILED


def _check(settings: Settings) -> int:
    status, width = DONE, subject_width(settings)
    for finding in check(settings):
        print(f"{'ok ' if finding.is_ok else 'BAD'}  {finding.subject:<{width}} {finding.says}")
        if not finding.is_ok:
            status = FAILED
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        """One sentence: all settings are options, and a list of them would hide it."""
        if message.startswith(_REQUIRED):
            message = f"{message.removeprefix(_REQUIRED)} is missing"
        said = f"{self.prog}: {message.removeprefix('argument ')}. See {self.prog} --help"
        self.exit(WRONG, f"{said}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="retouchd",
        description="Drop a photo and its mask or trimap into the inbox; find the result in the "
        "outbox.",
    )
    parser.add_argument("--version", action="version", version=f"retouchd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("run", "watch the inbox and work, until stopped"),
        ("once", "work off what is there, then end; 0 only if every complete pair succeeded"),
        ("check", "try settings, folders, models and device, and say what to do"),
        ("status", "say what is done, what waits and why; 0 if it runs and nothing is in its way"),
        ("history", "say what became of pictures, when, and with which model"),
        ("pause", "finish what is in hand and begin nothing else, until resume"),
        ("resume", "end a pause"),
        ("why", "say why files are not picked up, or what became of them"),
        ("retry", "move what failed back into the inbox, all of it or what is named"),
    ):
        # No abbreviations: the next setting of a like name would break a service file.
        command = commands.add_parser(
            name, help=what, description=what.capitalize() + ".", allow_abbrev=False
        )
        _add_settings(command)
        if name == "history":
            _add_history(command)
        if name == "why":
            where = "a file, as from here or as from the inbox"
            command.add_argument("paths", nargs="+", type=_named, metavar="PATH", help=where)
            _add_switch(command, "--json", "as_json", "print a JSON object for each, in a line")
        if name == "retry":
            where = "a file or a folder in failed, or what it was in the inbox"
            command.add_argument("paths", nargs="*", type=_named, metavar="PATH", help=where)
            what = "only what failed for this reason"
            command.add_argument("--reason", type=_reason_to_fail, metavar="KEY", help=what)
        if name == "status":
            _add_switch(command, "--json", "as_json", "print one JSON object")
            _add_switch(command, "--watch", "watch", "say it again every two seconds")
    return parser


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        nargs="?",
        metavar="PATH",
        help="a picture: its path in the inbox or in another of the spool's folders, or its name",
    )
    _add_switch(parser, "--failures", "failures", "only what was given up")
    _add_switch(parser, "--json", "as_json", "print a JSON object a line")
    _add_switch(parser, "--rebuild", "rebuild", "enter what the folders tell of jobs it lacks")
    what = f"at most so many, the newest [{MOST_LISTED}, without a limit for a PATH]"
    parser.add_argument("--limit", type=_at_least_one, metavar="N", help=what)


def _named(path: str) -> str:
    if not path:  # as a script gives where its variable is empty; here it would mean all
        raise argparse.ArgumentTypeError("a path is empty; name a file or a folder")
    return path


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number, 1 or more")
    return number


def _reason_to_fail(text: str) -> str:
    reasons = [key for key, reason in REASONS.items() if reason.kind in (Kind.FILE, Kind.RETRY)]
    if text not in reasons:
        known = ", ".join(reasons)
        raise argparse.ArgumentTypeError(f"nothing fails for {text!r}; it can be one of {known}")
    return text


def _add_switch(parser: argparse.ArgumentParser, flag: str, name: str, what: str) -> None:
    parser.add_argument(flag, dest=name, action="store_true", help=what)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Every setting as an option. Values are checked with the other sources, in one place."""
    parser.add_argument("--settings", type=Path, metavar="FILE", help="TOML file with settings")
    for name, field in Settings.options().items():
        flag = f"--{name.replace('_', '-')}"
        default = shown_default(name)
        what = (field.description or "") + (f" [{default}]" if default else "")
        what = what.replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(
                flag,
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=what,
            )
            continue
        parser.add_argument(
            flag, dest=name, default=argparse.SUPPRESS, metavar=_metavar(field), help=what
        )


def _metavar(field: typing.Any) -> str:
    choices = typing.get_args(field.annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return "|".join(choices)
    return "PATH" if Path in (field.annotation, *choices) else "VALUE"


if __name__ == "__main__":
    sys.exit(main())
