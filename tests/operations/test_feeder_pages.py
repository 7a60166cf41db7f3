"""The pages of the feeders, followed command by command: what they bring can be taken."""

import json
from collections.abc import Iterator

import pytest
from newcomer import SOURCE, Machine, fresh_machine
from PIL import Image
from walk import OPERATIONS, Terminal, follow

pytestmark = pytest.mark.service

PASSWORD = "open sesame"  # noqa: S105 - of a machine that lives for seconds
ACCOUNT = {"passwd scanner": f"{PASSWORD}\n{PASSWORD}\n"}


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the user and the folders of the installation, without the program."""
    machine = fresh_machine(tmp_path_factory.mktemp("feeders") / "machine")
    machine.run(f"systemd-sysusers {SOURCE}/deploy/sysusers.conf")
    machine.run(f"systemd-tmpfiles --create {SOURCE}/deploy/tmpfiles.conf")
    yield machine
    machine.remove()


@pytest.fixture
def machine(booted: Machine) -> Iterator[Machine]:
    """A machine on which no feeder is set up, and in root's home two pictures to be sent."""
    booted.run(f"cp -r {SOURCE}/deploy /root")
    for name, mode in (("cat.jpg", "RGB"), ("cat_mask.png", "L")):
        Image.new(mode, (32, 24)).save(booted.path(f"/root/{name}"))
        booted.path(f"/root/{name}").chmod(0o600)  # what a sender keeps for himself
    yield booted
    booted.run(
        "find /root /var/lib/retouchd/inbox -mindepth 1 -delete; ! id scanner || userdel scanner"
    )


def takes(machine: Machine, *names: str) -> None:
    """The daemon's user reads the files in the inbox and moves them away; nothing is left."""
    for name in names:
        file = f"/var/lib/retouchd/inbox/{name}"
        machine.run(f"cat {file} >/dev/null && mv {file} /var/lib/retouchd/work/", user="retouchd")
    left = [path.name for path in machine.path("/var/lib/retouchd/inbox").glob("[!.]*")]
    assert left == []


def test_what_the_page_on_ftp_brings_can_be_taken(machine: Machine) -> None:
    typed = {**ACCOUNT, "curl": f"{PASSWORD}\n"}
    follow(OPERATIONS / "ftp.md", Terminal(machine), answers=typed)
    takes(machine, "cat.jpg", "cat_mask.png")


def test_what_the_page_on_sftp_and_scp_brings_can_be_taken(machine: Machine) -> None:
    Terminal(machine).type("chmod a+r cat.jpg cat_mask.png")  # as the page says of such files
    follow(OPERATIONS / "sftp-and-scp.md", Terminal(machine), answers=ACCOUNT)
    takes(machine, "cat.jpg", "cat_mask.png")


def test_what_the_page_on_rsync_brings_can_be_taken(machine: Machine) -> None:
    terminal = Terminal(machine)
    terminal.type("mkdir new; mv cat.jpg cat_mask.png new/; (umask 077; echo PASSWORD > password)")
    follow(OPERATIONS / "rsync.md", terminal)
    takes(machine, "cat.jpg", "cat_mask.png")


def test_what_the_page_on_samba_brings_can_be_taken(machine: Machine) -> None:
    # Without a terminal smbclient asks this variable for the password, and smbpasswd its input.
    terminal = Terminal(machine, {"PASSWD": PASSWORD})
    typed = {"smbpasswd": f"{PASSWORD}\n{PASSWORD}\n"}
    bridges = {"smbpasswd -a": "smbpasswd -s -a"}
    follow(OPERATIONS / "samba.md", terminal, answers=typed, bridges=bridges)
    takes(machine, "cat.jpg", "cat_mask.png")


def test_the_page_on_syncthing_sets_up_a_folder_that_gives_nothing_back(machine: Machine) -> None:
    follow(OPERATIONS / "syncthing.md", Terminal(machine))
    dump = "runuser -u syncthing -- syncthing cli config folders retouchd dump-json"
    folder = json.loads(machine.run(dump).stdout)
    assert folder["type"] == "receiveonly"
    assert folder["ignorePerms"] is True
    # It has put its own mark there, in a way that the daemon passes over.
    assert machine.path("/var/lib/retouchd/inbox/.stfolder").is_dir()
