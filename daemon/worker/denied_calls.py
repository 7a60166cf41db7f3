"""Which system calls a confined worker may not make, by seccomp: all that reaches beyond it.

Landlock governs the opening of files; what else a decoder's exploit would want is refused here:
sockets, programs and processes, signals, and changes to files that are open for reading. The rest
is allowed, as numeric libraries and GPU drivers need a great deal of it.

A refused call fails with EPERM. Calls that are newer than this list fail as on a kernel that does
not have them, so that nothing slips in with a kernel's update.
"""

import ctypes
import errno
import os
from typing import Final

from pyseccomp import ALLOW, ERRNO, KILL_PROCESS, MASKED_EQ, NE, Arg, Attr, SyscallFilter

_DENIED: Final = {
    "talking to others; the one socket it has came with it": (
        "socket socketpair connect bind listen accept accept4 "
        "shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semtimedop semctl "
        "mq_open mq_unlink mq_notify"
    ),
    "programs and other processes": (
        "execve execveat fork vfork unshare setns ptrace process_vm_readv process_vm_writev kcmp "
        "tkill setpriority sched_setscheduler sched_setparam sched_setattr "
        "ioprio_set migrate_pages move_pages"
    ),
    "what Landlock does not govern of files": (
        "chmod fchmod fchmodat chown fchown lchown fchownat utime utimes utimensat futimesat "
        "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr flock "
        "inotify_init inotify_init1 inotify_add_watch fanotify_init fanotify_mark "
        "name_to_handle_at open_by_handle_at"
    ),
    "what it governs from Linux 6.2 on": "truncate truncate64 creat",
    "what only root may do, for those who run it as root": (
        "mount umount umount2 pivot_root chroot swapon swapoff quotactl acct vhangup nfsservctl "
        "init_module finit_module delete_module kexec_load kexec_file_load reboot "
        "settimeofday stime adjtimex clock_settime clock_settime64 clock_adjtime clock_adjtime64 "
        "sethostname setdomainname syslog ioperm iopl mknod mknodat capset setuid setgid setreuid "
        "setregid setresuid setresgid setgroups setfsuid setfsgid"
    ),
    "corners of the kernel that no picture needs": (
        "bpf perf_event_open userfaultfd keyctl add_key request_key modify_ldt vm86 vm86old uselib "
        "lookup_dcookie personality"
    ),
}
# From 424 on, calls have the same number on every machine, and not every libseccomp has the names.
_DENIED_BY_NUMBER: Final = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "process_mrelease": 448,
}
# Said not to exist, which makes callers fall back on calls whose arguments can be looked at:
# clone3 (435) on clone, openat2 (437) on openat; and all that is newer than this list. x86 has
# other calls from 512 on.
_NOT_THERE: Final = (435, 437, *range(452, 512))

_CLONE_THREAD: Final = 0x00010000
_WORD: Final = 0xFFFFFFFF

# fcntl: whom to signal and how, leases that make others wait, news of a folder.
_FCNTL_DENIED: Final = (8, 10, 15, 1024, 1026)
# ioctl: TIOCSTI, TIOCSCTTY, TIOCLINUX and TIOCCONS, by which input is put into a terminal.
_IOCTL_DENIED: Final = (0x5412, 0x540E, 0x541C, 0x541D)
# ioctl by the second lowest byte: what file systems and sockets understand, on any open file.
_IOCTL_FAMILIES_DENIED: Final = (0x12, 0x58, 0x66, 0x72, 0x76, 0x89, 0x94, 0xCF, 0xE5, 0xF5)

_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_DAC_READ_SEARCH: Final = 2
_libc = ctypes.CDLL(None, use_errno=True)


def deny_calls() -> str:
    """Bind this process, all its threads. Returns the name of what binds it.

    Root gives up what makes it root, too. Raises `OSError` where the kernel or the library refuses.
    """
    _drop_capabilities()
    rules = SyscallFilter(ALLOW)
    rules.set_attr(Attr.ACT_BADARCH, KILL_PROCESS)  # calls in another machine's numbers
    rules.set_attr(Attr.CTL_TSYNC, 1)
    refused = ERRNO(errno.EPERM)
    for names in _DENIED.values():
        for name in names.split():
            rules.add_rule(refused, name)
    for number in _DENIED_BY_NUMBER.values():
        rules.add_rule(refused, number)
    for number in _NOT_THERE:
        rules.add_rule(ERRNO(errno.ENOSYS), number)
    _deny_by_argument(rules, refused)
    rules.load()
    return "seccomp"


def _drop_capabilities() -> None:
    """Keep but one: to read code that belongs to others, as root could before (capset(2))."""
    if os.geteuid() != 0:
        return
    kept = 1 << _CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Twice, for the lower and the upper 32: effective, permitted, inheritable.
    data = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    if _libc.capset(header, data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _deny_by_argument(rules: SyscallFilter, refused: int) -> None:
    rules.add_rule(refused, "clone", Arg(0, MASKED_EQ, _CLONE_THREAD, 0))
    for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        rules.add_rule(refused, name, Arg(0, NE, os.getpid()))
    for name in ("prlimit64", "sched_setaffinity"):
        rules.add_rule(refused, name, Arg(0, NE, 0))  # what others may use
    rules.add_rule(refused, "open", Arg(1, MASKED_EQ, os.O_TRUNC, os.O_TRUNC))
    rules.add_rule(refused, "openat", Arg(2, MASKED_EQ, os.O_TRUNC, os.O_TRUNC))
    for command in _FCNTL_DENIED:
        rules.add_rule(refused, "fcntl", Arg(1, MASKED_EQ, _WORD, command))
    # The kernel looks at the lower half of the argument, and so do these.
    for request in _IOCTL_DENIED:
        rules.add_rule(refused, "ioctl", Arg(1, MASKED_EQ, _WORD, request))
    for family in _IOCTL_FAMILIES_DENIED:
        rules.add_rule(refused, "ioctl", Arg(1, MASKED_EQ, 0xFF00, family << 8))
