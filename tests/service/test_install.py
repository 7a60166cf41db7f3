"""`make install` and `make uninstall`: what they leave, and what they refuse."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installing import Installation, make
from machine import REPOSITORY, Machine
from serving import SOURCE, SPOOL

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

INSTALL = f"make --no-print-directory -C {SOURCE} install"


def everything(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All that an installation may write, with what there is to know of it."""
    for folder in ("opt", "etc", "usr/local", "var/lib"):
        for parent, folders, files in os.walk(root / folder):
            for name in (*folders, *files):
                path = Path(parent, name)
                yield path, path.lstat()


def test_one_that_was_cut_off_twice_is_finished_by_running_it_again(
    installed: Installation,
) -> None:
    # What is half made has not got the name yet under which it would be started.
    assert installed.after_first_cut == ["environments"]
    # And what was whole by then is kept.
    assert installed.after_second_cut == ["environments", "networks", "venv"]
    assert "the program is up to date" in installed.said
    program = installed.root / "opt/retouchd"
    assert len(list((program / "environments").iterdir())) == 1
    assert sorted(path.name for path in program.glob("networks/[!.]*")) == [
        "inpaint.pt",
        "matting.pt",
    ]
    print(f"installed, with two interruptions, in {installed.seconds:.0f} s")


def test_installing_again_changes_nothing(installed: Installation) -> None:
    before = {
        path: (at.st_ino, at.st_mtime_ns, at.st_mode) for path, at in everything(installed.root)
    }
    done = make(installed.checkout, "install", f"DESTDIR={installed.root}", "DEVICE=cpu")
    assert done.returncode == 0, done.stdout
    assert {
        path: (at.st_ino, at.st_mtime_ns, at.st_mode) for path, at in everything(installed.root)
    } == before


def test_the_program_is_roots_alone_and_can_be_read_by_all(installed: Installation) -> None:
    program = installed.root / "opt"
    for path, about in everything(installed.root):
        if path.is_relative_to(program) and not stat.S_ISLNK(about.st_mode):
            wanted = 0o555 if stat.S_ISDIR(about.st_mode) else 0o444
            assert (about.st_uid, about.st_gid) == (0, 0), path
            assert about.st_mode & wanted == wanted, path
            assert not about.st_mode & 0o022, path


def test_nothing_of_it_names_the_folder_it_was_installed_into(installed: Installation) -> None:
    command = installed.root / "opt/retouchd/venv/bin/retouchd"
    assert str(installed.root) not in command.read_text()
    link = installed.root / "usr/local/bin/retouchd"
    assert str(link.readlink()) == "/opt/retouchd/venv/bin/retouchd"


def test_the_spool_is_the_services_and_the_groups(machine: Machine) -> None:
    told = machine.run(f"stat --format='%n %a %U %G' {SPOOL} {SPOOL}/*").stdout.splitlines()
    assert told == [
        f"{SPOOL} 755 retouchd retouchd",
        f"{SPOOL}/archive 2775 retouchd retouchd",
        f"{SPOOL}/failed 2775 retouchd retouchd",
        f"{SPOOL}/inbox 2775 retouchd retouchd",
        f"{SPOOL}/outbox 2775 retouchd retouchd",
        f"{SPOOL}/work 700 retouchd retouchd",
    ]


def test_modes_that_people_gave_the_spool_outlast_an_installation(machine: Machine) -> None:
    machine.run(f"chmod 2770 {SPOOL}/outbox && chgrp users {SPOOL}/outbox")
    try:
        machine.run(INSTALL)
        told = machine.run(f"stat --format='%a %G' {SPOOL}/outbox").stdout
        assert told == "2770 users\n"
    finally:
        machine.run(f"chgrp retouchd {SPOOL}/outbox && chmod 2775 {SPOOL}/outbox")


def test_on_a_running_system_it_says_what_to_do_next(machine: Machine) -> None:
    said = machine.run(INSTALL).stdout
    assert "installed for the cpu" in said
    assert "systemctl enable --now retouchd" in said
    assert machine.run("systemctl is-enabled retouchd", check=False).stdout == "disabled\n"


def test_settings_that_are_a_link_to_a_disk_that_is_away_stay(machine: Machine) -> None:
    settings = "/etc/retouchd/settings.toml"
    machine.run(f"mv {settings} /srv/kept.toml && ln -s /mnt/away.toml {settings}")
    try:
        machine.run(INSTALL)
        assert machine.run(f"readlink {settings}").stdout == "/mnt/away.toml\n"
    finally:
        machine.run(f"mv /srv/kept.toml {settings}")


def test_a_second_one_at_the_same_time_is_refused_in_a_sentence(machine: Machine) -> None:
    for target in ("install", "uninstall"):
        held = f"flock /opt/retouchd make -C {SOURCE} {target}"
        done = machine.run(held, check=False)
        assert done.returncode != 0
        assert "installation is at work. Wait until it has ended." in done.stderr


def test_without_roots_rights_it_is_refused_in_a_sentence(machine: Machine) -> None:
    for target in ("install", "uninstall"):
        done = machine.run(f"make -C {SOURCE} {target}", user="alice", check=False)
        assert done.returncode != 0
        assert f"takes root's rights. Run: sudo make {target}" in done.stderr


def test_without_systemd_it_is_refused_in_a_sentence(machine: Machine) -> None:
    hidden = f"unshare --mount sh -c 'mount -t tmpfs none /run/systemd && {INSTALL}'"
    done = machine.run(hidden, check=False)
    assert done.returncode != 0
    assert "this machine does not run systemd" in done.stderr


def test_an_interpreter_that_the_service_can_not_start_is_refused_in_a_sentence(
    tmp_path: Path,
) -> None:
    python = tmp_path / "python3"
    shutil.copy(os.path.realpath(sys.executable), python)
    done = make(REPOSITORY, "install", f"DESTDIR={tmp_path / 'root'}", f"PYTHON={python}")
    assert done.returncode != 0
    assert f"{python} can't be started by the service's user" in done.stdout
    assert list((tmp_path / "root").iterdir()) == []


def test_another_device_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = make(REPOSITORY, "install", f"DESTDIR={tmp_path}", "DEVICE=tpu")
    assert done.returncode != 0
    assert "DEVICE=tpu: should be cpu or gpu." in done.stdout


def test_scripts_are_sound() -> None:
    for script in sorted((REPOSITORY / "deploy").glob("*.sh")):
        for shell in ("dash", "bash"):
            if shutil.which(shell):
                subprocess.run([shell, "-n", script], check=True)
