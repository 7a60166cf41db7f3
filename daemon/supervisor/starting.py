"""Starts worker processes and tells them what to do.

A worker gets its orders over a socket, and ends when the supervisor's end of it is closed.
"""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

import daemon
from daemon.settings import Settings
from daemon.supervisor.dying import end_all
from daemon.worker import channel
from daemon.worker.protocol import FolderModel, Job, Orders

# A start may compile PyMatting and read gigabytes from a slow disk. A model that hangs at its first
# trial, or a driver that does, is not waited for any longer.
START_TIMEOUT_S: Final = 600.0
# Of the machine's memory, for a worker on its CPU; the rest is for whoever else is there.
_MEMORY_SHARE: Final = 0.9


def start_worker(
    settings: Settings,
    work: Path,
    device: str,
    inherit: list[int],
    *,
    compile_first: bool = True,
    folder_models: tuple[FolderModel, ...] = (),
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker process and give it its orders; it ends when the socket is closed.

    `compile_first` is for the first worker of a run; `folder_models` are to be loaded beside those
    of the tasks. Raises `OSError`; nothing is left of it then.
    """
    # -P: no module is ever taken from the folder we happen to run in.
    command = [sys.executable, "-P", "-m", "daemon.worker.main"]
    ours, theirs = channel.connect()
    try:
        with theirs:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                pass_fds=inherit,
                env=_environment(settings),
                cwd="/",  # the folder we were started in may be gone one day
                process_group=0,  # a Ctrl-C at the terminal is the supervisor's to hear
            )
    except OSError:
        ours.close()
        raise
    try:
        orders = _orders(settings, work, device, compile_first)
        tell(ours, orders.model_copy(update={"folder_models": folder_models}))
    except OSError:
        ours.close()
        end_all([process], 0.0)
        if process.stdout:
            process.stdout.close()
        raise
    return process, ours


def tell(ear: socket.socket, message: Orders | Job, descriptors: Sequence[int] = ()) -> None:
    """Send a worker a message, and with a job its files; the caller closes the descriptors.

    Where the worker is dead nothing gets there, which its silence will say; where it hears nothing
    any more its deadline will come. Raises `OSError` where the machine lacks what sending takes.
    """
    with suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
        channel.send(ear, message, descriptors)


def _environment(settings: Settings) -> dict[str, str]:
    paths = [str(Path(daemon.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        # Never in a work folder inside the inbox: what lies in that cache is run.
        **_compiler_cache(settings.folders()["work"]),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def _compiler_cache(work: Path) -> dict[str, str]:
    """Where PyMatting keeps what it compiles, which takes most of a minute the first time.

    Beside its source where that is ours to write; else in the work folder, which is private: what
    lies in that cache is run.
    """
    source = importlib.util.find_spec("pymatting")
    folders = list(source.submodule_search_locations or ()) if source else []
    if folders and os.access(folders[0], os.W_OK, effective_ids=True):
        return {}
    return {"NUMBA_CACHE_DIR": str(work / ".cache")}


def _orders(settings: Settings, work: Path, device: str, compile_first: bool) -> Orders:
    memory = (
        _MEMORY_SHARE * psutil.virtual_memory().total
        if settings.worker_memory_gb is None
        else settings.worker_memory_gb * 1e9
    )
    return Orders(
        device=device,
        threads=settings.threads,
        models={task: str(path) for task, path in settings.models().items()},
        max_pixels=settings.max_pixels,
        max_file_bytes=settings.max_file_bytes(),
        output_format=settings.output_format,
        jpeg_quality=settings.jpeg_quality,
        png_compression=settings.png_compression,
        jobs_at_once=settings.most_jobs(),
        confine=settings.confine,
        keep_out=tuple(os.fsencode(path) for path in {work, *settings.folders().values()}),
        compile_first=compile_first,
        memory_limit_bytes=int(memory),
        window_memory_bytes=settings.window_memory_bytes(),
    )
