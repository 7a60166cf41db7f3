"""The promises of the one module that renames, syncs, removes and owns."""

import ast
import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.places import Place
from daemon.spool import files
from daemon.spool.files import Ownership
from daemon.spool.layout import Spool, SpoolInUseError, locked

REPOSITORY = Path(__file__).parents[2]


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def at(path: Path) -> Place:
    """A file as a place in its own folder."""
    return Place(path.parent, path.name)


def test_rename_never_replaces_what_is_there(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a", "new"), write(tmp_path / "b", "old")
    with pytest.raises(FileExistsError):
        files.rename(at(source), at(target))
    assert (source.read_text(), target.read_text()) == ("new", "old")


@pytest.mark.parametrize("code", sorted(files._NO_NOREPLACE))
def test_rename_works_where_the_kernel_has_no_rename_without_replacing(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A mock: every file system here has renameat2. The link and the unlink are real.
    monkeypatch.setattr("ctypes.get_errno", lambda: code)
    monkeypatch.setattr(files._libc, "renameat2", lambda *_: -1)
    source, target = write(tmp_path / "a", "new"), tmp_path / "b"
    files.rename(at(source), at(target))
    assert target.read_text() == "new"
    assert not source.exists()
    with pytest.raises(FileExistsError):
        files.rename(at(write(tmp_path / "c", "other")), at(target))


@pytest.fixture
def other_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_move_across_file_systems_leaves_the_file_in_one_place(
    tmp_path: Path, other_disk: Path
) -> None:
    assert other_disk.stat().st_dev != tmp_path.stat().st_dev
    source = tmp_path / "job" / "in" / "picture"
    source.parent.mkdir(parents=True)
    write(source, "pixels").chmod(0o640)
    os.setxattr(source, "user.rating", b"5")
    os.utime(source, (1000, 1000))
    files.move(Place(tmp_path, "job/in/picture"), Place(other_disk, "cat.jpg"))
    assert [p.name for p in other_disk.iterdir()] == ["cat.jpg"]
    assert (other_disk / "cat.jpg").read_text() == "pixels"
    about = (other_disk / "cat.jpg").stat()
    assert (about.st_mtime, stat.S_IMODE(about.st_mode)) == (1000, 0o640)
    assert not source.exists()


def test_a_move_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a", "same"), write(tmp_path / "b", "same")
    files.move(at(source), at(target))
    assert not source.exists()
    assert target.read_text() == "same"


def test_a_move_across_file_systems_that_was_cut_short_is_completed_and_makes_no_twin(
    tmp_path: Path, other_disk: Path
) -> None:
    source, target = write(tmp_path / "a", "same"), write(other_disk / "b", "same")
    files.move(at(source), at(target))
    assert not source.exists()
    assert [(p.name, p.read_text()) for p in other_disk.iterdir()] == [("b", "same")]


def test_a_move_across_file_systems_to_a_name_that_is_taken_changes_nothing(
    tmp_path: Path, other_disk: Path
) -> None:
    source, target = write(tmp_path / "a", "mine"), write(other_disk / "b", "theirs")
    with pytest.raises(FileExistsError):
        files.move(at(source), at(target))
    assert source.read_text() == "mine"
    assert [(p.name, p.read_text()) for p in other_disk.iterdir()] == [("b", "theirs")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up a capability")
@pytest.mark.parametrize("mode", [0o600, 0o444, 0o000])
def test_what_a_crash_left_of_a_copy_goes_whatever_its_mode(
    tmp_path: Path, other_disk: Path, mode: int
) -> None:
    """A copy has the mode of its source, which may be for nobody to write."""
    place = at(write(tmp_path / "a", "pixels"))
    write(other_disk / files._name_while_copied(place), "half").chmod(mode)
    program = (
        "from pathlib import Path; from daemon.places import Place; from daemon.spool import files;"
        f"files.move(Place(Path({str(tmp_path)!r}), 'a'), Place(Path({str(other_disk)!r}), 'b'))"
    )
    powers = "-dac_override,-dac_read_search"
    subprocess.run(
        ["setpriv", "--bounding-set", powers, "--", sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    assert [(p.name, p.read_text()) for p in other_disk.iterdir()] == [("b", "pixels")]


def test_a_published_file_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    source = write(tmp_path / "made", "pixels")
    before = os.umask(0o077)
    try:
        place = files.make_folders(Place(tmp_path, "out/deep"), Ownership())
        files.publish(at(source), place / "cat.png", "job", Ownership())
    finally:
        os.umask(before)
    folder = Path(str(place))
    assert stat.S_IMODE((folder / "cat.png").stat().st_mode) == 0o664
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o2775


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_work_folder_of_somebody_else_is_refused_and_nobody_is_told_to_remove_it(
    tmp_path: Path,
) -> None:
    """It may hold the originals of jobs."""
    os.chown(tmp_path, 65534, -1)
    with pytest.raises(PermissionError) as refused:
        files.require_private(Place(tmp_path))
    told = "it belongs to nobody and not to root; run retouchd as nobody, or move it away"
    assert refused.value.strerror == told
    os.chown(tmp_path, 4242, -1)
    with pytest.raises(PermissionError, match="belongs to 4242"):
        files.require_private(Place(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_published_file_has_its_owner_and_group(tmp_path: Path) -> None:
    owner = Ownership(file_mode=0o640, folder_mode=0o2750, uid=12345, gid=54321)
    folder = tmp_path / "out"
    files.make_folders(at(folder), owner)
    files.publish(at(write(tmp_path / "a", "x")), at(folder / "b"), "job", owner)
    for path, mode in ((folder, 0o2750), (folder / "b", 0o640)):
        about = path.stat()
        assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (12345, 54321, mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up a capability")
def test_a_failing_change_of_owner_is_a_warning_not_a_loss(tmp_path: Path) -> None:
    source = write(tmp_path / "a", "pixels")
    program = (
        "from pathlib import Path; from daemon.places import Place; from daemon.spool import files;"
        f"root = Path({str(tmp_path)!r});"
        f"files.publish(Place(root, {source.name!r}), Place(root, 'b'), 'job',"
        "files.Ownership(gid=54321))"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-chown", "--", sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "b").read_text() == "pixels"
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o664
    assert "owner_not_set" in done.stdout + done.stderr


def test_a_name_appears_only_when_the_whole_file_is_there(tmp_path: Path) -> None:
    target = tmp_path / "cat.png"
    write(target, "somebody's")
    with pytest.raises(FileExistsError):
        made = at(write(tmp_path / "a", "x"))
        files.publish(made, at(target), "job", Ownership())
    assert target.read_text() == "somebody's"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "cat.png"]


def test_a_temporary_that_was_planted_as_a_link_diverts_nothing(tmp_path: Path) -> None:
    victim = write(tmp_path / "victim", "precious")
    (tmp_path / ".retouchd-job").symlink_to(victim)
    made = at(write(tmp_path / "a", "x"))
    files.publish(made, at(tmp_path / "b"), "job", Ownership())
    assert victim.read_text() == "precious"
    assert not (tmp_path / "b").is_symlink()


def test_an_order_of_system_calls_syncs_before_it_shows(tmp_path: Path) -> None:
    """The real calls, as the kernel saw them: mode, content, then the name, then the folder."""
    source = write(tmp_path / "a", "pixels")
    trace = tmp_path / "trace"
    program = (
        "from pathlib import Path; from daemon.places import Place; from daemon.spool import files;"
        f"f = Place(Path({str(tmp_path)!r}));"
        "files.publish(f / 'a', f / 'b', 'job', files.Ownership());"
        "files.sync_folder(f)"
    )
    subprocess.run(
        [
            *("strace", "-y", "-o", str(trace), "-e", "trace=fsync,fchmod,renameat2"),
            *(sys.executable, "-c", program),
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    calls = [
        line.split("(")[0] for line in trace.read_text().splitlines() if str(source.parent) in line
    ]
    assert calls == ["fchmod", "fsync", "renameat2", "fsync"]


def test_a_folder_that_a_crash_left_without_its_mode_gets_it(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir(mode=0o700)
    files.make_folders(Place(tmp_path, "day"), Ownership())
    assert stat.S_IMODE((tmp_path / "day").stat().st_mode) == 0o2775


def test_a_private_folder_that_is_in_use_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir(mode=0o700)
    write(tmp_path / "day" / "note", "mine")
    files.make_folders(Place(tmp_path, "day"), Ownership())
    assert stat.S_IMODE((tmp_path / "day").stat().st_mode) == 0o700


def test_an_error_names_the_whole_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        files.rename(Place(tmp_path, "a/b"), Place(tmp_path, "c"))
    assert caught.value.filename == str(tmp_path / "a")
    with pytest.raises(FileNotFoundError) as caught:
        files.rename(Place(tmp_path, "b"), Place(tmp_path, "c"))
    assert caught.value.filename == str(tmp_path / "b")


PRECIOUS = hashlib.sha256(b"precious").hexdigest()
OPERATIONS = {
    "rename": lambda place, _: files.rename(place, Place(place.root, "new")),
    "rename to it": lambda place, new: files.rename(new, place),
    "move to it": lambda place, new: files.move(new, place),
    "publish": lambda place, new: files.publish(new, place, "job", Ownership()),
    "replace": lambda place, new: files.publish(new, place, "job", Ownership(), replaces=PRECIOUS),
    "write": lambda place, _: files.write_durably(place, b"content"),
    "make folders": lambda place, _: files.make_folders(place, Ownership()),
    "own": lambda place, _: files.own_folder(place.parent, Ownership(folder_mode=0o777)),
    "sync": lambda place, _: files.sync_folder(place.parent),
    "remove": lambda place, _: files.remove_file(place),
    "overwrite": lambda place, _: files.overwrite(place, b"content"),
    "remove folder": lambda place, _: files.remove_folder(place),
    "read": lambda place, _: files.open_regular(place),
    "make": lambda place, _: files.open_new(place),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_no_operation_goes_through_a_link_to_a_folder(
    tmp_path: Path, operation: Callable[[Place, Place], object]
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir(mode=0o755)
    root.mkdir()
    write(outside / "cat.png", "precious").chmod(0o644)
    write(root / "made", "ours")
    (root / "day").symlink_to(outside)
    with pytest.raises(OSError, match="Not a directory"):
        operation(Place(root, "day/cat.png"), Place(root, "made"))
    assert [path.name for path in outside.iterdir()] == ["cat.png"]
    assert (outside / "cat.png").read_text() == "precious"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755
    assert stat.S_IMODE((outside / "cat.png").stat().st_mode) == 0o644


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_no_operation_reaches_what_a_link_with_the_name_leads_to(
    tmp_path: Path, operation: Callable[[Place, Place], object]
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir(mode=0o755)
    root.mkdir()
    write(outside / "cat.png", "precious").chmod(0o644)
    write(root / "made", "ours")
    (root / "cat.png").symlink_to(outside / "cat.png")
    with contextlib.suppress(OSError):
        operation(Place(root, "cat.png"), Place(root, "made"))
    assert [path.name for path in outside.iterdir()] == ["cat.png"]
    assert (outside / "cat.png").read_text() == "precious"
    assert stat.S_IMODE((outside / "cat.png").stat().st_mode) == 0o644


def test_a_spool_has_one_daemon_at_a_time(spool: Spool) -> None:
    with (
        locked(spool),
        pytest.raises(SpoolInUseError, match="another retouchd"),
        locked(spool),
    ):
        pass
    with locked(spool):  # and the next one once the first is gone
        pass


CHANGING = {"rename", "replace", "unlink", "fsync", "chmod", "fchmod", "chown", "fchown", "rmtree"}
CHANGING |= {"renames", "remove", "rmdir", "link", "removedirs", "truncate", "lchown", "move"}


def test_only_one_module_renames_syncs_removes_and_owns() -> None:
    for path in sorted((REPOSITORY / "daemon").rglob("*.py")):
        if path.name == "files.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = ast.unparse(node.func.value)
            if owner == "files" or node.func.attr not in CHANGING:
                continue
            # Lists, processes and dataclasses have verbs of these names too.
            assert owner not in ("os", "shutil"), f"{path.name}:{node.lineno}"
            assert node.func.attr in ("replace", "remove"), f"{path.name}:{node.lineno}"
