"""A fresh machine for the pages of docs/operations, and what stands in for the world outside it.

The machine boots the real systemd and runs the real programs of Debian's packages, which it sees in
the host's read-only /usr. What it has not is a network, so:

- `apt-get` downloads nothing: it looks whether the host has the packages that are asked for, and
  their files in /etc and folders in /var are put there as the packages' own scripts do. Of their
  services it starts node_exporter, which no page has to tell to.
- The repository's address is a folder, /srv/repository: this working tree, as one commit.
- `make install` finds uv, and each Python package in uv's cache, as they were left on the host when
  the environment was made that runs this test. It installs them, with their hashes, as anywhere.
- The names of other machines, such as `nas`, are this machine's.
- The question whether a key of an SSH server is the right one is answered beforehand.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
sys.path.append(str(REPOSITORY / "tests" / "service"))

from machine import Machine as Machine  # noqa: E402 - found by the line above

# Where the machine sees this repository, read-only.
SOURCE: Final = "/srv/repository"

_APT_GET: Final = """\
#!/bin/sh
# The packages must be on the host, whose /usr this machine has.
for word in "$@"; do
    case "$word" in
    install | update | -y | --no-install-recommends) ;;
    *) dpkg --status "$word" >/dev/null || exit 1 ;;
    esac
    case "$word" in
    prometheus-node-exporter) systemctl start "$word" ;;
    esac
done
"""
# What the packages put into /etc, and the folders and users that their scripts make.
_OF_PACKAGES: Final = (
    *("samba", "vsftpd.conf", "ftpusers", "shells", "default", "ssh/ssh_config", "ssh/sshd_config"),
    "prometheus",
)
_FOLDERS: Final = (
    *("var/lib/samba/private", "var/cache/samba", "var/log/samba", "etc/ssh/sshd_config.d"),
    *("var/spool/samba", "var/mail", "var/lib/prometheus/node-exporter"),
)
_PREPARE: Final = """
chmod 700 /var/lib/samba/private
useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd
useradd --system --home-dir /var/lib/prometheus --shell /usr/sbin/nologin prometheus
chown prometheus: /var/lib/prometheus
ssh-keygen -q -A
for name in localhost nas; do
    sed "s/^/$name /" /etc/ssh/ssh_host_ed25519_key.pub >> /etc/ssh/ssh_known_hosts
done
"""


def lay_out_repository(folder: Path) -> None:
    """Make `folder` a repository with one commit: the working tree, without what git ignores."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "-m", "all")):
        subprocess.run(["git", *command], cwd=folder, check=True)


def fresh_machine(
    folder: Path, repository: Path = REPOSITORY, *, has_downloads: bool = False
) -> Machine:
    """A machine that has been booted for the first time; `remove` it in the end."""
    machine = Machine(folder)
    if has_downloads:
        machine.lend_downloads()
    for name in _OF_PACKAGES:
        source, target = Path("/etc", name), machine.path(f"/etc/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, target)
    for name in _FOLDERS:
        machine.path(name).mkdir(parents=True, exist_ok=True)
    machine.path("/etc/hosts").write_text("127.0.0.1 localhost nas tests\n")
    machine.bind(Path("/var/lib/dpkg"), "/var/lib/dpkg")
    machine.bind(repository, SOURCE)
    apt_get = machine.path("/usr/local/bin/apt-get")
    apt_get.write_text(_APT_GET)
    apt_get.chmod(0o755)
    machine.boot()
    machine.run(_PREPARE)
    return machine
