"""A missing package: the sentence, the page and the extras agree on how to install it."""

import sys
import tomllib
from pathlib import Path

import pytest

from models.evaluation.methods import EvaluationError, needed
from models.evaluation.peers import PEERS

ROOT = Path(__file__).parents[3]
COMMAND = "uv pip install --python {} -r pyproject.toml --extra evaluation"


def test_missing_module_is_told_with_the_command_for_this_environment() -> None:
    with pytest.raises(EvaluationError) as caught:
        needed("no_such_module", "the-package", "SSIM")
    assert COMMAND.format(sys.executable) in str(caught.value)


def test_page_tells_the_command_for_the_environment_that_make_sets_up() -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    assert COMMAND.format(".venv/bin/python") in page
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "VENV ?= .venv$(" in makefile
    assert ".tools/uv/bin/uv:" in makefile


def test_extra_has_every_package_that_peers_need_beside_retouchds_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    own, extra = project["dependencies"], project["optional-dependencies"]["evaluation"]
    listed = {text.split(">=")[0] for text in (*own, *extra)}
    brought = {"numba"}  # by PyMatting
    assert {package for peer in PEERS for package in peer.packages} <= listed | brought
