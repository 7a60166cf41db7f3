"""A browser, and outboxes to look at: one with real results, one with fifty thousand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from chromium import Chromium, running
from real_results import Outbox, fill_outbox, networks_in


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="session")
def outbox(tmp_path_factory: pytest.TempPathFactory) -> Outbox:
    """What the daemon leaves of the demo's photos, and of some that it can't do."""
    networks = networks_in(tmp_path_factory.mktemp("networks"))
    return fill_outbox(tmp_path_factory.mktemp("real") / "spool", networks)


@pytest.fixture(scope="session")
def inpaint_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that inverts what is in the hole."""
    return tiny.write_inpaint(tmp_path_factory.mktemp("models") / "invert.pt")
