"""What the daemon's tests share: tiny artifacts, spools, and the daemon itself."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import tiny
from driver import Daemon, Site
from mounts import Mounts
from puppets import Open, Theatre, opened_theatres

from daemon.settings import Settings
from daemon.spool.layout import Spool, open_spool
from daemon.supervisor import watch


@pytest.fixture(autouse=True)
def no_logging_left_over() -> Iterator[None]:
    """Logging is set up for a whole process; no test inherits another's standard error."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def inpaint_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that inverts what is in the hole."""
    return tiny.write_inpaint(tmp_path_factory.mktemp("models") / "invert.pt")


@pytest.fixture(scope="session")
def matting_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that gives the unknown band an alpha of 100."""
    return tiny.write_matting(tmp_path_factory.mktemp("models") / "half.pt")


@pytest.fixture
def site(tmp_path: Path, inpaint_model: Path) -> Site:
    """A spool that can inpaint. Matting is left out: loading PyMatting takes seconds."""
    return Site(tmp_path / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})


@pytest.fixture
def both(site: Site, matting_model: Path) -> Site:
    """A spool that can do both tasks."""
    site.environment["RETOUCHD_MATTING_MODEL"] = str(matting_model)
    return site


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons that are gone when the test is."""
    daemons: list[Daemon] = []

    def begin(site: Site, *arguments: str) -> Daemon:
        daemons.append(site.start(*arguments))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.stop()


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """An open spool, without a daemon."""
    for name in ("RETOUCHD_SPOOL", "RETOUCHD_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    return open_spool(Settings(spool=tmp_path / "spool"))


@pytest.fixture
def opened(tmp_path: Path, inpaint_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens theatres, in which a crew has puppets for workers."""
    yield from opened_theatres(tmp_path / "spool", inpaint_model, monkeypatch)


@pytest.fixture
def theatre(opened: Open) -> Theatre:
    """One of them."""
    return opened()


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Comes before `start` in a test's list, so that the daemon has ended when all is unmounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    made = Mounts()
    yield made
    made.end()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment's settings nor what the temporary folder lies on matter."""
    for variable in list(os.environ):
        if variable.upper().startswith("RETOUCHD_"):
            monkeypatch.delenv(variable)
    monkeypatch.setattr(watch, "filesystem_of", lambda _path: "ext4")


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are listed from now on."""
    names: list[str] = []
    real = os.scandir

    def counted(fd: int) -> Any:
        names.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        return real(fd)

    monkeypatch.setattr(os, "scandir", counted)
    return names


@pytest.fixture
def reachable(inpaint_model: Path) -> Iterator[Site]:
    """A spool to which anyone has a way; pytest's own folders are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        site = Site(Path(folder) / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})
        open_spool(Settings(spool=site.root))
        yield site
