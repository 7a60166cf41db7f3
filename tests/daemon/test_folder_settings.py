"""Settings of folders in the inbox: where they may stand, what they mean, which one decides."""

import os
import re
from pathlib import Path

import pytest
import tiny

from daemon import cli
from daemon.folders import FolderRules, FolderSettings, Rules
from daemon.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("RETOUCHD_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def loaded(text: str) -> Settings:
    file = Path("retouchd.toml")
    file.write_text(text, encoding="utf-8")
    return load_settings({}, file)


def refusal(text: str) -> str:
    """What is said about settings that can't be used."""
    with pytest.raises(SettingsError) as caught:
        loaded(text)
    return str(caught.value)


# Which folder decides.


def test_a_table_holds_for_its_folder_and_all_below_it_and_nowhere_else() -> None:
    rules = loaded('[folders."scans/slides"]\noutput_format = "tiff"').rules()
    for path in ("scans/slides/cat.jpg", "scans/slides/day 1/a/cat.jpg", "Scans/SLIDES/cat.jpg"):
        assert rules.of(path).output_format == "tiff"
    for path in ("cat.jpg", "scans/cat.jpg", "scans/slides.jpg", "scans/slides 2/cat.jpg"):
        assert rules.of(path) == Rules()


def test_the_nearest_folder_decides_key_by_key_whatever_the_order_in_the_file() -> None:
    rules = loaded(
        "done_marker = true\n"
        '[folders."a/b"]\noriginals = "archive"\ndone_marker = false\n'
        '[folders.a]\noriginals = "delete"\noutput_format = "webp"\n'
        '[folders."."]\noutput_format = "jpeg"\n'
    ).rules()
    assert rules.of("x.jpg") == Rules(output_format="jpeg", done_marker=True)
    assert rules.of("a/x.jpg") == Rules(output_format="webp", originals="delete", done_marker=True)
    assert rules.of("a/b/x.jpg") == Rules(output_format="webp", originals="archive")


def test_a_nearer_mask_puts_an_outer_alpha_as_mask_out_of_force_and_the_other_way_round() -> None:
    rules = loaded(
        "[folders.a]\nalpha_as_mask = true\n"
        '[folders."a/b"]\nmask = "/etc/dust.png"\n'
        '[folders."a/b/c"]\nalpha_as_mask = true\n'
        '[folders."a/b/d"]\nmask = false\n'
        '[folders."a/e"]\nalpha_as_mask = false\n'
    ).rules()
    found = {name: rules.of_folder(name) for name in ("a", "a/b", "a/b/c", "a/b/d", "a/e")}
    assert {name: (each.mask, each.alpha_as_mask) for name, each in found.items()} == {
        "a": (None, True),
        "a/b": ("/etc/dust.png", False),
        "a/b/c": (None, True),
        "a/b/d": (None, False),
        "a/e": (None, False),
    }


def test_a_folders_name_is_written_like_a_matting_folders() -> None:
    settings = loaded('[folders."./scans//slides/"]\nalpha_as_mask = true')
    assert settings.by_folder == {"scans/slides": FolderSettings(alpha_as_mask=True)}


def test_the_masks_path_begins_where_retouchd_was_started(tmp_path: Path) -> None:
    rules = loaded('[folders.scans]\nmask = "dust.png"').rules()
    assert rules.of("scans/x.jpg").mask == str(tmp_path / "dust.png")


def test_the_nearest_folders_model_works_a_picture_and_else_that_of_all(tmp_path: Path) -> None:
    settings = loaded(
        'inpaint_model = "all.pt"\n'
        '[folders.a]\ninpaint_model = "own.pt"\nmatting_model = "hair.pt"\n'
        '[folders."a/b"]\ninpaint_model = "/else/b.pt"\n'
        '[folders."a/c"]\ninpaint_model = "all.pt"\n'
        '[folders."a/d"]\noutput_format = "tiff"\n'
    )
    rules, here = settings.rules(), str(tmp_path)
    assert {
        folder: (rules.of_folder(folder).model("inpaint"), rules.of_folder(folder).model("matting"))
        for folder in (".", "a", "a/b", "a/c", "a/d")
    } == {
        ".": (f"{here}/all.pt", None),
        "a": (f"{here}/own.pt", f"{here}/hair.pt"),
        "a/b": ("/else/b.pt", f"{here}/hair.pt"),
        "a/c": (f"{here}/all.pt", f"{here}/hair.pt"),
        "a/d": (f"{here}/own.pt", f"{here}/hair.pt"),
    }
    assert [(own.setting, own.path) for own in settings.own_models()] == [
        ('folders."a".inpaint_model', f"{here}/own.pt"),
        ('folders."a".matting_model', f"{here}/hair.pt"),
        ('folders."a/b".inpaint_model', "/else/b.pt"),
    ]


def test_without_tables_nothing_is_looked_up() -> None:
    rules = FolderRules()
    assert (rules.give_holes, rules.ask_for_markers) == (False, False)
    assert rules.of("a/b.jpg") == Rules()
    assert FolderRules(Rules(done_marker=True)).ask_for_markers


# Where they may not stand, and what can't be.


@pytest.mark.parametrize("name", ["RETOUCHD_FOLDERS", "retouchd_folders"])
def test_they_stand_in_no_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "scans")
    assert "can only stand in the settings file" in refusal("")


def test_they_are_called_folders_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no setting 'by_folder'" in refusal("[by_folder.a]\nmask = false")
    monkeypatch.setenv("RETOUCHD_BY_FOLDER", "{}")
    assert "there is no setting 'by_folder'" in refusal("")


def test_a_file_in_the_inbox_is_not_read(tmp_path: Path) -> None:
    inbox = tmp_path / "spool" / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "retouchd.toml").write_text('[folders.scans]\noriginals = "delete"')
    assert loaded("").by_folder == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[folders.a]\nmasc = "x"',
            "folders.\"a\".masc = 'x' (in retouchd.toml): there is no such",
        ),
        ("[folders.a]\nquiet_period_s = 3", 'folders."a".quiet_period_s = 3 (in retouchd.toml): '),
        ("[folders.a]\nquiet_period_s = 3", "can't be set for a folder"),
        ("[folders.a.b]\nmask = 'x'", 'write [folders."a/b"]'),
        ("[folders.a]\nmask = true", 'folders."a".mask = True (in retouchd.toml): should be the'),
        ("[folders.a]\nmask = ''", "is empty"),
        (
            "[folders.a]\ninpaint_model = ''",
            "folders.\"a\".inpaint_model = '' (in retouchd.toml): is ",
        ),
        ("[folders.a]\nmatting_model = false", 'folders."a".matting_model = False'),
        ("[folders.a]\nmask = 'x'\nalpha_as_mask = true", 'folders."a" (in retouchd.toml): has a'),
        ("[folders.a]\noutput_format = 'gif'", "'png', 'tiff', 'webp', 'jpeg' or 'same'"),
        ("[folders.a]\noriginals = 'keep'", "'archive' or 'delete'"),
        ("[folders.a]\ndone_marker = 'yes'", "valid boolean"),
        ("[folders.a]\nalpha_as_mask = 1", "valid boolean"),
        ("[folders]\na = 3", "'a' should be a table"),
        ("folders = 3", "should be a table for each folder"),
        ("[folders.'/a']\nmask = 'x'", "'/a' should be a path as seen from the inbox"),
        ("[folders.'a/../b']\nmask = 'x'", "leads out of the inbox"),
        ("[folders.'Äb']\n[folders.'a\u0308B']\n", "are the same folder"),
    ],
)
def test_what_is_wrong_is_named_with_its_folder_and_key(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize("role", ["inbox", "work", "outbox", "failed", "archive"])
def test_a_mask_where_pictures_are_moved_about_is_refused(role: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "spool" / role)
    for path in (f"spool/{role}/dust.png", "link/dust.png"):
        said = refusal(f'[folders.a]\nmask = "{path}"')
        assert f'folders."a".mask ({path}) lies in {role}' in said


@pytest.mark.parametrize(
    "text",
    [
        'matting_folders = ["a/b"]\n[folders.A]\nalpha_as_mask = true',
        'matting_folders = ["a"]\n[folders."a/b"]\nalpha_as_mask = true',
        'matting_folders = ["."]\n[folders."a/b"]\nalpha_as_mask = true',
        'matting_folders = ["a/b"]\n[folders."."]\nalpha_as_mask = true',
    ],
)
def test_transparency_is_no_mask_in_a_matting_folder(text: str) -> None:
    assert "where masks mean cut out" in refusal(text)


def test_alpha_as_mask_may_lie_around_a_matting_folder_that_ends_it() -> None:
    settings = loaded(
        'matting_folders = ["a/b"]\n[folders.a]\nalpha_as_mask = true\n'
        '[folders."a/b"]\nalpha_as_mask = false'
    )
    assert settings.rules().of("a/x.png").alpha_as_mask
    assert not settings.rules().of("a/b/x.png").alpha_as_mask


def test_a_folders_settings_can_not_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded("[folders.a]\ndone_marker = true").by_folder["a"].done_marker = False


def test_the_pages_example_loads() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    (text,) = re.findall(r"```toml folders\n(.*?)```", page, re.DOTALL)
    rules = loaded(text).rules()
    assert rules.of("scans/slides/1.tif").mask == "/etc/retouchd/dust.png"
    assert rules.of("portraits/1.jpg").model("inpaint") == "/opt/retouchd/networks/faces.pt"
    assert rules.of("web/cut/1.png") == Rules(alpha_as_mask=True, done_marker=True)


# What `retouchd check` says.


def checked(text: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of the check that tell of folders."""
    Path("checked.toml").write_text(text)
    cli.main(["check", "--settings", "checked.toml"])
    return [line for line in capsys.readouterr().out.splitlines() if "folders." in line]


def test_check_shows_what_each_folder_has_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spool/inbox/Scans/slides").mkdir(parents=True)
    Path("dust.png").write_bytes(b"a picture, by its name")
    dust = Path("dust.png").absolute()
    assert checked(
        'inpaint_model = "gone.pt"\n'
        '[folders."scans/slides"]\nmask = "dust.png"\noriginals = "delete"\n'
        '[folders.scan]\noutput_format = "tiff"\ndone_marker = true\n'
        "[folders.cut]\nalpha_as_mask = true\nmask = false\n",
        capsys,
    ) == [
        f'ok   folders."scans/slides" mask {dust}; originals: delete',
        'ok   folders."scan"         results as tiff; a marker asked for (not in the inbox yet; '
        "is Scans meant?)",
        'ok   folders."cut"          no mask of the folder\'s; holes drawn as transparency (not in '
        "the inbox yet)",
    ]


def test_check_tries_a_folders_mask(capsys: pytest.CaptureFixture[str]) -> None:
    Path("dust.txt").touch()
    (gone, text) = checked(
        'inpaint_model = "gone.pt"\n[folders.a]\nmask = "gone.png"\n[folders.b]\nmask = "dust.txt"',
        capsys,
    )
    assert gone.startswith('BAD  folders."a"')
    assert "gone.png, can't be read (No such file or directory). Put a picture file there" in gone
    assert text.startswith('BAD  folders."b"')
    assert "dust.txt is no picture by its name" in text


def test_check_examines_a_folders_model_as_it_does_that_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny.write_matting(Path("half.pt")).chmod(0o666)
    (holes, cut, gone, bad) = checked(
        'matting_folders = ["cut"]\n'
        '[folders.holes]\ninpaint_model = "gone.pt"\n'
        '[folders.cut]\nmask = "dust.png"\nmatting_model = "half.pt"\n',
        capsys,
    )
    here = Path.cwd()
    assert re.match(rf'ok   folders."holes" +holes filled by {here}/gone\.pt', holes)
    assert f"cut out by {here}/half.pt" in cut
    assert "no matting_model is set" not in cut
    assert gone.startswith('BAD  folders."holes".inpaint_model')
    assert f"{here}/gone.pt: there is no such file" in gone
    assert bad.startswith('BAD  folders."cut".matting_model')
    assert "can be written by others" in bad
    words = (holes, "holes filled"), (cut, "mask "), (gone, f"{here}/gone.pt: "), (bad, f"{here}")
    assert len({line.index(begin) for line, begin in words}) == 1  # one column


def test_check_says_which_model_a_folders_pictures_lack(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("dust.png").touch()
    (shop, cut, plain) = checked(
        'matting_folders = ["shop"]\n[folders."shop/1"]\nmask = "dust.png"\n'
        '[folders.cut]\nalpha_as_mask = true\n[folders.plain]\noutput_format = "tiff"',
        capsys,
    )
    assert "its pictures wait, as no matting_model is set" in shop
    assert "its pictures wait, as no inpaint_model is set" in cut
    assert plain.startswith("ok ")
