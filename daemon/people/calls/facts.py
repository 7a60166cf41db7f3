"""What a hook or a webhook is told of a job that has ended."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemon import __version__
from daemon.settings import HOOK_VARIABLES
from daemon.spool.entries import Ended
from daemon.supervisor.joblog import utc

# In bytes. Linux takes 128 KiB a variable and mostly 2 MiB in all; a path that can be opened by its
# name has 4 KiB at most.
MOST_OF_A_VARIABLE: Final = 1 << 15


def facts_of(ended: Ended, folders: Mapping[str, Path]) -> dict[str, object]:
    """The job as it goes out as JSON, flat; what there is not is null or empty.

    `picture` and `companion` are as they were dropped, seen from the inbox; a `companion` that is a
    folder's mask is an absolute path, and so are `outputs`, `result` and `note`. Where the picture
    drew its hole as transparency it is its own companion. Names that are no UTF-8 hold their bytes
    as lone surrogates.
    """
    outbox = folders["outbox"]
    trouble = None if ended.report is None else ended.report.trouble()
    facts = ended.facts
    return {
        "job": ended.job,
        "outcome": ended.outcome,
        "task": ended.task,
        "picture": ended.picture,
        "companion": ended.companion,
        "claimed_at": utc(ended.claimed_at),
        "ended_at": utc(ended.ended_at),
        "attempts": ended.attempts,
        "result": None if ended.result is None else str(outbox / ended.result),
        "outputs": [str(outbox / name) for name in ended.outputs],
        "reason": trouble and trouble.reason.key,
        "sentence": trouble and trouble.sentence,
        "advice": trouble and trouble.advice,
        "note": None if ended.note is None else str(folders["failed"] / ended.note),
        "width": facts and facts.width,
        "height": facts and facts.height,
        "seconds": facts and dict(facts.seconds),
        "model": facts and facts.model,
        "device": facts and facts.device,
        "notes": list(facts.notes) if facts else [],
        "host": os.uname().nodename,
        "retouchd": __version__,
    }


def as_json(facts: Mapping[str, object]) -> bytes:
    """One line of JSON, in ASCII."""
    return json.dumps(facts).encode("ascii") + b"\n"


def as_variables(facts: Mapping[str, object]) -> dict[str, str]:
    """The most wanted of the facts as variables of the environment, some empty.

    One that is longer than `MOST_OF_A_VARIABLE` bytes is left out: half a fact would be taken for
    the whole, and a program whose environment is too large can't be started at all.
    """
    variables = {
        variable: _as_variable(facts[variable.removeprefix("RETOUCHD_").lower()])
        for variable in HOOK_VARIABLES
    }
    return {name: value for name, value in variables.items() if _fits(value)}


def _fits(value: str) -> bool:
    return len(value.encode("utf-8", "surrogatepass")) <= MOST_OF_A_VARIABLE


def _as_variable(value: object) -> str:
    # Names in a list may hold whatever is put between them, so that is JSON.
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
