"""A terminal of a known size, in tmux: what a person would see in it, as text and as a picture."""

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import rich.console
from rich.text import Text

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Terminal:
    """One in which a command runs; `socket` is its server's own."""

    socket: Path
    width: int
    height: int

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Run a command, and say how it ended; then stay."""
        own = {"LANG": "C.UTF-8", **variables}
        # What says of another terminal how large it is, and of what kind.
        others = ("TERM", "TMUX", "COLUMNS", "LINES")
        given = [f"{name}={value}" for name, value in own.items() if name not in others]
        within = shlex.join(["env", "-u", "COLUMNS", "-u", "LINES", *given, *command])
        line = f"trap : INT; {within}; echo ended with $?; sleep 1000"
        size = ["-x", str(self.width), "-y", str(self.height)]
        self._tmux("-u", "new-session", "-d", *size, "sh", "-c", line)

    def press(self, key: str) -> None:
        """As a person would; `C-c` interrupts."""
        self._tmux("send-keys", key)

    def text(self) -> str:
        """What is to be read now."""
        return self._tmux("capture-pane", "-p")

    def picture(self, title: str) -> str:
        """What is to be seen now, as SVG that loads nothing from elsewhere."""
        console = rich.console.Console(
            file=StringIO(), record=True, width=self.width, force_terminal=True
        )
        seen = self._tmux("capture-pane", "-p", "-e").rstrip("\n")
        console.print(Text.from_ansi(seen), soft_wrap=False)
        svg = console.export_svg(title=title, unique_id="terminal")
        return re.sub(r"@font-face \{.*?\}\n|<!--.*?-->", "", svg, flags=re.DOTALL)

    def wait_for(self, is_there: Callable[[str], bool], what: str) -> str:
        """Wait until something is to be read."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_there(text := self.text()):
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{text}"
            time.sleep(0.05)
        return text


@contextmanager
def opened_terminal(folder: Path, width: int = 100, height: int = 34) -> Iterator[Terminal]:
    """A terminal that is gone in the end."""
    terminal = Terminal(folder / "t", width, height)
    try:
        yield terminal
    finally:
        command = ["tmux", "-S", str(terminal.socket), "kill-server"]
        subprocess.run(command, check=False, capture_output=True)
