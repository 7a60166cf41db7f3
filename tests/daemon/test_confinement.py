"""What a program can do that got into a worker through a picture: nothing that counts.

`exploits` has the acts. They are tried by a process that confines itself as a worker does, and
some of them by the worker of a real daemon, where a mock stands for the hole in a decoder.
"""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import exploits
import landlockpy
import pytest
from driver import PATIENCE_S, REPOSITORY, Daemon, Site, hole, inverted, load, photo, save, trimap

from daemon.worker import denied_calls, main
from daemon.worker.confinement import confine
from daemon.worker.protocol import Orders

pytestmark = pytest.mark.skipif(not landlockpy.supported(), reason="this kernel has no Landlock")

REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
# A descriptor that was opened for reading can't truncate, by its nature.
REFUSED_FOR = {"truncates_its_picture_through_the_descriptor": {errno.EINVAL}}
NOT_OFFERED = {*REFUSED, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EIO}

Results = dict[str, int | None]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[exploits.Others]:
    """A process to take for the supervisor, and somebody to talk to."""
    path = str(tmp_path_factory.mktemp("service") / "socket")
    with (
        subprocess.Popen(["sleep", "300"]) as supervisor,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as service,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        for waiting, name in ((service, path), (abstract, f"\0{path}")):
            waiting.bind(name)
            waiting.listen()
        try:
            yield exploits.Others(supervisor.pid, server.getsockname()[1], path)
        finally:
            supervisor.kill()


def attempted(how: str, folder: Path, others: exploits.Others) -> Results:
    program = [sys.executable, exploits.__file__, how, str(folder)]
    done = python(*program[1:], str(others.supervisor), str(others.port), others.socket, check=True)
    results: Results = json.loads(done.stdout)
    return results


def python(
    *arguments: str, check: bool = False, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=check,
    )


@pytest.fixture(scope="module")
def confined(others: exploits.Others, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What came of each act in a process that confined itself as a worker does."""
    return attempted("confined", tmp_path_factory.mktemp("confined"), others)


@pytest.fixture(scope="module")
def free(others: exploits.Others, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What came of each where nothing stops it."""
    return attempted("free", tmp_path_factory.mktemp("free"), others)


@pytest.mark.parametrize("name", exploits.ACTS)
def test_no_exploit(confined: Results, name: str) -> None:
    assert confined[name] in REFUSED_FOR.get(name, REFUSED)


@pytest.mark.parametrize("name", sorted(exploits.ACTS.keys() - exploits.NEVER_FOR_REAL))
def test_but_for_the_confinement_an_exploit(free: Results, name: str) -> None:
    if name in exploits.NOT_EVERYWHERE and free[name] in NOT_OFFERED:
        pytest.skip("this machine does not allow it anyway")
    assert free[name] is None


@pytest.mark.parametrize("name", exploits.NEEDS)
def test_a_confined_worker_still(confined: Results, name: str) -> None:
    assert confined[name] is None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="calls of another machine's kind")
@pytest.mark.parametrize(
    "code",
    [
        "b814000000cd80c3",  # mov eax, 20; int 0x80; ret: getpid as a 32-bit program calls it
        "b827000040" + "0f05c3",  # mov eax, 0x40000027; syscall; ret: getpid of the x32 kind
    ],
    ids=["32 bit", "x32"],
)
def test_calls_in_another_machines_numbers_end_the_worker(code: str) -> None:
    program = f"""
import ctypes, mmap
from daemon.worker.denied_calls import deny_calls
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex({code!r}))
call = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
CONFINE
call()
"""
    free = python("-c", program.replace("CONFINE", ""))
    assert free.returncode == 0
    done = python("-c", program.replace("CONFINE", "deny_calls()"))
    assert done.returncode == -signal.SIGSYS


# -- Which files -----------------------------------------------------------------------------------


def orders(**changes: object) -> Orders:
    given: dict[str, object] = {
        "device": "cpu",
        "threads": 1,
        "models": {},
        "max_pixels": 1,
        "max_file_bytes": 1,
        "output_format": "png",
        "jpeg_quality": 1,
        "confine": "auto",
        "keep_out": (),
        "compile_first": False,
        "memory_limit_bytes": None,
    }
    return Orders.model_validate({**given, **changes})


def readable(files: list[Path], given: Orders, **environment: str) -> list[bool]:
    """Which of the files a confined process can read."""
    program = """
import json, os, sys
from daemon.worker.confinement import confine
from daemon.worker.protocol import Orders
confine(Orders.model_validate_json(sys.argv[1]))
def can_read(path):
    try:
        open(path, "rb").close()
    except PermissionError:
        return False
    return True
print(json.dumps([can_read(path) for path in sys.argv[2:]]))
"""
    done = python(
        "-c", program, given.model_dump_json(), *map(str, files), check=True, **environment
    )
    results: list[bool] = json.loads(done.stdout)
    return results


def test_a_spool_inside_a_folder_of_code_is_kept_out_and_the_code_is_not(tmp_path: Path) -> None:
    code = tmp_path / "code"
    dropped = code / "deep" / "spool" / "inbox" / "cat.png"
    for file in (dropped, code / "module.py", code / "deep" / "other.py"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (code / "way").symlink_to(dropped.parent)
    seen = readable(
        [code / "module.py", code / "deep" / "other.py", dropped, code / "way" / "cat.png"],
        orders(keep_out=[os.fsencode(dropped.parent)]),
        PYTHONPATH=f"{REPOSITORY}{os.pathsep}{code}",
    )
    assert seen == [True, True, False, False]


def test_of_a_checkout_only_the_daemons_own_folder_is_read() -> None:
    files = [REPOSITORY / "daemon" / "settings.py", REPOSITORY / "README.md"]
    assert readable(files, orders()) == [True, False]


def test_where_it_is_installed_what_lies_beside_it_is_read(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "daemon", tmp_path / "daemon")
    (tmp_path / "needed.py").touch()
    seen = readable([tmp_path / "needed.py"], orders(), PYTHONPATH=str(tmp_path))
    assert seen == [True]


def test_a_folder_that_is_kept_out_by_a_link_is_kept_out(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "cat.png").touch()
    (tmp_path / "link").symlink_to(tmp_path / "inbox")
    seen = readable(
        [tmp_path / "inbox" / "cat.png"],
        orders(keep_out=[os.fsencode(tmp_path / "link")]),
        PYTHONPATH=f"{REPOSITORY}{os.pathsep}{tmp_path}",
    )
    assert seen == [False]


def test_a_model_is_read_by_way_of_a_link_and_its_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "one.pt").touch()
    (tmp_path / "two.pt").touch()
    (tmp_path / "current.pt").symlink_to("one.pt")
    given = orders(models={"inpaint": str(tmp_path / "current.pt")})
    assert readable([tmp_path / "current.pt", tmp_path / "two.pt"], given) == [True, False]


def test_what_pymatting_compiled_is_used_from_a_folder_that_can_not_be_written(
    tmp_path: Path,
) -> None:
    program = """
import importlib, sys
from daemon.worker.confinement import confine
from daemon.worker.protocol import Orders
confine(Orders.model_validate_json(sys.argv[1]))
import numpy as np
from daemon.worker.foreground import estimate_foreground
module = importlib.import_module("pymatting.foreground.estimate_foreground_ml")
estimate_foreground(np.full((9, 9, 3), 7, np.uint8), np.full((9, 9), 100, np.uint8))
print(sum(module._estimate_fb_ml.stats.cache_hits.values()))
"""
    done = python(
        *("-c", program, orders(confine="require").model_dump_json()),
        check=True,
        NUMBA_CACHE_DIR=str(copy_of_compiled(tmp_path)),
        NUMBA_CACHE_LOCATOR_CLASSES=main.LOCATORS,
    )
    assert done.stdout == "1\n"


def copy_of_compiled(folder: Path) -> Path:
    """What PyMatting compiled beside its source, laid out as numba does in a given folder."""
    import pymatting
    from numba.core.caching import UserProvidedCacheLocator

    for index in Path(pymatting.__file__).parent.rglob("*.nbi"):
        source = index.parents[1] / "source.py"
        below = UserProvidedCacheLocator.get_suitable_cache_subpath(str(source))
        (folder / below).mkdir(exist_ok=True)
        for file in index.parent.glob("*.nb[ci]"):
            shutil.copy(file, folder / below)
    return folder


# -- What can't be had -----------------------------------------------------------------------------


def confined_where(first: str, given: Orders, **environment: str) -> list[object]:
    """What `confine` says of itself where some Python has been run before."""
    program = f"""
{first}
import json, sys
from daemon.worker.confinement import ConfinementError, confine
from daemon.worker.protocol import Orders
try:
    confinement = confine(Orders.model_validate_json(sys.argv[1]))
    print(json.dumps([confinement.holds, confinement.lacks]))
except ConfinementError as error:
    print(json.dumps([str(error)]))
"""
    done = python("-c", program, given.model_dump_json(), check=True, **environment)
    results: list[object] = json.loads(done.stdout)
    return results


# A kernel without Landlock, as far as a process can tell.
NO_LANDLOCK = """
import errno, pyseccomp
kernel = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
kernel.add_rule(pyseccomp.ERRNO(errno.ENOSYS), 444)
kernel.load()
"""
# A machine without libseccomp.
NO_SECCOMP = """
import ctypes.util
found = ctypes.util.find_library
ctypes.util.find_library = lambda name: None if name == "seccomp" else found(name)
"""
LANDLOCK = f"landlock {landlockpy.abi_version()}"


@pytest.mark.parametrize(
    ("first", "holds", "lacks"),
    [
        ("", [LANDLOCK, "seccomp"], None),
        (NO_LANDLOCK, ["seccomp"], "Landlock: Function not implemented"),
        (NO_SECCOMP, [LANDLOCK], "seccomp: Unable to find libseccomp"),
    ],
    ids=["both", "no Landlock", "no seccomp"],
)
def test_what_can_not_be_had_is_told_and_the_other_holds(
    first: str, holds: list[str], lacks: str | None
) -> None:
    assert confined_where(first, orders()) == [holds, lacks]


def test_who_requires_what_can_not_be_had_is_told_so() -> None:
    (said,) = confined_where(NO_LANDLOCK, orders(confine="require"))
    assert said == (
        "it can't be confined wholly (Landlock: Function not implemented), and confine = require "
        "asks for that. See docs/confinement.md, or set confine = auto."
    )


def test_who_does_not_want_it_is_not_confined() -> None:
    confinement = confine(orders(confine="no"))
    assert (confinement.holds, confinement.lacks) == ((), "switched off by confine = no")
    assert Path("/etc/passwd").read_bytes()


# -- In a real daemon ------------------------------------------------------------------------------


# A mock of a decoder with a hole: whatever picture it opens, what runs is the exploit's program.
HOLE = """
import json, os, sys
from pathlib import Path
if "daemon.worker.main" in sys.orig_argv:
    import exploits
    import PIL.Image
    opened = PIL.Image.open
    def open_with_a_hole(*arguments, **options):
        picture = next(
            fd for fd in range(3, 100) if os.path.exists(f"/proc/self/fd/{fd}")
            and os.readlink(f"/proc/self/fd/{fd}").endswith("/in/picture")
        )
        others = exploits.Others(os.getppid(), 1, "")
        at = exploits.Situation(Path(os.environ["AT"]), others, picture, -1, -1, -1)
        results = {name: exploits.attempt(exploits.ACTS[name], at) for name in WHAT}
        print("exploit:", json.dumps(results), file=sys.stderr, flush=True)
        PIL.Image.open = opened
        return opened(*arguments, **options)
    PIL.Image.open = open_with_a_hole
"""
WHAT = [
    "reads_the_password_file",
    "lists_the_inbox",
    "reads_what_somebody_dropped",
    "puts_a_file_into_the_outbox",
    "changes_the_mode_of_its_picture_through_the_descriptor",
    "opens_its_picture_again_for_writing",
    "spawns_a_program",
    "forks",
    "signals_the_supervisor",
    "limits_the_supervisor_to_few_files",
    "waits_to_be_called",
]


@pytest.mark.parametrize("setting", ["require", "no"])
def test_an_exploit_in_a_real_worker_gets_nowhere_and_the_job_is_done(
    site: Site, tmp_path: Path, setting: str
) -> None:
    (tmp_path / "hole").mkdir()
    (tmp_path / "hole" / "sitecustomize.py").write_text(f"WHAT = {WHAT!r}\n{HOLE}")
    paths = [tmp_path / "hole", REPOSITORY, Path(exploits.__file__).parent]
    site.environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "AT": str(tmp_path)}
    site.environment["RETOUCHD_CONFINE"] = setting
    save(photo(), site.inbox / "dog.png")
    save(hole(), site.inbox / "dog_mask.png")
    save(photo(), site.inbox / "cat.png")  # waits for its mask, meanwhile
    done = site.once()
    (report,) = [text for text in done.stderr.splitlines() if text.startswith("exploit:")]
    results = json.loads(report.removeprefix("exploit:"))
    assert results.keys() == set(WHAT)
    assert (load(site.outbox / "dog.png") == inverted(photo(), hole())).all()
    if setting == "no":
        assert set(results.values()) == {None}
    else:
        assert set(results.values()) <= REFUSED


def test_every_thread_of_a_working_worker_is_confined(
    both: Site, start: Callable[..., Daemon]
) -> None:
    both.environment["RETOUCHD_CONFINE"] = "require"
    daemon = start(both)
    save(photo(0), both.inbox / "cat.png")
    save(hole(), both.inbox / "cat_mask.png")
    save(photo(1), both.inbox / "dog.png")
    save(trimap(), both.inbox / "dog_trimap.png")
    daemon.wait_for("job_finished", times=2)
    worker = daemon.wait_for("worker_started")["pid"]
    threads = list(Path(f"/proc/{worker}/task").iterdir())
    assert len(threads) > 1
    for thread in threads:
        about = dict(text.split(":\t", 1) for text in (thread / "status").read_text().splitlines())
        assert (about["Seccomp"], about["NoNewPrivs"]) == ("2", "1")
        # Of what makes root root, only the right to read other people's code is left.
        kept = 1 << denied_calls._CAP_DAC_READ_SEARCH
        assert int(about["CapEff"], 16) | int(about["CapPrm"], 16) | kept == kept
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("require", f"the worker is confined ({LANDLOCK} and seccomp)"),
        ("no", "none; not had: switched off by confine = no"),
    ],
)
def test_check_says_how_the_worker_is_confined(site: Site, setting: str, says: str) -> None:
    site.environment["RETOUCHD_CONFINE"] = setting
    done = subprocess.run(
        site.command("check"), env=site.variables(), capture_output=True, text=True, check=True
    )
    (line,) = [text for text in done.stdout.splitlines() if "confinement" in text]
    assert line.split(None, 2) == ["ok", "confinement", says]
