"""A small machine of its own that boots the system's real systemd, in about a second.

It has no disk image: its root is a folder with an `/etc` made by hand, and the host's `/usr` bound
read-only. Its files are the host's files, so `machine.path("/var/lib/...")` can be read and written
from outside. It has no network, a `/usr/local` and an `/opt` of its own, and whatever `bind` names.

    machine = Machine(folder)          # makes the root, if it is not there yet
    machine.bind(repository, "/src")   # read-only, before it boots
    machine.lend_downloads()           # with these `make install` works without a network
    machine.boot()
    machine.run("systemctl start retouchd")           # a shell line, as root; fails if it does
    done = machine.run("systemctl is-active retouchd", check=False)   # a CompletedProcess
    machine.run("id", user="alice")    # as somebody else
    machine.power_off()                # in order, as `poweroff` does; `cut_power()` is without
    machine.boot()                     # with the files of before

Needs root, `unshare` and the package systemd-container. Where it can't boot it raises `BootError`.
"""

import contextlib
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
BOOT_S: Final = 60.0
RUN_S: Final = 120.0
POWER_OFF_S: Final = 90.0

# The machine's own cgroup, and PID 1 in it. systemd wants the second version at its usual place.
_START: Final = """
set -e
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
shift
exec env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn "$@"
"""
_CLEAN: Final = """
umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 0
[ ! -d "/sys/fs/cgroup/$1" ] || find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +
"""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
_USERS: Final = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
messagebus:x:100:101::/nonexistent:/usr/sbin/nologin
"""
_GROUPS: Final = (
    "root:x:0: daemon:x:1: adm:x:4: tty:x:5: disk:x:6: lp:x:7: kmem:x:15: dialout:x:20: "
    "cdrom:x:24: tape:x:26: sudo:x:27: audio:x:29: utmp:x:43: video:x:44: plugdev:x:46: "
    "users:x:100: input:x:104: sgx:x:105: kvm:x:106: render:x:107: systemd-journal:x:102: "
    "messagebus:x:101: nogroup:x:65534:"
)
# What the machine can do without, and what would only say that it can't work here.
_MASKED: Final = (
    *("systemd-logind", "systemd-networkd", "systemd-networkd-wait-online", "systemd-resolved"),
    *("systemd-timesyncd", "systemd-hwdb-update", "systemd-firstboot", "systemd-update-done"),
    *("systemd-update-utmp", "systemd-update-utmp-runlevel", "systemd-ask-password-wall"),
    *("systemd-machine-id-commit", "systemd-network-generator", "getty@tty1", "console-getty"),
    *("systemd-journal-flush", "systemd-journal-catalog-update", "systemd-pcrphase-sysinit"),
    *("e2scrub_reap", "apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "fstrim", "logrotate"),
    *("ldconfig", "rc-local", "systemd-sysusers", "systemd-boot-random-seed"),
)
_TARGET: Final = """\
[Unit]
Description=What the tests boot into
Requires=basic.target
Wants=multi-user.target
After=basic.target
AllowIsolate=yes
"""

_numbers = itertools.count()


class BootError(Exception):
    """The machine does not boot. The text holds what it said."""


class Machine:
    """One machine; its root is `folder`, which is made ready where it is empty."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.name = f"retouchd-test-{os.getpid()}-{next(_numbers)}"
        self._binds: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._console = folder.parent / f"{folder.name}.console"
        if not (folder / "etc").exists():
            _make_root(folder)

    def path(self, inside: str) -> Path:
        """Where a file of the machine lies, as seen from outside."""
        return self.root / inside.lstrip("/")

    def bind(self, outside: Path, inside: str, *, writable: bool = False) -> None:
        """Show a folder of the host in the machine, from the next boot on."""
        self.path(inside).mkdir(parents=True, exist_ok=True)
        self._binds.append(f"--bind{'' if writable else '-ro'}={outside}:{inside}")

    def lend_uv(self) -> str:
        """Give it the uv that `make` uses here. Returns where that lies."""
        uv = uv_of_make()
        shutil.copy(uv, self.path("/usr/local/bin/uv"))
        return uv

    def lend_downloads(self) -> None:
        """Give it uv and what uv has downloaded here, by hard links where that is possible.

        The machine has no network; with this `make install` works in it all the same.
        """
        uv = self.lend_uv()
        told = subprocess.run([uv, "cache", "dir"], check=True, capture_output=True, text=True)
        ours = Path(told.stdout.strip())
        theirs = self.path("/root/.cache/uv")
        theirs.parent.mkdir(exist_ok=True)
        links = ["cp", "-a", "--link", str(ours), str(theirs)]
        if subprocess.run(links, check=False, capture_output=True).returncode:
            self.bind(ours, "/root/.cache/uv", writable=True)
        index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
        known = f'[[index]]\nurl = "{index}"\ndefault = true\n' if index else ""
        self.path("/etc/uv").mkdir()
        self.path("/etc/uv/uv.toml").write_text(f"offline = true\n{known}")

    def boot(self) -> None:
        """Start it; on return its systemd has started everything. Raises `BootError`."""
        arguments = [
            *("--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            # It keeps what runs in it from these calls, and no machine of metal does.
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            *("-M", self.name, "-D", str(self.root), *_programs(), *self._binds),
            *("--boot", "systemd.log_target=journal", "systemd.unit=tests.target"),
        ]
        # It ends with the tests, however these end.
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--propagation",
            "private",
        ]
        command += ["--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", _START, "bash"]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [*command, self.name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for_boot()
        except BootError:
            self.cut_power()
            raise

    def run(
        self,
        line: str,
        *,
        user: str | None = None,
        check: bool = True,
        timeout_s: float = RUN_S,
        variables: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell line inside, as root or as a user. With `check` it has to succeed."""
        command = ["bash", "-c", line]
        if user is not None:
            command = ["runuser", "-u", user, "--", *command]
        clean = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8"]
        clean += [f"{name}={value}" for name, value in (variables or {}).items()]
        done = subprocess.run(
            ["nsenter", "-t", str(self._init), "-a", "--", *clean, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{line!r} ended with {done.returncode}:\n{said}")
        return done

    def journal(self, unit: str) -> list[str]:
        """What a unit, and systemd about it, has logged since the last boot; a line each."""
        told = self.run(f"journalctl --boot --no-pager --output=cat --unit={shlex.quote(unit)}")
        return told.stdout.splitlines()

    def power_off(self) -> None:
        """Shut it down as `poweroff` does: every service is stopped first."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init, signal.SIGRTMIN + 4)
        try:
            self._process.wait(timeout=POWER_OFF_S)
        finally:
            self.cut_power()

    def cut_power(self) -> None:
        """End everything that runs in it, at once."""
        if self._process is None:
            return
        if self._init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait(timeout=POWER_OFF_S)
        self._process, self._init = None, 0
        clean = ["unshare", "-m", "--propagation", "private", "bash", "-c", _CLEAN, "bash"]
        subprocess.run([*clean, self.name], check=False, capture_output=True)

    def remove(self) -> None:
        """Cut its power, and remove its root."""
        self.cut_power()
        shutil.rmtree(self.root)
        self._console.unlink(missing_ok=True)

    def _wait_for_boot(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BootError(f"the machine does not boot: {self._said()}")
            self._init = self._init or _init_of(self._process.pid)
            if self._init and self._is_running():
                return
            time.sleep(0.02)
        raise BootError(f"after {BOOT_S:.0f} s the machine has not booted: {self._said()}")

    def _is_running(self) -> bool:
        told = self.run("systemctl is-system-running", check=False).stdout.strip()
        if told == "degraded":
            failed = self.run("systemctl --failed --no-legend --plain").stdout
            raise BootError(f"units have failed:\n{failed}{self._said()}")
        return told == "running"

    def _said(self) -> str:
        return self._console.read_text(errors="replace")[-4000:]


def uv_of_make() -> str:
    """The uv that `make` uses here."""
    return shutil.which("uv") or str(REPOSITORY / ".tools/uv/bin/uv")


def _init_of(pid: int) -> int:
    """The machine's PID 1 as the host numbers it, somewhere below a process; or 0."""
    for child in _children(pid):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return child
        if found := _init_of(child):
            return found
    return 0


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _programs() -> list[str]:
    """The host's programs and libraries, to be bound: all of /usr but /usr/local."""
    parts = [path for path in sorted(Path("/usr").iterdir()) if path.name != "local"]
    return [f"--bind-ro={path}" for path in parts if not path.is_symlink()]


def _make_root(root: Path) -> None:
    """An empty system: folders, users, and which services not to start."""
    folders = ("proc", "sys", "dev", "run", "home", "srv", "mnt", "opt", "usr/local/bin", "var/lib")
    more = ("var/tmp", "var/cache", "var/log/journal", "etc/systemd/system")
    for name in (*folders, *more):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "root").mkdir(mode=0o700)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "var/tmp").chmod(0o1777)
    (root / "var/run").symlink_to("/run")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    _make_etc(root / "etc")


def _make_etc(etc: Path) -> None:
    (etc / "passwd").write_text(_USERS)
    (etc / "group").write_text("\n".join(_GROUPS.split()) + "\n")
    names = [line.split(":")[0] for line in _USERS.splitlines()]
    (etc / "shadow").write_text("".join(f"{name}:*:19000:0:99999:7:::\n" for name in names))
    (etc / "shadow").chmod(0o640)
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    (etc / "machine-id").write_text(f"{os.urandom(16).hex()}\n")
    (etc / "hostname").write_text("tests\n")
    (etc / "hosts").write_text("127.0.0.1 localhost tests\n")
    (etc / "fstab").touch()
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "os-release", "dbus-1", "pam.d"):
        _copy(Path("/etc", name), etc / name)
    for name in ("alternatives", "ssl/certs", "login.defs", "profile", "security", "bash.bashrc"):
        _copy(Path("/etc", name), etc / name)
    system = etc / "systemd/system"
    (system / "tests.target").write_text(_TARGET)
    for name in _MASKED:
        for kind in ("service", "timer"):
            (system / f"{name}.{kind}").symlink_to("/dev/null")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.exists():
        shutil.copy(source, target)
