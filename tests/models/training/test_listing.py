"""Every picture under a folder is listed, or named with the reason why it isn't."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.training.listing import pictures_under
from models.training.pack import PackError

ROOT = Path(__file__).parents[3]
NOBODY = 65534


def _names(root: Path, said: list[str]) -> list[str]:
    return [path.name for path in pictures_under(root, said.append)]


def test_hidden_and_other_files_are_passed_over_without_a_word(tmp_path: Path) -> None:
    (tmp_path / ".trash").mkdir()
    for name in ("b.JPG", "a.png", "notes.txt", "._a.png", ".trash/c.png"):
        (tmp_path / name).touch()
    said: list[str] = []
    assert _names(tmp_path, said) == ["a.png", "b.JPG"]
    assert said == []


def test_links_are_followed_to_files_and_the_rest_is_named(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "far.jpg").touch()
    (root / "linked.jpg").symlink_to(tmp_path / "far.jpg")
    (root / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "album").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.jpg")
    said: list[str] = []
    assert _names(root, said) == ["linked.jpg"]
    reasons = {Path(line.split(":")[0]).name: line for line in said}
    assert "is a link that leads nowhere" in reasons["dangling.jpg"]
    assert "is no ordinary file" in reasons["pipe.jpg"]
    assert "is a link to a folder" in reasons["album"]
    assert len(said) == 3


def test_name_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").touch()
    (tmp_path / os.fsdecode(b"latin\xe9.jpg")).touch()
    said: list[str] = []
    assert _names(tmp_path, said) == ["good.jpg"]
    assert len(said) == 1
    assert "its name is not in UTF-8. Rename it. It was left out." in said[0]


def test_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    """In a process that is not root's, since root may read everything."""
    (tmp_path / "locked").mkdir()
    for name in ("good.jpg", "locked/hidden.jpg"):
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    (tmp_path / "locked").chmod(0)
    code = (
        "import os\n"
        "from pathlib import Path\n"
        "from models.training.listing import pictures_under\n"
        f"if os.getuid() == 0: os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "print(*(path.name for path in pictures_under(Path(), print)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    (tmp_path / "locked").chmod(0o755)
    said, found = done.stdout.splitlines()
    assert said.startswith("locked: can't be read (Permission denied) and was left out.")
    assert found == "good.jpg"


def test_empty_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="holds no pictures"):
        pictures_under(tmp_path, print)
    with pytest.raises(PackError, match="there is no such folder"):
        pictures_under(tmp_path / "nowhere", print)
