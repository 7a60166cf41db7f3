"""An update, and the end: what people have put in stays. These come last; they take away."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from installing import check_out
from serving import SETTINGS, SPOOL, Service, inverted

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def test_an_update_takes_new_code_and_leaves_settings_and_the_running_service(
    service: Service,
) -> None:
    checkout = check_out(service.machine.path("/root/retouchd"))
    # Where the system's disk is small, /opt lies on another; what runs is named by its path there.
    service.machine.run("mv /opt /srv/opt && ln -s srv/opt /opt")
    (checkout / "daemon/__init__.py").write_text('"""Newer."""\n\n__version__ = "99.1"\n')
    service.start()
    settings, before = service.machine.path(SETTINGS).read_text(), service.pid()
    said = service.machine.run("make -C /root/retouchd install", timeout_s=300).stdout
    assert "its packages stay" in said
    assert "When it suits: systemctl restart retouchd" in said
    assert service.machine.run("retouchd --version").stdout == "retouchd 99.1\n"
    assert service.machine.path(SETTINGS).read_text() == settings
    # What runs has the packages that it began with, also those that it has not loaded yet.
    assert (service.pid(), service.show("NRestarts")) == (before, "0")
    photo = service.drop("between")
    assert np.array_equal(service.result("between"), inverted(photo))
    environments = service.machine.path("/opt/retouchd/environments")
    assert len(list(environments.iterdir())) == 2
    service.machine.run("systemctl restart retouchd")
    photo = service.drop("after")
    assert np.array_equal(service.result("after"), inverted(photo))
    assert service.machine.run("make -C /root/retouchd install").stdout
    assert len(list(environments.iterdir())) == 1


def test_uninstalling_leaves_spool_settings_and_networks_of_ones_own(service: Service) -> None:
    check_cut_off_removal(service)
    service.machine.run("systemctl enable --now retouchd")
    networks = service.machine.path("/opt/retouchd/networks")
    shutil.copy(service.machine.path(service.model), networks / "matting.pt")
    (networks / "mine.pt").write_bytes(b"mine")
    said = service.machine.run("make -C /root/retouchd uninstall").stdout
    assert "pictures in /var/lib/retouchd" in said
    assert service.machine.run("systemctl is-active retouchd", check=False).stdout == "inactive\n"
    assert service.machine.run("systemctl cat retouchd", check=False).returncode != 0
    for gone in ("/usr/local/bin/retouchd", "/opt/retouchd/venv", "/etc/sysusers.d/retouchd.conf"):
        assert not service.machine.path(gone).is_symlink()
        assert not service.machine.path(gone).exists(), gone
    assert service.machine.path(SETTINGS).exists()
    assert service.machine.path(f"{SPOOL}/inbox").is_dir()
    # What the installation exported is gone; what somebody put in its place, or beside it, is not.
    assert sorted(path.name for path in networks.iterdir()) == ["matting.pt", "mine.pt"]
    again = service.machine.run("make -C /root/retouchd uninstall")
    assert Path(networks, "mine.pt").exists()
    assert "removed" in again.stdout


def check_cut_off_removal(service: Service) -> None:
    """An environment that a removal has torn is not taken for a whole one ever after."""
    environment = next(service.machine.path("/opt/retouchd/environments").iterdir())
    assert (environment / ".whole").exists()
    dying = '#!/bin/sh\n[ $1 = -f ] && exec /bin/rm "$@"\nkill -9 $PPID\n'
    service.machine.path("/srv/bin").mkdir()
    service.machine.path("/srv/bin/rm").write_text(dying)
    service.machine.path("/srv/bin/rm").chmod(0o755)
    uninstall = "cd /root/retouchd && PATH=/srv/bin:$PATH sh deploy/uninstall.sh"
    assert service.machine.run(uninstall, check=False).returncode != 0
    assert (environment / "lib").exists()
    assert not (environment / ".whole").exists()
    assert not (environment / ".pins").exists()
