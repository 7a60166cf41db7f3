"""A newcomer follows the page command by command, on a machine on which nothing is installed.

What stands in for the world outside the machine is told in newcomer.py. Two more things: the
password that smbpasswd and smbclient ask a terminal for comes from their input and from a variable,
and what a page calls `nas` is this machine.
"""

import json
import shlex
import time
from collections.abc import Iterator

import pytest
from newcomer import REPOSITORY, SOURCE, Machine, fresh_machine, lay_out_repository
from PIL import Image, ImageChops
from walk import OPERATIONS, Terminal, follow

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

# Panels of which some stay empty while all goes well.
AT_REST = {"Longest wait for a turn", "What was in the way"}
PASSWORD = "open sesame"  # noqa: S105 - of a machine that lives for minutes


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Terminal]]:
    """A machine on which the page was followed to its end, and the shell in which that was."""
    room = tmp_path_factory.mktemp("ten-minutes")
    lay_out_repository(room / "repository")
    machine = fresh_machine(room / "machine", room / "repository", has_downloads=True)
    try:
        terminal = Terminal(machine, {"PASSWD": PASSWORD, "OMP_NUM_THREADS": "1"})
        bridges = {"ADDRESS": SOURCE, "smbpasswd -a": "smbpasswd -s -a"}
        typed = {"smbpasswd": f"{PASSWORD}\n{PASSWORD}\n"}
        follow(OPERATIONS / "ten-minutes.md", terminal, answers=typed, bridges=bridges)
        yield machine, terminal
    finally:
        machine.remove()


def test_who_follows_the_page_fetches_the_right_picture_from_the_share(
    followed: tuple[Machine, Terminal],
) -> None:
    machine, _ = followed
    before = Image.open(machine.path("/root/coffee.jpg")).convert("RGB")
    mask = Image.open(machine.path("/root/coffee_mask.png"))
    after = Image.open(machine.path("/root/coffee.png"))
    difference = ImageChops.difference(before, after.convert("RGB")).convert("L")
    hole = mask.point(lambda value: 255 if value else 0)
    kept = ImageChops.invert(hole)
    black = Image.new("L", before.size)
    assert Image.composite(difference, black, kept).getbbox() is None
    # The spoon is bright; where it was, much is darker now.
    assert sum(Image.composite(difference, black, hole).histogram()[32:]) > 1000


def test_the_originals_lie_where_the_page_says(followed: tuple[Machine, Terminal]) -> None:
    machine, _ = followed
    spool = machine.path("/var/lib/retouchd")
    archive = {path.name for path in (spool / "archive").iterdir()}
    assert archive == {"coffee.jpg", "coffee_mask.png"}
    assert list((spool / "inbox").iterdir()) == []


def test_the_commands_of_the_troubleshooting_page_run(followed: tuple[Machine, Terminal]) -> None:
    machine, terminal = followed
    mark = "/var/lib/retouchd/inbox/lonely.jpg"
    machine.run(f"cp /root/coffee.jpg {mark} && chown scanner {mark} && chmod 600 {mark}")
    follow(OPERATIONS / "troubleshooting.md", terminal)
    # What lay there unreadable has been given to the group, as the page says.
    assert machine.path(mark).stat().st_mode & 0o060 == 0o060


def test_the_commands_of_daily_care_run_and_the_service_goes_on(
    followed: tuple[Machine, Terminal],
) -> None:
    machine, terminal = followed
    terminal.type("cd /root/retouchd; cp /opt/retouchd/networks/inpaint.pt better.pt")
    follow(OPERATIONS / "index.md", terminal)
    # What the daemon says and what systemd says of it reach the journal by two ways.
    reloaded = 'journalctl -u retouchd -o cat | grep -q \'"event": "reloaded"\''
    machine.run(until(reloaded), timeout_s=30)
    assert machine.run("systemctl is-active retouchd").stdout == "active\n"


def test_who_follows_the_page_on_monitoring_has_numbers_and_alerts(
    followed: tuple[Machine, Terminal],
) -> None:
    machine, terminal = followed
    terminal.type("cd /root/retouchd")
    follow(OPERATIONS / "monitoring.md", terminal)
    file = "/var/lib/retouchd/metrics/retouchd.prom"
    # Whoever collects is neither root nor of the service's group.
    machine.run(f"promtool check metrics <{file}", user="nobody")


def test_what_the_dashboard_asks_is_answered_by_the_prometheus_of_the_page(
    followed: tuple[Machine, Terminal],
) -> None:
    machine, _ = followed
    inbox = "/var/lib/retouchd/inbox"
    machine.run(f"cp /root/coffee.jpg {inbox}/lone.jpg")
    for name, mask in (("well", "/root/coffee_mask.png"), ("badly", "/etc/hostname")):
        machine.run(f"cp {mask} {inbox}/{name}_mask.png && cp /root/coffee.jpg {inbox}/{name}.jpg")
    board = json.loads((REPOSITORY / "deploy" / "grafana" / "retouchd.json").read_text("utf-8"))
    asked = {
        (panel["title"], target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }
    deadline = time.monotonic() + 90  # it asks four times a minute, and rates want two answers
    # Nothing waits for its turn on this machine, and nothing is in the way.
    while (unanswered := {t for t, e in asked if not is_answered(machine, e)}) - AT_REST:
        assert time.monotonic() < deadline, unanswered
        time.sleep(2)


def is_answered(machine: Machine, question: str) -> bool:
    """Whether Prometheus has a number for what a panel asks it."""
    for variable, value in (("$instance", ".*"), ("$__rate_interval", "2m"), ("$__range", "1h")):
        question = question.replace(variable, value)
    ask = "curl -sS --get http://localhost:9090/api/v1/query --data-urlencode"
    answer = json.loads(machine.run(f"{ask} {shlex.quote(f'query={question}')}").stdout)
    assert answer["status"] == "success", answer
    return any(each["value"][1] != "NaN" for each in answer["data"]["result"])


def test_the_rule_for_the_archive_goes_by_the_day_on_which_a_file_was_put_away(
    followed: tuple[Machine, Terminal],
) -> None:
    machine, _ = followed
    rule, kept = "/etc/tmpfiles.d/retouchd-archive.conf", "/var/lib/retouchd/archive/coffee.jpg"
    machine.run(f"touch --date 2001-01-01 {kept}")
    machine.run(f"systemd-tmpfiles --clean {rule}")
    assert machine.path(kept).exists()
    machine.run(f"sed -i s/90d/0/ {rule} && systemd-tmpfiles --clean {rule}")
    assert not machine.path(kept).exists()


def test_a_spool_on_a_mount_is_worked_as_the_page_on_mounts_says(
    followed: tuple[Machine, Terminal],
) -> None:
    machine, terminal = followed
    # No NAS is here: the same line mounts a folder of this machine, at another place.
    nfs = "nas:/volume1/retouchd  /mnt/retouchd  nfs  rw,hard,noatime,nofail,_netdev"
    here = "/srv/volume1  /mnt/retouchd  none  bind,nofail"
    machine.run("mkdir -p /mnt/retouchd /srv/volume1")
    # What PyMatting has compiled is taken along: anew it would take most of a minute.
    machine.run("cd /var/lib/retouchd && cp -a --parents work/.cache /srv/volume1")
    follow(OPERATIONS / "network-mounts.md", terminal, bridges={nfs: here})
    assert "What=//nas/retouchd" in machine.run(r"systemctl cat 'mnt-retouchd\x2dsmb.mount'").stdout
    work_off(machine, "before")
    # As when a NAS goes away: what is open stays so, and nothing more is found there.
    machine.run("umount --lazy /mnt/retouchd")
    machine.run(until("systemctl show retouchd -p StatusText | grep -q holding"), timeout_s=60)
    assert list(machine.path("/mnt/retouchd").iterdir()) == []
    machine.run("mount /mnt/retouchd")
    work_off(machine, "after")
    # As after a power cut, with a NAS that is slower than this machine. A folder that is missing
    # systemd would make; with a file in its place the mount fails.
    machine.run("systemctl stop retouchd && umount /mnt/retouchd && mv /srv/volume1 /srv/off")
    machine.run("touch /srv/volume1")
    machine.run("systemctl start --no-block retouchd")
    machine.run(until("systemctl show retouchd -p SubState | grep -q auto-restart"), timeout_s=60)
    assert list(machine.path("/mnt/retouchd").iterdir()) == []
    machine.run("rm /srv/volume1 && mv /srv/off /srv/volume1")
    machine.run(until("mountpoint -q /mnt/retouchd"), timeout_s=60)
    work_off(machine, "again")


def work_off(machine: Machine, name: str) -> None:
    """Put the page's picture and mask on the mount, and wait for the result."""
    inbox, outbox = "/mnt/retouchd/inbox", "/mnt/retouchd/outbox"
    machine.run(f"cp /root/coffee_mask.png {inbox}/{name}_mask.png")
    machine.run(f"cp /root/coffee.jpg {inbox}/{name}.jpg")
    machine.run(until(f"[ -e {outbox}/{name}.png ]"), timeout_s=90)


def until(condition: str) -> str:
    """A shell line that ends when a condition holds."""
    return f"until {condition}; do sleep 0.2; done"
