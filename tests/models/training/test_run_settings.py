"""Training settings: what the file says and nothing else."""

from pathlib import Path
from typing import get_type_hints

import pytest

from models.training.settings import (
    EdgeConnectSettings,
    MattingSettings,
    RunSettings,
    SettingsError,
    bounds_of,
    read_settings,
)

RECIPES = Path(__file__).parents[3] / "models" / "training" / "recipes"


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_not_said_is_as_published(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, "steps = 7"), EdgeConnectSettings)
    assert (settings.steps, settings.width, settings.blocks, settings.fill) == (7, 64, 8, "white")


def test_a_whole_number_will_do_for_a_fraction(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, "alpha = 2\nbetas = [0, 0]"), MattingSettings)
    assert settings.alpha == 2.0
    assert settings.betas == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("stepz = 7", "stepz"),
        ("steps = '7'", "steps"),
        ("steps = 7.5", "steps"),
        ("prefill = 1", "prefill"),
        ("betas = [0.9]", "betas"),
        ("steps = 0", "steps"),
        ("clip = -1.0", "clip"),
        ("steps = = 2", "TOML"),
        ("size = 16", "size"),
        ("measure_pictures = 0", "measure_pictures"),
        ("hair = 0.7\nlace = 0.4", "together"),
        ("least_band = 9\nmost_band = 3", "most_band"),
        ("betas = [0.9, 1.0]", "betas"),
        ('precision = "fp16"', "precision"),
        ("width = 0", "width"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        read_settings(written(tmp_path, text), MattingSettings)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("size = 30", "multiple of 4"),
        ('fill = "grey"', "fill"),
        ("least_hole = 0.5", "least_hole"),
        ("smallest_scale = 0", "smallest_scale"),
        ("judge_width = 0", "judge_width"),
    ],
)
def test_a_setting_that_can_not_be_is_named(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        read_settings(written(tmp_path, text), EdgeConnectSettings)


@pytest.mark.parametrize(
    "text",
    [
        "learning_rate = nan",
        "learning_rate = inf",
        "betas = [-0.5, 0.9]",
        "betas = [0.9, nan]",
        "seed = 100000000000000000000000",
        "steps = 100000000000000000000000",
        "alpha = 1" + "0" * 400,
        "hair = nan",
        "width = 100000",
        "size = 100000",
        "batch = 10000000",
        "most_band = 1000000",
        "loaders = -7",
        "save_every_s = nan",
    ],
)
def test_a_number_out_of_its_bounds_is_named_with_them(tmp_path: Path, text: str) -> None:
    name, _, value = text.partition(" = ")
    with pytest.raises(SettingsError) as raised:
        read_settings(written(tmp_path, text), MattingSettings)
    least, most = bounds_of(MattingSettings)[name]
    assert f"{name} = {value[:20].strip('[]')[:3]}" in str(raised.value).replace("[", "")
    assert f"has to lie between {least:,} and {most:,}." in str(raised.value)


@pytest.mark.parametrize("text", ['betas = ["a", 0.9]', "betas = [true, 0.9]", "batch = true"])
def test_what_is_no_number_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=text.split()[0]):
        read_settings(written(tmp_path, text), MattingSettings)


def test_digits_without_end_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read as TOML"):
        read_settings(written(tmp_path, f"steps = {'1' * 5000}"), MattingSettings)


@pytest.mark.parametrize("kind", [EdgeConnectSettings, MattingSettings])
def test_every_number_has_bounds_and_its_default_lies_within(kind: type[RunSettings]) -> None:
    bounds, settings = bounds_of(kind), kind()
    for name, hint in get_type_hints(kind).items():
        if hint in (int, float, tuple[float, float]):
            assert bounds[name].holds(getattr(settings, name)), name
    assert len(bounds) >= 20


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml"):
        read_settings(tmp_path / "no.toml", MattingSettings)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_read(recipe: Path) -> None:
    kind = MattingSettings if "matting" in recipe.stem else EdgeConnectSettings
    assert read_settings(recipe, kind).steps > 1
