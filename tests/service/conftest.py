"""What the tests of the service share: one installation, one machine that has booted with it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installing import Installation, check_out, install
from machine import REPOSITORY, Machine

# The tiny artifacts are those of the daemon's tests.
sys.path.append(str(REPOSITORY / "tests" / "daemon"))

from serving import SOURCE, Service


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """retouchd, installed from this repository into a machine that has not booted yet."""
    folder = tmp_path_factory.mktemp("machine")
    machine = Machine(folder / "root")
    machine.lend_uv()
    return install(check_out(folder / "checkout"), machine.root)


@pytest.fixture(scope="session")
def machine(installed: Installation) -> Iterator[Machine]:
    """The machine, booted; what was installed can be read in it at `SOURCE`."""
    machine = Machine(installed.root)
    machine.bind(installed.checkout, SOURCE)
    machine.boot()
    machine.run("useradd --groups retouchd alice")
    yield machine
    machine.remove()


@pytest.fixture
def service(machine: Machine, tmp_path: Path) -> Iterator[Service]:
    """The service on an empty spool, stopped, with settings that suit tests."""
    service = Service(machine)
    service.reset(tmp_path)
    yield service
    machine.run("systemctl stop retouchd; systemctl reset-failed retouchd", check=False)
