"""`make pages`: write anew the tables of docs/ that repeat what the code says.

Settings and reasons have their words in the code alone; these tables are how they get onto the
pages. Text between the tables is written by hand and stays as it is.
"""

import re
import typing
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from daemon.folders import FolderSettings
from daemon.reasons import REASONS, Kind
from daemon.settings import Settings, shown_default

DOCS: Final = Path(__file__).parents[2] / "docs"

# The headings of docs/reasons.md under which the reasons of a kind stand.
SECTIONS: Final = MappingProxyType(
    {
        Kind.WAIT: "It waits",
        Kind.FILE: "The file's own fault",
        Kind.RETRY: "Tried again, then given up",
        Kind.WORLD: "The world's fault",
    }
)

# Where the reasons of a kind show. Events are those of docs/log.md.
SHOWS: Final = MappingProxyType(
    {
        Kind.WAIT: "`file_waits` in the journal, a minute after; the file stays in `inbox/`",
        Kind.FILE: "`job_failed` in the journal; both files in `failed/`, with a `.reason.txt`",
        Kind.RETRY: "`job_tried` in the journal; after the last try `job_failed`, as above",
        Kind.WORLD: "`queue_held` in the journal and `holding:` in `systemctl status retouchd`; "
        "where it is one folder's alone, `file_waits`",
    }
)

# Those that show in another way than others of their kind.
SHOWS_ELSEWHERE: Final = MappingProxyType(
    {
        "mount_away": "`job_stuck` in the journal; the pair waits on that mount, and no other",
        "not_quiet": "`pair_given_back` in the journal, where a file changed while it was worked; "
        "else only `retouchd status`, `retouchd why`, the status page and the metrics",
        **dict.fromkeys(
            ("incomplete", "folder_mask_unusable"),
            "`pair_given_back` in the journal, and `file_waits` a minute after; the file is back "
            "in `inbox/`",
        ),
        "superseded": "`job_failed` in the journal, beside `pair_given_back`; the older file in "
        "`failed/`, with a `.reason.txt`",
        "stray": "`stray_set_aside` in the journal; the file in `failed/stray/`, with a "
        "`.reason.txt`",
    }
)


def settings_table() -> str:
    """Each setting with its default and its meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.options().items():
        choices = [str(c) for c in typing.get_args(field.annotation) if isinstance(c, str)]
        allowed = f" One of `{'`, `'.join(choices)}`." if choices else ""
        default = shown_default(name)
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{name}` | {shown} | {field.description}{allowed} |")
    return "\n".join(rows)


def names_table() -> str:
    """What each setting is called in the environment and as an option."""
    rows = ["| setting | environment | option |", "|---|---|---|"]
    for name, field in Settings.options().items():
        option = name.replace("_", "-")
        options = f"`--{option}`" + (f" `--no-{option}`" if field.annotation is bool else "")
        rows.append(f"| `{name}` | `RETOUCHD_{name.upper()}` | {options} |")
    return "\n".join(rows)


def folders_table() -> str:
    """What a folder in the inbox can have of its own."""
    rows = ["| setting | meaning |", "|---|---|"]
    rows += [f"| `{name}` | {f.description} |" for name, f in FolderSettings.model_fields.items()]
    return "\n".join(rows)


def reasons_table(kind: Kind) -> str:
    """The reasons of one kind with their words."""
    rows = [
        f"| `{reason.key}` | {reason.says} | {reason.advice} |"
        for reason in REASONS.values()
        if reason.kind is kind
    ]
    return "\n".join(["| reason | what it says | what to do |", "|---|---|---|", *rows])


def shows_table() -> str:
    """Where each reason shows, with a link to its words."""
    together: dict[str, list[str]] = {}
    for kind, section in SECTIONS.items():
        page = f"../reasons.md#{anchor(section)}"
        for key in (reason.key for reason in REASONS.values() if reason.kind is kind):
            shows = SHOWS_ELSEWHERE.get(key, SHOWS[kind])
            together.setdefault(shows, []).append(f"[`{key}`]({page})")
    rows = [f"| {shows} | {', '.join(links)} |" for shows, links in together.items()]
    return "\n".join(["| it shows as | reasons |", "|---|---|", *rows])


def anchor(heading: str) -> str:
    """The name by which a link reaches a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# Each page with the headings that have a table below them, and what makes it.
TABLES: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = MappingProxyType(
    {
        "settings.md": {
            "Every setting": settings_table,
            "Their names elsewhere": names_table,
            "Folders in the inbox": folders_table,
        },
        "reasons.md": {section: partial(reasons_table, kind) for kind, section in SECTIONS.items()},
        "operations/troubleshooting.md": {"Every reason, and where it shows": shows_table},
    }
)


def written_anew(page: str) -> str:
    """A page's text with its tables as the code has them. `ValueError` where one is not there."""
    text = (DOCS / page).read_text("utf-8")
    for heading, table in TABLES[page].items():
        # The first table below the heading, and above the next one.
        pattern = rf"(^## {re.escape(heading)}\n(?:(?!#|\|).*\n)*)(?:\|.*\n)+"
        # Backslashes in the words of a table are none of a pattern's.
        new = table().replace("\\", r"\\")
        text, times = re.subn(pattern, rf"\g<1>{new}\n", text, flags=re.MULTILINE)
        if times != 1:
            raise ValueError(f"docs/{page} has no table below the heading {heading!r}")
    return text


if __name__ == "__main__":
    for name in TABLES:
        (DOCS / name).write_text(written_anew(name), "utf-8")
