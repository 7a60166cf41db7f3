"""Whether a daemon works on the spool, and whether anything keeps it from going on."""

import time
from collections.abc import Iterator
from dataclasses import replace

from daemon.people.questions.answers import Step, in_words, no, note, yes
from daemon.people.questions.scene import Scene
from daemon.people.standing import SILENT_AFTER_S
from daemon.spool.pausing import paused_since

START_IT = "Start it: systemctl start retouchd, or retouchd run with these settings."


def work_steps(scene: Scene) -> Iterator[Step]:
    """Does it run, does it look, is it paused, does it hold."""
    if scene.runs is None:
        yield note(
            "daemon",
            "whether retouchd runs can't be told by this user: ask as root, or as "
            f"{scene.user.name}, who runs it.",
        )
        return
    if not scene.runs:
        yield no("daemon", "no retouchd works on this spool.", START_IT)
    else:
        yield from _running(scene)
    if _is_paused(scene):
        yield no("pause", "retouchd is paused and begins nothing new.", "Run: retouchd resume")


def _is_paused(scene: Scene) -> bool:
    try:
        return paused_since(scene.spool.books) is not None
    except OSError:
        return False


def _running(scene: Scene) -> Iterator[Step]:
    state = scene.state
    if state is None:
        yield yes("daemon", "retouchd runs; of itself it has told nothing yet.")
        return
    age = max(0.0, time.time() - state.at)
    if age >= SILENT_AFTER_S:
        yield no(
            "daemon",
            f"retouchd runs (process {state.pid}), and has told nothing for {age:.0f} s.",
            "Look into its log; if it hangs, restart it: systemctl restart retouchd.",
        )
        return
    yield yes("daemon", f"retouchd runs (process {state.pid}) and told of itself {age:.0f} s ago.")
    if state.holds is not None:
        yield in_words("queue", state.holds.trouble())
    if state.stuck is not None:
        yield note("queue", "one job is stuck, and the others go on:")
        yield replace(in_words("queue", state.stuck.trouble()), mark="note")
