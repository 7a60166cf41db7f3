"""The unit and what comes with it: what systemd says to them, and whether they agree."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import REPOSITORY, Machine
from serving import SOURCE

from daemon.cli import WRONG
from daemon.settings import Settings, load_settings
from daemon.supervisor.starting import START_TIMEOUT_S

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

DEPLOY = REPOSITORY / "deploy"
UNIT = DEPLOY / "retouchd.service"
_SECONDS = {"s": 1, "min": 60, "h": 3600}


@pytest.fixture
def gpu_machine(machine: Machine) -> Iterator[Machine]:
    """The machine, with the drop-in for a GPU that it has not got."""
    machine.run(f"make -C {SOURCE} install DEVICE=gpu")
    yield machine
    machine.run(f"make -C {SOURCE} install DEVICE=cpu")


def values(key: str) -> list[str]:
    """What the unit sets a key to, line by line."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def seconds(key: str) -> float:
    """A time that the unit sets."""
    (text,) = values(key)
    found = re.fullmatch(r"(\d+)(s|min|h)", text)
    assert found, text
    return int(found[1]) * _SECONDS[found[2]]


def exposure(machine: Machine, at_most: float) -> str:
    """What systemd says of the unit; fails where it is more exposed."""
    threshold = f"--threshold={at_most * 10:.0f}"
    told = machine.run(
        f"systemd-analyze security --offline=true --no-pager {threshold} retouchd.service"
    )
    return told.stdout.splitlines()[-1]


def dropped_in(machine: Machine) -> list[str]:
    return sorted(p.name for p in machine.path("/etc/systemd/system/retouchd.service.d").iterdir())


def test_systemd_has_nothing_to_say_against_it(machine: Machine) -> None:
    done = machine.run("systemd-analyze verify /etc/systemd/system/retouchd.service")
    assert (done.stdout, done.stderr) == ("", "")


def test_on_a_cpu_it_is_exposed_by_one_and_a_half_of_ten_at_most(machine: Machine) -> None:
    assert dropped_in(machine) == ["cpu.conf"]
    print(exposure(machine, 1.5))


def test_systemd_has_nothing_to_say_against_the_gpus_drop_in(gpu_machine: Machine) -> None:
    done = gpu_machine.run("systemd-analyze verify /etc/systemd/system/retouchd.service")
    assert (done.stdout, done.stderr) == ("", "")


def test_on_a_gpu_it_is_exposed_by_two_and_a_half_of_ten_at_most(gpu_machine: Machine) -> None:
    assert dropped_in(gpu_machine) == ["gpu.conf"]
    print(exposure(gpu_machine, 2.5))


def test_a_unit_that_is_too_exposed_would_be_noticed(machine: Machine) -> None:
    with pytest.raises(AssertionError, match="systemd-analyze"):
        exposure(machine, 0.1)


def test_a_stop_waits_longer_than_the_longest_job() -> None:
    ours = load_settings({}, DEPLOY / "settings.toml")
    assert ours.stop_timeout_s >= ours.job_timeout_s
    # The rest is for the workers' end, and for putting away what is done.
    assert seconds("TimeoutStopSec") >= ours.stop_timeout_s + 60


def test_a_reload_may_take_as_long_as_a_worker_may_to_start() -> None:
    assert seconds("TimeoutStartSec") >= START_TIMEOUT_S + 60


def test_the_status_for_bad_settings_is_the_daemons() -> None:
    assert values("RestartPreventExitStatus") == [str(WRONG)]


def test_settings_that_are_commented_out_can_be_used_too(tmp_path: Path) -> None:
    text = (DEPLOY / "settings.toml").read_text()
    whole = re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)
    assert len(tomllib.loads(whole)) > len(tomllib.loads(text))
    (tmp_path / "settings.toml").write_text(whole)
    assert isinstance(load_settings({}, tmp_path / "settings.toml"), Settings)


def test_every_key_and_file_is_explained() -> None:
    page = (REPOSITORY / "docs" / "service.md").read_text()
    keys = set(re.findall(r"^(\w+)=", UNIT.read_text(), re.MULTILINE))
    for drop_in in ("cpu.conf", "gpu.conf", "webhook.conf"):
        keys |= set(re.findall(r"^(\w+)=", (DEPLOY / drop_in).read_text(), re.MULTILINE))
    keys -= {"Description", "After", "Type", "User", "Group", "ExecStart", "WantedBy"}
    for key in keys:
        assert re.search(rf"^\|.*`{key}\b", page, re.MULTILINE), key
    for path in DEPLOY.iterdir():
        if path.is_file() and not path.name.startswith("demo"):
            assert f"`{path.name}`" in page, path.name


def test_the_example_of_a_share_is_one_that_samba_takes(machine: Machine) -> None:
    done = machine.run(f"testparm -s {SOURCE}/deploy/smb.conf.example", check=False)
    assert "Loaded services file OK." in done.stderr
    assert "Unknown parameter" not in done.stderr
    assert "force group = retouchd" in done.stdout
