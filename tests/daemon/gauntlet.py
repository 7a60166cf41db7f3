"""Has malformed pictures read in a process of its own, so that each death has a name."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from mutations import Malformed

from daemon.reasons import REASONS, Kind

REPOSITORY: Final = Path(__file__).parents[2]
EXAMINER: Final = Path(__file__).with_name("examiner.py")
# An examiner ends itself when a picture takes so long; one that can't is killed a while later.
HANG_S: Final = 60.0
PATIENCE_S: Final = 30.0

# What a small file may cost at most. Of processor time, so that a busy machine changes nothing.
SMALL_FILE_BYTES: Final = 1_000_000
MOST_SECONDS: Final = 5.0
MOST_MORE_MB: Final = 400.0
# A large file may cost some copies of itself beside.
MOST_COPIES: Final = 4

_END_OF_LOG: Final = 2000


@dataclass(frozen=True)
class Outcome:
    """What came of one file: `verdict` is `accepted`, a reason's key, or what went wrong."""

    name: str
    verdict: str
    detail: str = ""
    bytes: int = 0
    seconds: float = 0.0
    more_mb: float = 0.0
    peak_mb: float = 0.0

    def finding(self) -> str | None:
        """What must not be, for whoever reads a failed test; None if all is well."""
        cost = f"{self.seconds} s, {self.more_mb} MB more, {self.bytes} bytes"
        if self.verdict in ("died", "hung", "wrong", "escaped"):
            return f"{self.name} {self.verdict}: {self.detail}"
        is_small = self.bytes < SMALL_FILE_BYTES
        most_mb = MOST_MORE_MB + MOST_COPIES * self.bytes / (1 << 20)
        if self.more_mb > most_mb or (is_small and self.seconds > MOST_SECONDS):
            return f"{self.name} ({self.verdict}) costs too much: {cost}"
        if self.verdict == "out_of_memory" and is_small:
            return f"{self.name} asks for more than 1 GiB ({self.detail}): {cost}"
        if self.verdict != "accepted" and REASONS[self.verdict].kind is Kind.WORLD:
            return f"{self.name} blames the world: {self.detail}"
        return None


class Gauntlet:
    """An examiner and its successors: a context; each `run` gives what came of one file."""

    def __init__(self, environment: dict[str, str] | None = None, hang_s: float = HANG_S) -> None:
        self.deaths = 0
        self._hang_s = hang_s
        self._environment = environment or {}
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Gauntlet":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._folder.cleanup()

    def run(self, malformed: Malformed, role: str | None = None) -> Outcome:
        """Have a spoiled file read in its role, or another."""
        role = role or malformed.role
        return self._ask(f"{malformed} as {role}", {"name": str(malformed), "role": role})

    def run_bytes(self, name: str, data: bytes, role: str = "picture") -> Outcome:
        """Have any bytes read."""
        path = Path(self._folder.name) / "asked"
        path.write_bytes(data)
        return self._ask(f"{name} as {role}", {"path": str(path), "role": role})

    def _ask(self, name: str, question: dict[str, str]) -> Outcome:
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        answer = self._answer(process)
        if answer:
            return Outcome(name, **json.loads(answer))
        is_hung = process.poll() is None
        self._end()
        self.deaths += 1
        log = self._log().read_text(errors="replace")[-_END_OF_LOG:]
        verdict = "hung" if is_hung or "Timeout (" in log else "died"
        return Outcome(name, verdict, f"status {process.returncode}\n{log}")

    def _answer(self, process: subprocess.Popen[str]) -> str:
        """The next line, or nothing when the process has ended or says nothing."""
        out: IO[str] | None = process.stdout
        assert out is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(out, selectors.EVENT_READ)
            if not waiting.select(self._hang_s + PATIENCE_S):
                return ""
        line = out.readline()
        if not line:
            process.wait()
        return line

    def _start(self) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "TMPDIR": self._folder.name,
            "OMP_NUM_THREADS": "1",
            **self._environment,
        }
        with self._log().open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", str(EXAMINER), str(self._hang_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        if self._answer(self._process) != "ready\n":
            raise RuntimeError(f"the examiner does not start: {self._log().read_text()}")
        return self._process

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None

    def _log(self) -> Path:
        return Path(self._folder.name) / "log"
