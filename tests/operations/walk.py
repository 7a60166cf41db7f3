"""A newcomer at a terminal: follows a page of docs/operations block by block, and looks.

A page's code blocks say by their first line what is to be done with them:

- `sh`: commands, typed in order into one shell; each must succeed.
- `text`: what the block before it printed. Each line that the page gives stands in the output, in
  whatever order; `…` in it is anything. `text soon`: perhaps not at once, so the commands are typed
  again until it does.
- `LANGUAGE /a/path`: what is to be written into that file. `LANGUAGE add /a/path`: what is to be
  added to its end.
"""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol

OPERATIONS: Final = Path(__file__).parents[2] / "docs" / "operations"
PAGES: Final = sorted(OPERATIONS.glob("*.md"))

_FENCE: Final = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SOON_S: Final = 60.0
# The longest command is `make install`, on a machine that may be busy.
_PATIENCE_S: Final = 400.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class WalkError(AssertionError):
    """A page's step did not do, or not show, what the page says."""


@dataclass(frozen=True)
class Step:
    """One code block: what is to be done with it, its text, and where on the page it stands."""

    kind: Literal["run", "see", "see soon", "write", "add"]
    text: str
    file: str
    line: int


def steps_of(page: Path) -> list[Step]:
    """A page's code blocks in order. Raises `WalkError` for one that says nothing known."""
    text = page.read_text("utf-8")
    return [
        _step(page, found[2].split(), found[3], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def _step(page: Path, words: Sequence[str], text: str, line: int) -> Step:
    match words:
        case ["sh"]:
            return Step("run", text, "", line)
        case ["text"]:
            return Step("see", text, "", line)
        case ["text", "soon"]:
            return Step("see soon", text, "", line)
        case [_, path] if path.startswith("/"):
            return Step("write", text, path, line)
        case [_, "add", path] if path.startswith("/"):
            return Step("add", text, path, line)
    raise WalkError(f"{page.name}:{line}: a code block that no test runs or checks: {words}")


class Computer(Protocol):
    """What a newcomer sits at: a booted machine, whose files can be reached from outside."""

    def path(self, inside: str) -> Path:
        """Where a file of the machine lies, as seen from outside."""

    def run(
        self,
        line: str,
        *,
        check: bool = ...,
        timeout_s: float = ...,
        variables: dict[str, str] | None = ...,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell line inside, as root."""


class Terminal:
    """Root's shell: it stays where it is led to, and a failing command is the end."""

    def __init__(self, computer: Computer, variables: dict[str, str] | None = None) -> None:
        self._computer = computer
        self._variables = variables or {}

    def type(self, commands: str, answers: str = "", *, may_fail: bool = False) -> str:
        """Run commands; gives what they print. `answers` are typed where they ask for something."""
        self.write("/root/.commands", commands)
        self.write("/root/.answers", answers)
        line = """
            set -eu -o pipefail
            cd "$(cat /root/.where 2>/dev/null || echo /root)"
            . /root/.commands </root/.answers
            pwd >/root/.where
        """
        done = self._computer.run(
            f"{{ {line} }} 2>&1", check=False, timeout_s=_PATIENCE_S, variables=self._variables
        )
        if done.returncode and not may_fail:
            raise WalkError(f"$ {commands}\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, path: str, text: str, *, is_added: bool = False) -> None:
        """Write a file of the machine, as an editor does, or add to it."""
        file = self._computer.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a" if is_added else "w", encoding="utf-8") as stream:
            stream.write(text)


def follow(
    page: Path,
    terminal: Terminal,
    *,
    answers: Mapping[str, str] = _NOTHING,
    bridges: Mapping[str, str] = _NOTHING,
) -> None:
    """Do all that a page says, in order, and see what it says one sees.

    `answers` are typed into a block of commands that holds their key. `bridges` replaces words of
    the page, where the world that they mean is not here. Each key must stand on the page.
    """
    steps = steps_of(page)
    everything = page.read_text("utf-8")
    for word in (*answers, *bridges):
        if word not in everything:
            raise WalkError(f"{page.name}: nothing says {word!r} any more")
    commands = typed = output = ""
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        text = step.text
        for word, instead in bridges.items():
            text = text.replace(word, instead)
        try:
            if step.kind == "run":
                typed = "".join(answer for word, answer in answers.items() if word in text)
                is_early = after is not None and after.kind == "see soon"
                commands, output = text, terminal.type(text, typed, may_fail=is_early)
            elif step.kind in ("see", "see soon"):
                _see(text, output, _again(terminal, commands, typed, step.kind == "see soon"))
            else:
                terminal.write(step.file, text, is_added=step.kind == "add")
        except WalkError as error:
            raise WalkError(f"{page.name}:{step.line}: {error}") from None


def _again(terminal: Terminal, commands: str, typed: str, is_soon: bool) -> Iterator[str]:
    deadline = time.monotonic() + _SOON_S
    while is_soon and time.monotonic() < deadline:
        time.sleep(0.5)
        yield terminal.type(commands, typed, may_fail=True)


def _see(expected: str, output: str, later: Iterator[str]) -> None:
    while not shows(output, expected):
        try:
            output = next(later)
        except StopIteration:
            raise WalkError(f"not seen:\n{expected}\nbut:\n{output}") from None


def shows(output: str, expected: str) -> bool:
    """Whether all lines of `expected` stand in `output`, in any order; `…` is anything."""
    patterns = (
        r"[^\n]*".join(_loosely(part) for part in line.strip().split("…"))
        for line in expected.splitlines()
    )
    return all(re.search(pattern, output) for pattern in patterns)


def _loosely(part: str) -> str:
    """Runs of spaces, which align columns, may be of any length."""
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", part))
