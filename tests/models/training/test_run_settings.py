"""Training settings: what the file says and nothing else."""

from pathlib import Path

import pytest

from models.training.settings import (
    EdgeConnectSettings,
    MattingSettings,
    SettingsError,
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


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml"):
        read_settings(tmp_path / "no.toml", MattingSettings)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_read(recipe: Path) -> None:
    kind = MattingSettings if "matting" in recipe.stem else EdgeConnectSettings
    assert read_settings(recipe, kind).steps > 1
