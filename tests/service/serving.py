"""The installed service as its tests see it: settings, pairs, what it logs, who runs."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import tiny
from listings import files_below
from machine import Machine
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# Where the machine sees the checkout that it was installed from, read-only.
SOURCE: Final = "/srv/repository"
SETTINGS: Final = "/etc/retouchd/settings.toml"
SPOOL: Final = "/var/lib/retouchd"
STARTER: Final = "/opt/retouchd/networks/inpaint.pt"
# Nothing waits this long when all is well.
PATIENCE_S: Final = 90.0
# A few seconds: long enough to be met in the middle.
_SLOW_ROUNDS: Final = 150

# Matting is left out: PyMatting's compiling takes most of a minute.
_SETTINGS: Final = {
    "spool": SPOOL,
    "quiet_period_s": 0.4,
    "scan_interval_s": 0.5,
    "stop_timeout_s": 60,
    "log_format": "json",
}
_DROP_IN: Final = "/run/systemd/system/retouchd.service.d/tests.conf"


class Service:
    """The unit retouchd.service of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.model = "/etc/retouchd/model.pt"

    def reset(self, folder: Path) -> None:
        """Empty the spool, put in a network that inverts, and have restarts come quickly."""
        self.machine.run("systemctl stop retouchd; systemctl disable --quiet retouchd")
        self.machine.run(f"rm -rf {SPOOL}/*/* {SPOOL}/work/.[!.]*")
        self.model_is(tiny.write_inpaint(folder / "invert.pt"))
        self.configure()
        self.drop_in("RestartSec=200ms")

    def configure(self, **settings: object) -> None:
        """Write the settings file; it takes effect at the next start."""
        chosen = {**_SETTINGS, "inpaint_model": self.model, **settings}
        lines = (f"{name} = {json.dumps(value)}\n" for name, value in chosen.items())
        self.machine.path(SETTINGS).write_text("".join(lines))

    def drop_in(self, *lines: str) -> None:
        """Lines of a drop-in of the tests' own."""
        text = "\\n".join(("[Service]", *lines))
        self.machine.run(f"mkdir -p {_DROP_IN.rpartition('/')[0]}; printf '{text}\\n' > {_DROP_IN}")
        self.machine.run("systemctl daemon-reload")

    def model_is(self, artifact: Path) -> None:
        """Put another network in the place of the one that is set, in one step."""
        target = self.machine.path(self.model)
        new = target.with_suffix(".new")
        new.write_bytes(artifact.read_bytes())
        new.chmod(0o644)
        new.rename(target)

    def start(self) -> None:
        """Start it, and wait for a worker that serves."""
        self.machine.run("systemctl start retouchd")
        self.wait_for("worker_started")

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.machine.run(f"systemctl show --value --property={name} retouchd").stdout.strip()

    def pid(self) -> int:
        """The main process, as the machine numbers it."""
        return int(self.show("MainPID"))

    def said(self) -> list[str]:
        """All that the unit, and systemd about it, has said since the machine booted."""
        return self.machine.journal("retouchd")

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """What the daemon has logged under a name since its last start, with these fields."""
        start = "$(systemctl show --value --property=InvocationID retouchd)"
        query = f"journalctl --no-pager --output=cat _SYSTEMD_INVOCATION_ID={start}"
        told = self.machine.run(query).stdout
        lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        found = (line for line in lines if line.get("event") == event)
        return [line for line in found if all(line.get(k) == v for k, v in fields.items())]

    def wait_for(self, event: str, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until an event has been logged so often; returns the last."""
        self.wait_until(lambda: len(self.events(event, **fields)) >= times, f"{times} x {event}")
        return self.events(event, **fields)[-1]

    def wait_until(self, is_true: Callable[[], bool], what: str) -> None:
        """Wait for a condition; fails with the journal if it does not come."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            if time.monotonic() > deadline:
                log = "\\n".join(self.said()[-60:])
                raise AssertionError(f"waited in vain for {what}; the journal:\\n{log}")
            time.sleep(0.2)

    def drop(self, name: str, *, slow: bool = False, user: str = "alice") -> Pixels:
        """Put a pair into the inbox as a member of the group does; returns the photo."""
        seed = sum(name.encode())
        photo = np.random.default_rng(seed).integers(10, 245, (64, 96, 3), dtype=np.uint8)
        if slow:
            photo[0, 0] = tiny.SLOW_PIXEL
        mask = np.zeros((64, 96), np.uint8)
        mask[10:40, 20:60] = 255
        self.drop_pictures(name, Image.fromarray(photo), Image.fromarray(mask), user=user)
        return photo

    def drop_pictures(
        self, name: str, photo: Image.Image, mask: Image.Image, *, user: str = "alice"
    ) -> None:
        """Put these two into the inbox, copied there by that user."""
        for picture, file in ((photo, f"{name}.png"), (mask, f"{name}_mask.png")):
            picture.save(self.machine.path(f"/srv/{file}"))
            self.machine.run(f"cp /srv/{file} {SPOOL}/inbox/{file}", user=user)

    def result(self, name: str) -> Pixels:
        """Wait for a pair's result."""
        path = self.machine.path(f"{SPOOL}/outbox/{name}.png")
        self.wait_until(lambda: path.exists() and not self.files("work"), f"{name}.png")
        with Image.open(path) as image:
            return np.asarray(image)

    def files(self, folder: str) -> list[str]:
        """The files below a folder of the spool, but for hidden ones."""
        found = files_below(self.machine.path(f"{SPOOL}/{folder}"))
        return [path for path in found if not path.startswith((".", "lock"))]


def inverted(photo: Pixels) -> Pixels:
    """What the tiny network makes of a photo that was dropped."""
    result = photo.copy()
    result[10:40, 20:60] = 255 - photo[10:40, 20:60]
    return result


def write_slow(folder: Path) -> Path:
    """A network that inverts, and takes several seconds over a photo that was dropped as slow."""
    return tiny._write(tiny.InvertHoles(_SLOW_ROUNDS), folder / "slow.pt", {"task": "inpaint"})
