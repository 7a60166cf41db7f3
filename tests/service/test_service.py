"""The installed service under the real systemd: what it does in good times and in bad."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from machine import Machine
from PIL import Image
from serving import SETTINGS, SPOOL, STARTER, Service, inverted, write_slow
from skimage import data

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def worker(service: Service) -> int:
    return int(service.events("worker_started")[-1]["pid"])


def test_it_is_up_only_when_it_has_looked_at_the_inbox(service: Service) -> None:
    service.machine.run("systemctl start retouchd")
    # `start` returns at the daemon's word, which follows its first look.
    assert service.events("watching")
    assert service.show("ActiveState") == "active"
    assert service.show("StatusText") != ""


def test_the_check_is_content_and_the_worker_confined_as_it_is_in_a_plain_shell(
    service: Service,
) -> None:
    service.configure(inpaint_model=STARTER)
    told = service.machine.run(f"retouchd check --settings {SETTINGS}", user="retouchd").stdout
    assert "BAD" not in told
    assert "the models run" in told
    service.start()
    holds = service.wait_for("worker_started")["confinement"]
    assert f"the worker is confined ({' and '.join(holds)})" in told
    assert service.events("worker_unconfined") == []
    # And it works.
    photo = Image.fromarray(data.coffee()).resize((150, 100))
    mask = Image.new("L", photo.size)
    mask.paste(255, (60, 30, 90, 60))
    service.drop_pictures("coffee", photo, mask)
    result, hole = service.result("coffee"), np.asarray(mask) > 0
    assert np.array_equal(result[~hole], np.asarray(photo)[~hole])
    assert not np.array_equal(result[hole], np.asarray(photo)[hole])


def test_a_result_has_the_groups_folder_and_the_mode_that_is_set(service: Service) -> None:
    service.configure(file_mode="0640")
    service.start()
    photo = service.drop("holiday")
    assert np.array_equal(service.result("holiday"), inverted(photo))
    told = service.machine.run(f"stat --format='%a %U %G' {SPOOL}/outbox/holiday.*").stdout
    # The result, its log and its preview.
    assert told.splitlines() == 3 * ["640 retouchd retouchd"]
    assert service.files("inbox") == []
    assert service.files("archive") == ["holiday.png", "holiday_mask.png"]
    # A member of the group fetches it and clears it away; a stranger can't even read it.
    assert service.machine.run(
        f"cat {SPOOL}/outbox/holiday.png", user="nobody", check=False
    ).returncode
    service.machine.run(f"mv {SPOOL}/outbox/holiday.* /var/tmp", user="alice")


def test_killed_it_is_started_again_and_goes_on(service: Service, tmp_path: Path) -> None:
    service.model_is(write_slow(tmp_path))
    service.start()
    photo = service.drop("cut", slow=True)
    service.wait_for("job_started")
    before = service.pid()
    service.machine.run("systemctl kill --kill-whom=main --signal=KILL retouchd")
    assert np.array_equal(service.result("cut"), inverted(photo))
    assert service.pid() not in (0, before)
    assert service.show("NRestarts") == "1"


def test_a_worker_that_is_killed_is_replaced_and_the_service_stays(
    service: Service, tmp_path: Path
) -> None:
    service.model_is(write_slow(tmp_path))
    service.start()
    photo = service.drop("cut", slow=True)
    service.wait_for("job_started")
    before = service.pid()
    service.machine.run(f"kill -KILL {worker(service)}")
    assert np.array_equal(service.result("cut"), inverted(photo))
    assert (service.pid(), service.show("NRestarts")) == (before, "0")


def test_the_watchdog_replaces_one_that_hangs_and_leaves_alone_one_that_is_idle(
    service: Service,
) -> None:
    # The settings' own pace of the scan; the loop turns every five seconds.
    service.configure(scan_interval_s=10)
    service.drop_in("RestartSec=200ms", "WatchdogSec=6s")
    service.machine.run("systemctl start retouchd; sleep 8")
    before = service.pid()
    assert service.show("NRestarts") == "0"
    service.machine.run(f"kill -STOP {before}")
    photo = service.drop("meanwhile")
    assert np.array_equal(service.result("meanwhile"), inverted(photo))
    assert service.pid() not in (0, before)
    assert any("Watchdog timeout" in line for line in service.said())


def test_a_stop_waits_for_the_job_in_work(service: Service, tmp_path: Path) -> None:
    service.model_is(write_slow(tmp_path))
    service.start()
    photo = service.drop("last", slow=True)
    service.wait_for("job_started")
    service.machine.run("systemctl stop retouchd")
    assert {"last.log", "last.png", "last.preview.jpg"} <= set(service.files("outbox"))
    assert np.array_equal(service.result("last"), inverted(photo))
    assert service.show("Result") == "success"


def test_bad_settings_end_it_with_a_sentence_and_for_good(service: Service) -> None:
    service.configure(quiet_perod_s=3)
    assert service.machine.run("systemctl start retouchd", check=False).returncode != 0
    assert service.show("ActiveState") == "failed"
    assert service.show("ExecMainStatus") == "2"
    service.machine.run("sleep 1")  # five times RestartSec
    assert service.show("NRestarts") == "0"
    status = service.machine.run("systemctl status retouchd --no-pager --full", check=False).stdout
    assert "there is no setting 'quiet_perod_s'. Did you mean 'quiet_period_s'?" in status


def test_a_reload_returns_when_the_new_network_serves(service: Service, tmp_path: Path) -> None:
    service.start()
    photo = service.drop("before")
    assert np.array_equal(service.result("before"), inverted(photo))
    service.model_is(tiny.write_painting(tmp_path / "grey.pt", 77))
    service.machine.run("systemctl reload retouchd")
    assert service.events("reloaded")
    assert len(service.events("worker_started")) == 2
    service.drop("after")
    assert (service.result("after")[10:40, 20:60] == 77).all()
    # One that can't be used changes nothing, and the reload returns all the same.
    (tmp_path / "broken.pt").write_bytes(b"no network")
    service.model_is(tmp_path / "broken.pt")
    service.machine.run("systemctl reload retouchd")
    assert service.events("reload_refused")
    service.drop("still")
    assert (service.result("still")[10:40, 20:60] == 77).all()
    assert service.show("NRestarts") == "0"


def test_a_disk_that_is_mounted_on_the_inbox_later_is_seen(service: Service) -> None:
    service.start()
    inbox = f"{SPOOL}/inbox"
    options = "mode=2775,uid=retouchd,gid=retouchd"
    service.machine.run(f"mount -t tmpfs -o {options} tmpfs {inbox}")
    try:
        service.wait_for("inbox_changed")
        photo = service.drop("mounted")
        assert np.array_equal(service.result("mounted"), inverted(photo))
    finally:
        service.machine.run(f"systemctl stop retouchd; umount {inbox}")


def test_after_a_reboot_it_goes_on_where_it_was(service: Service, tmp_path: Path) -> None:
    service.machine.run("systemctl enable retouchd")
    service.configure(stop_timeout_s=0)
    service.model_is(write_slow(tmp_path))
    service.start()
    cut = service.drop("cut", slow=True)
    service.wait_for("job_started")
    waiting = service.drop("waiting")
    # The service is stopped in mid-job, and the job cut short.
    service.machine.power_off()
    assert [name for name in service.files("outbox") if "html" not in name] == []
    service.machine.boot()
    service.drop_in("RestartSec=200ms")  # what lies in /run is gone
    assert np.array_equal(service.result("cut"), inverted(cut))
    assert np.array_equal(service.result("waiting"), inverted(waiting))


def test_it_writes_nowhere_but_into_its_spool(service: Service) -> None:
    service.machine.run("systemctl start retouchd")
    enter = f"nsenter --mount --target {service.pid()} --"
    for folder in ("/etc", "/opt/retouchd/networks", "/usr/local/bin", "/var/lib", "/root"):
        done = service.machine.run(f"{enter} touch {folder}/x", check=False)
        assert done.returncode != 0, folder
    service.machine.run(f"{enter} touch {SPOOL}/outbox/x")


def test_its_machine_is_this_tests_alone(machine: Machine) -> None:
    """No test here says anything about the host's own service manager."""
    assert machine.run("hostname").stdout != Path("/etc/hostname").read_text()
