"""Settings from a file, the environment and the command line: in that order, checked, explained."""

import os
import re
import typing
from pathlib import Path

import pytest

from daemon.settings import Settings, SettingsError, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("RETOUCHD_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "retouchd.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(command_line: dict[str, object] | None = None, file: Path | None = None) -> str:
    """What is said about settings that can't be used."""
    with pytest.raises(SettingsError) as caught:
        load_settings(command_line or {}, file)
    return str(caught.value)


# Which source wins.


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings({})
    assert settings.quiet_period_s is None
    assert settings.file_mode == 0o664
    assert settings.folders()["inbox"] == tmp_path / "spool" / "inbox"
    assert settings.models() == {}


def test_the_environment_beats_the_file_and_the_command_line_beats_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml(tmp_path, "threads = 1\nmax_attempts = 1\njpeg_quality = 1\n")
    monkeypatch.setenv("RETOUCHD_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("RETOUCHD_JPEG_QUALITY", "2")
    settings = load_settings({"jpeg_quality": "3"}, file)
    assert (settings.threads, settings.max_attempts, settings.jpeg_quality) == (1, 2, 3)


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCHD_SETTINGS", str(toml(tmp_path, "threads = 3")))
    assert load_settings({}).threads == 3


def test_a_file_named_on_the_command_line_beats_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOUCHD_SETTINGS", str(tmp_path / "nowhere.toml"))
    assert load_settings({}, toml(tmp_path, "threads = 4")).threads == 4


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCHD_THREADS", "")
    monkeypatch.setenv("RETOUCHD_SETTINGS", "")
    assert load_settings({}).threads is None


def test_no_setting_is_read_from_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RETOUCHD_THREADS=7\n")
    assert load_settings({}).threads is None


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).threads = 3


# Errors name what is wrong and where it stands.


def test_an_unknown_key_in_the_file_is_named_with_what_may_be_meant(tmp_path: Path) -> None:
    said = refusal(file=toml(tmp_path, "quiet_periods = 3"))
    assert "retouchd.toml" in said
    assert "'quiet_periods'" in said
    assert "Did you mean 'quiet_period_s'?" in said


def test_a_table_in_the_file_is_an_unknown_key(tmp_path: Path) -> None:
    assert "'places'" in refusal(file=toml(tmp_path, '[places]\ninbox = "/a"'))


@pytest.mark.parametrize("name", ["RETOUCHD_QUIET_PERIOD", "retouchd_quiet_period"])
def test_an_unknown_variable_is_named_whatever_its_case(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "3")
    said = refusal()
    assert name in said
    assert "Did you mean 'quiet_period_s'?" in said


def test_an_unknown_variable_counts_even_when_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCHD_NONSENSE", "")
    assert "RETOUCHD_NONSENSE" in refusal()


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCHDOG", "1")
    monkeypatch.setenv("INBOX", "/nowhere")
    load_settings({})


def test_a_bad_value_is_named_with_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETOUCHD_QUIET_PERIOD_S", "abc")
    file = toml(tmp_path, 'max_pixels = "many"')
    said = refusal({"threads": "0"}, file)
    assert "quiet_period_s = 'abc' (RETOUCHD_QUIET_PERIOD_S):" in said
    assert f"max_pixels = 'many' (in {file}):" in said
    assert "threads = '0' (--threads):" in said


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("quiet_period_s", "-1", "greater than or equal to 0"),
        ("quiet_period_s", "nan", "86400"),
        ("quiet_period_s", "inf", "86400"),
        ("quiet_period_s", "5s", "valid number"),
        ("scan_interval_s", "0", "greater than 0"),
        ("threads", "2.5", "valid integer"),
        ("events", "perhaps", "valid boolean"),
        ("device", "gpu", "auto, cpu, cuda"),
        ("device", "cuda:0,", "auto, cpu, cuda"),
        ("device", "cpu\n", "auto, cpu, cuda"),
        ("output_format", "gif", "'png'"),
        ("originals", "keep", "'archive' or 'delete'"),
        ("log_level", "loud", "'debug'"),
        ("file_mode", "rw-r--r--", "octal"),
        ("file_mode", "0o9", "octal"),
        ("file_mode", "", "octal"),
        ("file_mode", "2664", "at most 0777"),
        ("file_mode", "066", "let the owner read"),
        ("file_mode", "-664", "at most 0777"),
        ("folder_mode", "9999", "octal"),
        ("folder_mode", "12775", "at most 07777"),
        ("folder_mode", "0644", "let the owner do all"),
        ("user", "nobody-of-that-name", "no such user"),
        ("group", "no-such-group", "no such group"),
        ("user", "99999999999", "is no id"),
        ("user", "-1", "no such user"),
        ("spool", "", "is empty"),
        ("inpaint_model", "", "is empty"),
        ("spool", "~nobody-of-that-name/x", "no home folder"),
        ("inbox", "a\0b", "zero byte"),
        ("jpeg_quality", "101", "100"),
        ("max_attempts", "0", "1"),
        ("job_timeout_s", "0", "greater than 0"),
    ],
)
def test_a_bad_value_is_refused_with_what_it_should_be(name: str, value: str, hint: str) -> None:
    said = refusal({name: value})
    assert f"{name} = {value!r} (--{name.replace('_', '-')}): " in said
    assert hint in said


@pytest.mark.parametrize("value", ["true", "false"])
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, field in Settings.options().items()
        if {int, float} & {field.annotation, *typing.get_args(field.annotation)}
    ],
)
def test_a_boolean_is_no_number(tmp_path: Path, name: str, value: str) -> None:
    said = refusal(file=toml(tmp_path, f"{name} = {value}"))
    assert f"{name} = {value.capitalize()} (in " in said
    assert "should be a number" in said


@pytest.mark.parametrize("line", ["file_mode = 664", "folder_mode = 2775", "folder_mode = 775"])
def test_a_mode_that_lost_its_octal_mark_in_toml_is_refused(tmp_path: Path, line: str) -> None:
    assert "in TOML as" in refusal(file=toml(tmp_path, line))


@pytest.mark.parametrize("text", ['"0664"', '"664"', '"0o664"', "0o664"])
def test_a_mode_may_be_written_in_each_usual_way(tmp_path: Path, text: str) -> None:
    assert load_settings({}, toml(tmp_path, f"file_mode = {text}")).file_mode == 0o664


@pytest.mark.parametrize("text", ["0", '"0"', '"root"'])
def test_an_owner_may_be_a_name_or_an_id_as_text_or_number(tmp_path: Path, text: str) -> None:
    settings = load_settings({}, toml(tmp_path, f"user = {text}\ngroup = {text}"))
    assert (settings.uid(), settings.gid()) == (0, 0)


def test_without_an_owner_set_none_is_changed() -> None:
    assert (load_settings({}).uid(), load_settings({}).gid()) == (None, None)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:3", "cuda:0,cuda:1"])
def test_a_device_is_taken_as_people_write_it(device: str) -> None:
    assert load_settings({"device": device}).device == device


# Matting folders.


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("portraits", ("portraits",)),
        ("portraits, shop/products", ("portraits", "shop/products")),
        (" a b ,c/", ("a b", "c")),
        ("./a//b/.", ("a/b",)),
        (".", (".",)),
        ("./", (".",)),
        ("Größe,*,...", ("Größe", "*", "...")),
        ("", ()),
        (" ", ()),
    ],
)
def test_matting_folders_are_paths_with_commas_between(
    monkeypatch: pytest.MonkeyPatch, text: str, folders: tuple[str, ...]
) -> None:
    assert load_settings({"matting_folders": text}).matting_folders == folders
    monkeypatch.setenv("RETOUCHD_MATTING_FOLDERS", text)
    assert load_settings({}).matting_folders == folders


def test_matting_folders_may_be_a_list_in_toml(tmp_path: Path) -> None:
    file = toml(tmp_path, 'matting_folders = ["a, b", "shop/products/"]')
    assert load_settings({}, file).matting_folders == ("a, b", "shop/products")
    assert load_settings({"matting_folders": ""}, file).matting_folders == ()


def test_without_the_setting_no_folder_is_a_matting_folder() -> None:
    assert load_settings({}).matting_folders == ()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("..", "leads out of the inbox by its .."),
        ("a,b/../c", "'b/../c' leads out of the inbox"),
        ("/srv/photos/drop/portraits", "as seen from the inbox"),
        ("~/portraits", "as seen from the inbox"),
        ("a,,b", "for the whole inbox write ."),
        ("a,", "for the whole inbox write ."),
        ("a\0b", "zero byte"),
    ],
)
def test_a_matting_folder_that_is_none_of_the_inboxs_is_refused(text: str, hint: str) -> None:
    said = refusal({"matting_folders": text})
    assert said.startswith(f"matting_folders = {text!r} (--matting-folders): ")
    assert hint in said
    assert "\n" not in said


@pytest.mark.parametrize("value", ["3", "true", "[3]", '[""]', "[[]]", '["/a"]'])
def test_matting_folders_of_another_kind_are_refused(tmp_path: Path, value: str) -> None:
    file = toml(tmp_path, f"matting_folders = {value}")
    said = refusal(file=file)
    assert said.startswith("matting_folders")
    assert f"(in {file})" in said


def test_a_matting_folder_may_have_a_name_that_is_no_utf_8() -> None:
    name = os.fsdecode(b"caf\xe9")
    assert load_settings({"matting_folders": name}).matting_folders == (name,)


@pytest.mark.parametrize("percent", ["0", "-1", "25.1", "nan", "2%"])
def test_a_band_that_can_not_be_is_refused(percent: str) -> None:
    assert f"trimap_band_percent = '{percent}'" in refusal({"trimap_band_percent": percent})


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    said = refusal(file=tmp_path / "gone.toml")
    assert said == f"{tmp_path / 'gone.toml'}: can't be read (No such file or directory)."


def test_a_file_named_by_the_environment_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCHD_SETTINGS", "/nowhere/r.toml")
    assert "/nowhere/r.toml" in refusal()


@pytest.mark.parametrize("content", [b"inbox = ", b"mode = 0664", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "r.toml"
    file.write_bytes(content)
    assert f"{file}: is no valid TOML" in refusal(file=file)


def test_a_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}: can't be read" in refusal(file=tmp_path)


# Folders.


def test_each_folder_may_be_set_on_its_own(tmp_path: Path) -> None:
    folders = load_settings({"spool": "s", "outbox": tmp_path / "far" / "results"}).folders()
    assert folders == {
        "inbox": tmp_path / "s" / "inbox",
        "work": tmp_path / "s" / "work",
        "outbox": tmp_path / "far" / "results",
        "failed": tmp_path / "s" / "failed",
        "archive": tmp_path / "s" / "archive",
    }


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = load_settings({"spool": "~/s", "inpaint_model": "~/m.pt"})
    assert settings.folders()["work"] == tmp_path / "home" / "s" / "work"
    assert settings.models() == {"inpaint": tmp_path / "home" / "m.pt"}


@pytest.mark.parametrize(
    ("inside", "around"), [("inbox", "outbox"), ("outbox", "inbox"), ("work", "inbox")]
)
def test_a_folder_inside_another_is_refused_with_both_names(inside: str, around: str) -> None:
    said = refusal({around: "/data/a", inside: "/data/a/b"})
    assert f"{inside} (/data/a/b) lies in {around} (/data/a)" in said


def test_one_folder_for_two_purposes_is_refused() -> None:
    assert "/data/a" in refusal({"inbox": "/data/a", "outbox": "/data/x/../a"})


def test_a_link_does_not_hide_that_folders_overlap(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    said = refusal({"inbox": tmp_path / "real", "outbox": tmp_path / "link" / "out"})
    assert "lies in inbox" in said


def test_a_folder_whose_name_only_begins_alike_is_no_overlap() -> None:
    load_settings({"inbox": "/data/in", "outbox": "/data/inner"})


def test_a_loop_of_links_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    load_settings({"spool": tmp_path / "loop"})


# The page.


def test_every_setting_has_a_meaning() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "|" not in field.description


def test_the_pages_example_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    # The example's group may not exist on this machine; everything else must hold as it stands.
    assert 'group = "photo"' in text
    settings = load_settings({}, toml(tmp_path, text.replace('"photo"', '"root"')))
    assert settings.folders()["inbox"] == Path("/srv/photos/drop")
    assert settings.quiet_period_s == 8
    assert settings.file_mode == 0o664
    assert settings.models().keys() == {"inpaint", "matting"}
