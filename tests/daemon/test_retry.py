"""`retouchd retry`: what failed goes back to where it came from, and nothing else is touched."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outside import Outside
from rooms import Rooms
from test_jobs import MARKER, MASK, PICTURE, drop, drop_marked, tree

from daemon import cli
from daemon.intake.pairing import Pair, pair_up
from daemon.intake.scan import Identity, scan
from daemon.people import retry as retry_module
from daemon.people.retry import UnclearError, outcomes_of
from daemon.people.standpoint import user_of
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.fallen import Fallen, find_fallen
from daemon.spool.layout import Spool, locked, open_spool
from daemon.spool.numbers import number_in, numbered, without_number
from daemon.spool.putting_away import decide_to_fail
from daemon.spool.record import Original
from daemon.spool.returning import return_to_inbox

NOBODY = 65534
TROUBLE = Trouble("mask_covers_everything")


def fail(spool: Spool, pair: Pair, trouble: Trouble = TROUBLE) -> None:
    """Have a pair end in failed/, as the daemon does it."""
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    jobs.fail(spool, record, trouble)


def failed(spool: Spool, *names: str) -> None:
    for name in names:
        fail(spool, drop(spool, name))


def failed_pair(spool: Spool, picture: str, companion: str) -> None:
    """Have a pair of any names fail."""
    for path, content in ((picture, PICTURE), (companion, MASK)):
        (spool.inbox / path).parent.mkdir(parents=True, exist_ok=True)
        (spool.inbox / path).write_bytes(content)
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    fail(spool, pair)


def ask(spool: Spool, *asked: str, reason: str | None = None) -> tuple[bool, list[str]]:
    outcomes = list(outcomes_of(spool, asked, reason, user_of(os.geteuid())))
    return all(outcome.is_back for outcome in outcomes), [outcome.says for outcome in outcomes]


def names(root: Path) -> list[str]:
    return sorted(tree(root))


def test_a_pair_goes_back_to_where_it_came_from_and_its_note_goes(spool: Spool) -> None:
    failed(spool, "day 1/cat")
    assert ask(spool) == (True, ["back: day 1/cat.jpg and day 1/cat_mask.png"])
    assert tree(spool.inbox) == {"day 1/cat.jpg": PICTURE, "day 1/cat_mask.png": MASK}
    assert names(spool.failed) == []


def test_the_time_of_a_file_stays(spool: Spool) -> None:
    failed(spool, "cat")
    before = (spool.failed / "cat.jpg").stat()
    ask(spool)
    after = (spool.inbox / "cat.jpg").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    ("picture", "companion"),
    [
        ("cat.jpg", "cat_mask.png"),
        ("cat.jpg", "CAT.JPG.mask.png"),
        ("a.2.jpg", "a.2_mask.png"),
        ("a.2.3.jpg", "A.2.3-trimap.tif"),
        ("images/day/cat.jpg", "masks/day/cat.png"),
        ("shoot/images/cafe\u0301.jpg", "shoot/Masks/caf\u00e9_mask.png"),
        (os.fsdecode(b"\xff: x\n.jpg"), os.fsdecode(b"\xff: x\n_mask.png")),
    ],
)
def test_names_that_got_a_number_get_their_own_back(
    picture: str, companion: str, spool: Spool
) -> None:
    for times in (1, 2, 3):
        failed_pair(spool, picture, companion)
        assert len(names(spool.failed)) == 3 * times
    for left in (2, 1, 0):
        last = find_fallen(spool)[-1]
        assert sorted(last.homes) == sorted((picture, companion))
        return_to_inbox(spool, last)
        assert names(spool.inbox) == sorted((picture, companion))
        assert len(names(spool.failed)) == 3 * left
        for name in (picture, companion):
            (spool.inbox / name).unlink()


tails = st.sampled_from((".jpg", ".PNG", "_mask.png", ".mask.tif", ""))
bases = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(bases.filter(lambda base: len(base.encode()) < 200), tails, st.integers(1, 12))
def test_a_number_that_was_put_into_a_name_is_taken_out_again(
    base: str, tail: str, number: int
) -> None:
    picture = numbered(Original(f"{base}.jpg", ".jpg", "picture", Identity(0, 0, 0, 0)), number)
    assert number_in(picture, f"{base}.jpg") == number
    other = numbered(Original(base + tail, tail, "companion", Identity(0, 0, 0, 0)), number)
    assert without_number(other, base, number) == base + tail


@pytest.mark.parametrize("name", ["cat.1.jpg", "cat.02.jpg", "cat.x.jpg", "cat.2.png", "dog.2.jpg"])
def test_a_name_that_did_not_come_from_another_has_no_number_of_it(name: str) -> None:
    assert number_in(name, "cat.jpg") is None


def test_without_its_note_a_pair_keeps_the_names_it_has_and_that_is_said(spool: Spool) -> None:
    failed(spool, "cat", "cat")
    for note in spool.failed.glob("*.reason.txt"):
        note.unlink()
    is_well, said = ask(spool)
    assert is_well
    assert said[0].startswith("back: cat.2.jpg and cat.2_mask.png (under the names")
    assert said[1] == "back: cat.jpg and cat_mask.png"
    assert len(pair_up(scan(spool.inbox).pictures).pairs) == 2


def test_a_long_name_that_was_cut_for_its_number_is_whole_again(spool: Spool) -> None:
    base = "x" * (255 - len("_mask.png"))
    failed(spool, base, base)
    for _ in range(2):
        return_to_inbox(spool, find_fallen(spool)[-1])
        assert names(spool.inbox) == [f"{base}.jpg", f"{base}_mask.png"]
        for name in names(spool.inbox):
            (spool.inbox / name).unlink()


def test_what_lies_in_the_inbox_now_is_never_replaced(spool: Spool) -> None:
    failed(spool, "cat", "dog")
    (spool.inbox / "cat_mask.png").write_bytes(b"a newer mask")
    is_well, said = ask(spool)
    assert not is_well
    assert "another cat_mask.png lies in the inbox now" in said[0]
    assert said[1] == "back: dog.jpg and dog_mask.png"
    assert tree(spool.inbox)["cat_mask.png"] == b"a newer mask"
    assert names(spool.failed) == ["cat.jpg", "cat.jpg.reason.txt", "cat_mask.png"]


def test_a_marker_goes_with_its_pair(spool: Spool) -> None:
    fail(spool, drop_marked(spool))
    ask(spool)
    assert tree(spool.inbox) == {
        "cat.jpg": PICTURE,
        "cat.jpg.done": MARKER,
        "cat_mask.png": MASK,
    }


@pytest.mark.parametrize(
    "asked",
    [
        *("{failed}/a/cat.jpg", "{failed}/a/cat_mask.png", "{failed}/a/cat.jpg.reason.txt"),
        *("{failed}/a", "a", "a/cat.jpg", "a/cat_mask.png", "{inbox}/a/cat.jpg", "a/"),
    ],
)
def test_what_is_named_goes_back_and_nothing_else(asked: str, spool: Spool) -> None:
    failed(spool, "a/cat", "b/cat", "ab")
    assert ask(spool, asked.format(failed=spool.failed, inbox=spool.inbox))[0]
    assert names(spool.inbox) == ["a/cat.jpg", "a/cat_mask.png"]


def test_a_path_from_the_current_folder_is_meant_too(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(spool, "a/cat", "b/cat")
    monkeypatch.chdir(spool.failed / "b")
    assert ask(spool, "cat.jpg")[0]
    assert names(spool.inbox) == ["b/cat.jpg", "b/cat_mask.png"]


@pytest.mark.parametrize("asked", [".", "..", "./", "a/..", "../inbox"])
def test_a_dot_elsewhere_does_not_mean_all_that_failed(
    asked: str, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "far" / "away")
    failed(spool, "a/cat")
    assert not ask(spool, asked)[0]
    assert names(spool.inbox) == []


def test_a_dot_in_failed_means_the_folder_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(spool, "a/cat", "b/cat")
    monkeypatch.chdir(spool.failed / "b")
    assert ask(spool, ".")[0]
    assert names(spool.inbox) == ["b/cat.jpg", "b/cat_mask.png"]


@pytest.mark.parametrize("asked", [".", "../b", "cat.jpg", "../b/cat_mask.png"])
@pytest.mark.parametrize("room", ["failed", "inbox"])
@pytest.mark.parametrize("link", ["", "link"])
def test_what_lies_at_the_path_from_here_is_meant_before_all_else(
    asked: str, room: str, link: str, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(spool, "cat", "a/cat", "b/cat")
    monkeypatch.chdir(getattr(spool, room) / "b")
    if link:
        (spool.inbox.parent.with_name(link)).symlink_to(spool.inbox.parent)
        spool = open_spool(Settings(spool=spool.inbox.parent.with_name(link)))
    assert ask(spool, asked)[0]
    assert names(spool.inbox) == ["b/cat.jpg", "b/cat_mask.png"]


def test_one_may_stand_in_a_folder_that_is_gone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(spool, "a/cat", "b/cat", "b/dog")
    monkeypatch.chdir(spool.failed / "b")
    assert ask(spool, ".")[0]
    assert not (spool.failed / "b").exists()
    assert ask(spool, ".") == (False, [".: nothing of that name lies in failed/."])
    assert ask(spool, "a/cat.jpg")[0]


@pytest.mark.parametrize(
    "asked", ["size.jpg", "./size.jpg", "size_mask.png", "bad/size.jpg", "size.jpg.reason.txt"]
)
def test_a_name_that_is_there_once_is_meant_wherever_it_lies(asked: str, spool: Spool) -> None:
    failed(spool, "far/bad/size", "far/bad/oversize")
    assert ask(spool, asked)[0]
    assert names(spool.inbox) == ["far/bad/size.jpg", "far/bad/size_mask.png"]


def test_of_several_of_a_name_none_goes_back_and_all_are_listed(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(spool, "a/size", "b/size", "dog")
    root = str(spool.inbox.parent)
    assert cli.main(["retry", "dog.jpg", "size.jpg", "--spool", root]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{spool.failed}/a/size.jpg" in shown.err
    assert f"{spool.failed}/b/size.jpg" in shown.err
    assert names(spool.inbox) == []
    assert cli.main(["retry", f"{spool.failed}/a/size.jpg", "--spool", root]) == 0


def test_of_a_name_at_the_top_the_one_there_is_meant(spool: Spool) -> None:
    failed(spool, "size", "a/size")
    assert ask(spool, "size.jpg") == (True, ["back: size.jpg and size_mask.png"])


@pytest.mark.parametrize("asked", ["COFFEE.JPG", "coffe.jpg", "day/coffee.png"])
def test_a_name_with_a_slip_is_told_what_is_near(asked: str, spool: Spool) -> None:
    failed(spool, "bad/coffee", "tea")
    is_well, said = ask(spool, asked)
    assert not is_well
    assert said[0].endswith("lies in failed/. Is bad/coffee.jpg meant?")
    assert names(spool.inbox) == []


@pytest.mark.parametrize("form", ["{}", "day/{}", "{failed}/day/{}", "{inbox}/day/{}"])
def test_a_name_is_taken_as_it_is_shown(form: str, spool: Spool) -> None:
    failed(spool, os.fsdecode(b"day/lonely\nline\xe9"))
    assert ask(spool, form.format(r"lonely\nline\xe9.jpg", failed=spool.failed, inbox=spool.inbox))[
        0
    ]
    assert len(names(spool.inbox)) == 2


def test_folders_that_are_left_empty_go_and_no_others(spool: Spool) -> None:
    failed(spool, "a/b/cat", "a/dog", "day/cow")
    (spool.failed / "mine").mkdir()
    (spool.failed / "day/notes.txt").write_text("mine")
    assert ask(spool, "a/b/cat.jpg", "day")[0]
    assert sorted(path.name for path in spool.failed.iterdir()) == ["a", "day", "mine"]
    assert sorted(path.name for path in (spool.failed / "a").iterdir()) == [
        *("dog.jpg", "dog.jpg.reason.txt", "dog_mask.png"),
    ]
    assert [path.name for path in (spool.failed / "day").iterdir()] == ["notes.txt"]
    assert ask(spool)[0]
    assert sorted(path.name for path in spool.failed.iterdir()) == ["day", "mine"]


def test_a_folder_of_which_something_was_left_stays(spool: Spool) -> None:
    failed(spool, "day/cat")
    (spool.inbox / "day/cat.jpg").write_bytes(b"a newer one")
    assert not ask(spool)[0]
    assert len(names(spool.failed / "day")) == 3


def test_only_what_failed_for_a_reason_goes_back(spool: Spool) -> None:
    failed(spool, "cat")
    fail(spool, drop(spool, "dog"), Trouble("out_of_memory", attempts=3, detail="x"))
    assert ask(spool, reason="out_of_memory") == (True, ["back: dog.jpg and dog_mask.png"])
    assert ask(spool, "cat.jpg", reason="corrupt")[0] is False
    assert names(spool.inbox) == ["dog.jpg", "dog_mask.png"]


def test_a_name_that_is_not_there_is_told(spool: Spool) -> None:
    is_well, said = ask(spool, "nothing.jpg")
    assert not is_well
    assert said == ["nothing.jpg: nothing of that name lies in failed/."]
    assert ask(spool) == (True, ["Nothing lies in failed/."])


@pytest.mark.parametrize("top", ["stray", "unplaced", "unplaced.2"])
def test_what_has_no_path_to_go_back_to_is_explained_and_left(top: str, spool: Spool) -> None:
    folder = spool.failed / top / "20261122T065415-8b593955"
    folder.mkdir(parents=True)
    for name in ("picture", "companion", "picture.reason.txt"):
        (folder / name).write_text("x")
    is_well, said = ask(spool)
    assert not is_well
    assert "has no path to go back to" in said[0]
    assert names(spool.inbox) == []
    assert len(names(spool.failed)) == 3


def test_a_folder_of_the_inbox_that_is_named_like_ours_is_none_of_ours(spool: Spool) -> None:
    failed(spool, "stray/cat", "unplaced/x/cat")
    assert ask(spool)[0]
    assert len(names(spool.inbox)) == 4


def test_what_a_daemon_is_just_putting_there_is_left_alone(spool: Spool) -> None:
    pair = drop(spool)
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    decided = decide_to_fail(spool, record, TROUBLE)
    # As in the midst of it: the picture is there, its mask and the note are not yet.
    (spool.work / record.job / "in" / "picture").rename(spool.failed / "cat.jpg")
    assert find_fallen(spool) == []
    jobs.settle(spool, decided)
    assert ask(spool)[0]


# Strangers may write in failed/.


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    outside = Outside(tmp_path / "outside")
    yield outside
    outside.check()
    outside.close()


def test_links_in_failed_lead_nowhere(spool: Spool, outside: Outside) -> None:
    (spool.failed / "cat.jpg").symlink_to(outside.folder / "cat.jpg")
    (spool.failed / "day").symlink_to(outside.folder)
    (spool.failed / "cat.jpg.reason.txt").symlink_to(outside.secret)
    assert ask(spool) == (True, ["Nothing lies in failed/."])
    assert names(spool.inbox) == []


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    spool: Spool, outside: Outside
) -> None:
    failed(spool, "day/cat")
    (fallen,) = find_fallen(spool)
    (spool.failed / "day").rename(spool.failed / "gone")
    (spool.failed / "day").symlink_to(outside.folder)
    with pytest.raises(OSError):
        return_to_inbox(spool, fallen)
    assert names(spool.inbox) == []


def test_a_folder_of_the_inbox_that_is_a_link_leads_nowhere(spool: Spool, outside: Outside) -> None:
    failed(spool, "day/cat")
    (spool.inbox / "day").rmdir()
    (spool.inbox / "day").symlink_to(outside.folder)
    is_well, said = ask(spool)
    assert not is_well
    assert said[0].startswith("left: day/cat.jpg and day/cat_mask.png: ")
    assert len(names(spool.failed)) == 3


@pytest.mark.parametrize(
    "listed", ["../../outside/secret.png", "/etc/passwd", "", ".", "..", "cat.jpg\n  dog.jpg"]
)
def test_a_forged_note_leads_nowhere(listed: str, spool: Spool, outside: Outside) -> None:
    failed(spool, "cat", "dog")
    note = spool.failed / "cat.jpg.reason.txt"
    note.write_text(note.read_text().replace("  cat_mask.png\n", f"  {listed}\n"))
    assert ask(spool)[0]
    assert names(spool.inbox) == ["cat.jpg", "cat_mask.png", "dog.jpg", "dog_mask.png"]


def test_a_title_that_was_forged_renames_nothing(spool: Spool) -> None:
    failed(spool, "cat")
    note = spool.failed / "cat.jpg.reason.txt"
    note.write_text(note.read_text().replace("cat.jpg: ", "../../x.jpg: "))
    ask(spool)
    assert names(spool.inbox) == ["cat.jpg", "cat_mask.png"]


def test_a_note_that_is_a_folder_or_a_pipe_keeps_nobody(spool: Spool) -> None:
    failed(spool, "cat", "dog")
    (spool.failed / "cat.jpg.reason.txt").unlink()
    (spool.failed / "cat.jpg.reason.txt").mkdir()
    (spool.failed / "dog.jpg.reason.txt").unlink()
    os.mkfifo(spool.failed / "dog.jpg.reason.txt")
    assert ask(spool)[0]
    assert len(names(spool.inbox)) == 4


# Rights, and the daemon.


@pytest.fixture
def reachable() -> Iterator[Spool]:
    """A spool to which anyone has a way; pytest's own folders are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield open_spool(Settings(spool=Path(folder) / "spool", folder_mode=0o755))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_who_may_not_move_them_is_told_as_whom_to_run_it(reachable: Spool) -> None:
    failed(reachable, "cat")
    os.seteuid(NOBODY)
    try:
        is_well, said = ask(reachable)
    finally:
        os.seteuid(0)
    assert not is_well
    assert "this user may not move" in said[0]
    assert "retouchd retry" in said[0]
    assert len(names(reachable.failed)) == 3


def test_a_running_daemon_takes_what_came_back(rooms: Rooms) -> None:
    record = rooms.claimed()
    rooms.troubles.fail(record, TROUBLE)
    rooms.inbox.look()
    assert rooms.queue.next_record() is None
    with locked(rooms.spool):
        assert ask(rooms.spool)[0]
    rooms.inbox.look()
    assert rooms.turn().picture.path == "cat.jpg"


@pytest.fixture
def rooms(spool: Spool) -> Rooms:
    return Rooms(spool)


def test_the_command_prints_a_line_a_pair_and_its_status(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(spool, "cat", "dog")
    root = str(spool.inbox.parent)
    assert cli.main(["retry", "cat.jpg", "--spool", root]) == 0
    assert capsys.readouterr().out == "back: cat.jpg and cat_mask.png\n"
    assert cli.main(["retry", "cat.jpg", "--spool", root]) == 1
    assert "nothing of that name" in capsys.readouterr().out
    assert cli.main(["retry", "--reason", "mask_covers_everything", "--spool", root]) == 0
    with pytest.raises(SystemExit) as end:
        cli.main(["retry", "--reason", "bad luck", "--spool", root])
    assert end.value.code == 2


def test_who_presses_ctrl_c_is_told_what_is_back_already(
    spool: Spool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(spool, "cat", "dog")

    def one(spool: Spool, fallen: Fallen) -> bool:
        if any(spool.inbox.iterdir()):
            raise KeyboardInterrupt  # as the signal would, at a moment of our choice
        return return_to_inbox(spool, fallen)

    monkeypatch.setattr(retry_module, "return_to_inbox", one)
    with pytest.raises(KeyboardInterrupt):
        cli.main(["retry", "--spool", str(spool.inbox.parent)])
    assert capsys.readouterr().out == "back: cat.jpg and cat_mask.png\n"


def test_the_name_in_failed_is_meant_before_what_was_called_so(spool: Spool) -> None:
    failed(spool, "cat", "cat", "cat")
    assert names(spool.failed)[-1] == "cat_mask.png"
    assert ask(spool, "cat.jpg") == (True, ["back: cat.jpg and cat_mask.png"])
    assert "cat.2.jpg" in names(spool.failed)
    with pytest.raises(UnclearError, match=r"cat\.jpg is the name of 2 pairs"):
        ask(spool, "cat.jpg")


def test_of_the_same_files_a_second_time_it_is_said_that_they_lay_there(spool: Spool) -> None:
    failed(spool, "cat", "cat")
    ask(spool, "cat.jpg")
    assert ask(spool, "cat.2.jpg") == (
        True,
        [
            "back: cat.jpg and cat_mask.png (cat.2.jpg and cat.2_mask.png in failed/): the same "
            "files lay there already; these are gone"
        ],
    )
    assert names(spool.failed) == []
    assert names(spool.inbox) == ["cat.jpg", "cat_mask.png"]
