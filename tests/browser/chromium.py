"""A real Chromium without a window, driven over its DevTools protocol.

It speaks over a pair of pipes, so nothing but the browser itself is needed.
https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

PATIENCE_S = 60.0
# The numbers of the pipes as Chromium has them, and a number beyond all that it has itself.
_ITS_EAR, _ITS_VOICE, _FREE = 3, 4, 100
# No network: nothing may be asked for, not even by the browser itself.
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND", "--lang=en-GB"),
    *("--force-color-profile=srgb", "--hide-scrollbars"),
)


class BrowserError(Exception):
    """The browser does not answer, or answers with an error."""


@dataclass
class Chromium:
    """A browser; `said` are the events that have come and nobody has asked for yet."""

    process: "subprocess.Popen[bytes]"
    voice: int
    ear: int
    said: list[dict[str, Any]] = field(default_factory=list)
    _sent: int = 0
    _unread: bytes = b""

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Have it do something; returns its answer."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.voice, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            heard = self._hear(deadline)
            if heard.get("id") == self._sent:
                if "error" in heard:
                    raise BrowserError(f"{method}: {heard['error']}")
                return dict(heard["result"])
            self.said.append(heard)

    def wait_for(self, session: str, event: str) -> dict[str, Any]:
        """The next event of a name in a session."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for at, heard in enumerate(self.said):
                if heard.get("method") == event and heard.get("sessionId") == session:
                    return dict(self.said.pop(at)["params"])
            self.said.append(self._hear(deadline))

    def _hear(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.ear], [], [], left)[0]:
                raise BrowserError("the browser is silent")
            chunk = os.read(self.ear, 1 << 20)
            if not chunk:
                raise BrowserError("the browser has ended")
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(message))

    def opened(self, url: str, width: int = 1280, height: int = 900, **media: str) -> "Page":
        """A new page of that size, loaded. `media` as in `Page.look`."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.look(width, height, **media)
        page.go(url)
        return page


@dataclass
class Page:
    """A page in a browser."""

    browser: Chromium
    session: str

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.ask(method, self.session, **parameters)

    def look(
        self, width: int, height: int, *, scheme: str = "light", medium: str = "screen"
    ) -> None:
        """How large the window is, in which colours and on what it shows."""
        is_phone = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=medium, features=features)

    def go(self, url: str) -> float:
        """Load a page; returns after how many seconds it was there, pictures and all."""
        began = time.monotonic()
        self.ask("Page.navigate", url=url)
        self.browser.wait_for(self.session, "Page.loadEventFired")
        return time.monotonic() - began

    def value(self, script: str) -> Any:
        """What an expression is in the page; promises are waited for."""
        given = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in given:
            raise BrowserError(json.dumps(given["exceptionDetails"])[:600])
        return given["result"].get("value")

    def mouse(self, kind: Literal["Pressed", "Moved", "Released"], x: float, y: float) -> None:
        """A real pointer event, as of a hand."""
        held = 0 if kind == "Released" else 1
        self.ask(
            "Input.dispatchMouseEvent",
            type=f"mouse{kind}",
            x=x,
            y=y,
            button="left",
            buttons=held,
            clickCount=1,
        )

    def press(self, key: str, code: int) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def picture(self, path: Path | None = None, quality: int = 80) -> bytes:
        """A picture of what the window shows, as JPEG."""
        given = self.ask("Page.captureScreenshot", format="jpeg", quality=quality)
        content = base64.b64decode(given["data"])
        if path:
            path.write_bytes(content)
        return content

    def complaints(self) -> list[str]:
        """What the browser has complained of in its console: errors, and what it has refused."""
        told = [each for each in self.browser.said if each.get("sessionId") == self.session]
        return [
            json.dumps(each["params"])
            for each in told
            if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]

    def asked_for(self) -> set[str]:
        """The addresses of all that the page has wanted to load."""
        return {
            each["params"]["request"]["url"]
            for each in self.browser.said
            if each.get("sessionId") == self.session
            and each["method"] == "Network.requestWillBeSent"
        }


@contextmanager
def running(profile: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own, gone at the end."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise BrowserError("there is no Chromium here. On Debian: apt-get install chromium")
    (its_ear, voice), (ear, its_voice) = os.pipe(), os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, _FREE) for fd in (its_ear, its_voice)]

    def give_pipes() -> None:
        os.dup2(high[0], _ITS_EAR)
        os.dup2(high[1], _ITS_VOICE)

    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={profile}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=give_pipes,
        env={**os.environ, "TZ": "UTC", "HOME": str(profile)},
    )
    for fd in (its_ear, its_voice, *high):
        os.close(fd)
    browser = Chromium(process, voice, ear)
    try:
        yield browser
        browser.ask("Browser.close")
    finally:
        process.kill()
        process.wait()
        for fd in (voice, ear):
            os.close(fd)
