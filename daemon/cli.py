"""The command `retouchd`: run, once, check.

Exit status: 0 all is well; 1 something failed; 2 the command line, a setting or a model is wrong,
and starting again won't help.
"""

import argparse
import io
import os
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from daemon import __version__
from daemon.artifact import ArtifactError
from daemon.events import configure, let_go
from daemon.people.check import check, model_manifest
from daemon.people.progress import print_summary, progress_bar
from daemon.reasons import world_trouble
from daemon.settings import Settings, SettingsError, load_settings, shown_default
from daemon.spool.layout import SpoolInUseError, locked, open_spool
from daemon.supervisor.loop import Supervisor

DONE, FAILED, WRONG = 0, 1, 2

# A supervisor that was killed leaves a worker that ends on its own, but not at once.
_WAIT_FOR_LOCK_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    _open_closed_streams()
    options = vars(_parser().parse_args(arguments))
    command, file = options.pop("command"), options.pop("settings")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names need not suit the terminal
    try:
        settings = load_settings(options, file)
        configure(settings.log_format, settings.log_level)
        if command == "check":
            return _check(settings)
        return _work(settings, once=command == "once")
    except (SettingsError, ArtifactError) as error:
        print(f"retouchd: {error}", file=sys.stderr)
        return WRONG
    except SpoolInUseError as error:
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
    if not models:
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
    with locked(spool, _WAIT_FOR_LOCK_S) as lock:
        if not once:
            Supervisor(settings, spool, lock).run()
            return DONE
        with progress_bar() as feed:
            summary = Supervisor(settings, spool, lock, until_idle=True, on_change=feed).run()
    print_summary(summary)
    left = any(_should_have_been_done(w.report.trouble().reason.key) for w in summary.waiting)
    return FAILED if summary.failures or summary.held or summary.was_stopped or left else DONE


def _should_have_been_done(reason: str) -> bool:
    """Whether a file that waits for this reason belongs to a complete pair."""
    return reason in {
        *("no_model", "incomplete", "unreadable", "empty", "cannot_be_held"),
        *("folder_mask_unreadable", "folder_mask_unusable"),
        *("permission", "other_filesystem", "io_error"),
    }


def _check(settings: Settings) -> int:
    status = DONE
    for finding in check(settings):
        print(f"{'ok ' if finding.is_ok else 'BAD'}  {finding.subject:<14} {finding.says}")
        if not finding.is_ok:
            status = FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    ):
        # No abbreviations: the next setting of a like name would break a service file.
        command = commands.add_parser(
            name, help=what, description=what.capitalize() + ".", allow_abbrev=False
        )
        _add_settings(command)
    return parser


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
