"""What tests of `retouchd why` share."""

from pathlib import Path

import pytest

from daemon.people.questions import scene
from daemon.settings import Settings
from daemon.spool.layout import Spool, open_spool


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alone: None) -> None:
    """What changes is watched for no longer than a test needs, and from a folder far from all."""
    monkeypatch.setattr(scene, "WATCHED_S", 0.01)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        spool=tmp_path / "spool", inpaint_model=Path("/models/tiny.pt"), quiet_period_s=0
    )


@pytest.fixture
def spool(settings: Settings) -> Spool:
    return open_spool(settings)
