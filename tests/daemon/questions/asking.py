"""Asks `retouchd why` without a daemon, and looks at the answer."""

import os
from typing import Any

from daemon.people.questions.answers import Answer, Step
from daemon.people.questions.scene import scene_of
from daemon.people.questions.why import why
from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.spool.looking import find_spool


def ask(settings: Settings, asked: str, **given: Any) -> Answer:
    settings = settings.model_copy(update=given)
    return why(scene_of(settings, find_spool(settings), os.geteuid()), asked)


def crosses(answer: Answer) -> list[Step]:
    """What is in the way, apart from there being no daemon."""
    return [step for step in answer.steps if step.mark == "no" and step.subject != "daemon"]


def cross(answer: Answer) -> Step:
    (step,) = crosses(answer)
    return step


def said(answer: Answer, subject: str) -> str:
    return " ".join(step.says for step in answer.steps if step.subject == subject)


def put(spool: Spool, *names: str, content: bytes = b"content") -> None:
    for name in names:
        path = spool.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
