"""How `make` finds a Python, and what it says where there is none."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _find(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "requirements/python.sh", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _stand_in(folder: Path, name: str, version: str) -> str:
    """A program that answers as a Python of that version would, by the real one's rules."""
    program = folder / name
    program.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c "
        f'"import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2"\n'
    )
    program.chmod(0o755)
    return str(program)


def test_named_python_is_taken(tmp_path: Path) -> None:
    python = _stand_in(tmp_path, "mine", "(3, 12, 1)")
    found = _find(python)
    assert (found.returncode, found.stdout.strip()) == (0, python)


def test_named_python_of_another_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for version in ("(3, 10, 9)", "(3, 14, 0)"):
        python = _stand_in(tmp_path, "other", version)
        found = _find(python)
        assert found.returncode == 1
        assert found.stderr.strip() == (
            f"retouchd needs Python 3.11, 3.12 or 3.13, and {python} is none of these."
        )


def test_missing_python_is_refused_in_a_sentence() -> None:
    found = _find("/nonexistent/python3")
    assert found.returncode == 1
    assert "none of these" in found.stderr


def test_python_is_found_on_this_machine() -> None:
    found = _find()
    assert found.returncode == 0
    assert Path(found.stdout.strip()).exists()
