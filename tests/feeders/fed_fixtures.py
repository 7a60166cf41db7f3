"""What this suite's conftest.py offers: one server and one daemon for each feeder, and a table."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import Site, hole, photo
from fed_daemon import FedDaemon, Picture, draw
from feeding import QUIET_S, Feeder
from table import Outcomes, behaviour_of

WIDTH, HEIGHT = 900, 600  # 1.6 MB
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

_outcomes = Outcomes()


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that inverts what is in the hole, made by the first process that needs it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all processes of a run have it in common
    artifact = folder / "invert.pt"
    with (folder / "invert.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not artifact.exists():
            import tiny  # it brings torch, which takes seconds

            tiny.write_inpaint(artifact)
    return artifact


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clients' pictures lie."""
    return tmp_path_factory.mktemp("album")


@pytest.fixture(scope="session")
def picture(album: Path) -> Picture:
    """A picture large enough to be sent in pieces."""
    return draw(photo(1, WIDTH, HEIGHT), album / "first.png")


@pytest.fixture(scope="session")
def other(album: Path) -> Picture:
    """Another, of the same size to the byte."""
    return draw(photo(2, WIDTH, HEIGHT), album / "second.png")


@pytest.fixture(scope="session")
def mask(album: Path) -> Picture:
    """A mask for both, of a few thousand bytes."""
    return draw(hole(WIDTH, HEIGHT), album / "mask.png", compression=9)


@pytest.fixture(scope="module")
def fed(request: pytest.FixtureRequest, network: Path) -> Iterator[FedDaemon]:
    """The daemon with the feeder that the test names."""
    row: type[Feeder] = request.param
    _must_have(row)
    with tempfile.TemporaryDirectory(prefix="feeder-") as name:
        base = Path(name)
        base.chmod(0o755)  # other users have to get in
        (base / "room").mkdir()
        yield from _fed(row, base, network)


def _fed(row: type[Feeder], base: Path, network: Path) -> Iterator[FedDaemon]:
    settings = {"INPAINT_MODEL": network, "QUIET_PERIOD_S": QUIET_S, "PNG_COMPRESSION": 0}
    site = Site(base / "spool", {f"RETOUCHD_{key}": str(value) for key, value in settings.items()})
    site.inbox.chmod(0o2777)
    feeder = row(site.inbox, base / "room")
    try:
        feeder.start()
        daemon = site.start()
        try:
            daemon.wait_for("worker_started")
            yield FedDaemon(feeder, site, daemon, row.version())
        finally:
            daemon.stop()
    finally:
        feeder.stop()


def _must_have(row: type[Feeder]) -> None:
    """Fail where a program is missing: a row that was left out would look like one that passed."""
    assert os.geteuid() == 0, "Only root can start these servers: they change user, or mount."
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    missing = [program for program in row.needs if not shutil.which(program, path=path)]
    assert not missing, f"Install {', '.join(missing)}; docs/feeders.md names the packages."


@pytest.fixture(autouse=True)
def told_to_the_table(request: pytest.FixtureRequest) -> None:
    """Note what the test is a cell of; its report takes that along, from another process too."""
    if "fed" in request.fixturenames:
        fed: FedDaemon = request.getfixturevalue("fed")
        cell = {"row": fed.feeder.name, "version": fed.version}
        cell["column"] = behaviour_of(request.node.originalname)
        request.node.user_properties.extend(cell.items())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process for all tests of a feeder, so that its server and its daemon start once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFeeder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.rpartition("[")[2]

    return ByFeeder(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take down what became of each test."""
    _outcomes.note(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the outcomes where the environment says."""
    file = os.environ.get("FEEDERS_OUTCOMES")
    if file and not hasattr(session.config, "workerinput"):
        _outcomes.write(Path(file))
