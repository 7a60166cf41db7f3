"""Messages between supervisor and worker: what goes over the pipe comes out the same, or not."""

import json
import os
import socket
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from daemon.intake.pairing import Role, Task
from daemon.reasons import REASONS, Kind, Trouble
from daemon.worker import channel
from daemon.worker.protocol import (
    Done,
    FolderModel,
    Hello,
    Input,
    Job,
    Model,
    Orders,
    Problem,
    Produced,
    Refused,
    from_worker,
    line,
    outputs_of,
    to_worker,
)

READ = Input(sha256="0" * 64, bytes=1, width=2, height=3, mode="RGB", format="PNG")
MODEL = Model(
    path="/models/größe.pt",
    sha256="1" * 64,
    network="edgeconnect",
    stage=3,
    width=64,
    precision="fp32",
    licence="CC BY-NC 4.0",
    trained=True,
    metrics={"psnr": 27.95},
)
TO_WORKER: list[Orders | Job] = [
    Orders(
        device="auto",
        threads=None,
        models={"inpaint": "/models/a.pt"},
        max_pixels=1,
        max_file_bytes=2,
        output_format="png",
        jpeg_quality=95,
        confine="auto",
        keep_out=(b"/srv/gr\xc3\xb6\xc3\x9fe", b"/srv/no text \xff\n"),
        compile_first=True,
        memory_limit_bytes=None,
        folder_models=(FolderModel(task="inpaint", path="/models/b.pt", must=True),),
    ),
    Job(job="20240101-abc", task="inpaint", role="mask", outputs=("result",)),
    Job(job="20240101-abc", task="matting", role="trimap", outputs=("cutout", "alpha")),
    Job(
        job="20240101-abc",
        task="matting",
        role="mask",
        outputs=("trimap", "cutout", "alpha"),
        trimap_band_percent=1.5,
    ),
    Job(
        job="20240101-abc",
        task="inpaint",
        role="mask",
        outputs=("result",),
        by_alpha=True,
        output_format="tiff",
        model="/models/b.pt",
    ),
]
FROM_WORKER = [
    Hello(
        device="cpu",
        devices=("cpu",),
        models={"inpaint": MODEL},
        torch_version="2.15",
        confinement=("landlock 7",),
        unconfined="seccomp: it is not there",
        folder_models={"inpaint": (MODEL, MODEL)},
        refused=(Refused(task="matting", path="/models/c.pt", why="it is gone"),),
    ),
    Done(
        job="j",
        outputs=(Produced(held="result", suffix=".png"),),
        picture=READ,
        companion=READ,
        seconds={"read": 0.1},
        notes=("a\nnote",),
    ),
    Problem(job=None, reason="worker_will_not_start", facts={"detail": "x", "n": 1, "gb": 0.5}),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda m: m.kind)
def test_message_to_a_worker_arrives_as_it_was_sent(message: Orders | Job) -> None:
    assert to_worker.validate_json(line(message)) == message


def test_a_job_arrives_with_descriptors_of_the_same_files(tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("picture", "companion", "result")]
    for name in names:
        name.touch()
    ours, theirs = channel.connect()
    with ours, theirs:
        descriptors = [os.open(name, os.O_RDONLY) for name in names]
        try:
            channel.send(ours, TO_WORKER[1], descriptors)
        finally:
            for fd in descriptors:
                os.close(fd)
        received = channel.receive(theirs)
    assert received is not None
    message, arrived = received
    try:
        assert message == TO_WORKER[1]
        for fd, name in zip(arrived, names, strict=True):
            assert os.path.samestat(os.fstat(fd), name.stat())
    finally:
        for fd in arrived:
            os.close(fd)


def test_the_end_of_the_supervisor_is_heard() -> None:
    ours, theirs = channel.connect()
    with theirs:
        ours.close()
        assert channel.receive(theirs) is None


def test_a_worker_can_say_nothing_over_its_ear() -> None:
    ours, theirs = channel.connect()
    with ours, theirs, pytest.raises(BrokenPipeError):
        theirs.send(b"an attempt to fill the supervisor's memory")


def test_what_is_no_message_leaves_no_descriptor_open(tmp_path: Path) -> None:
    ours, theirs = channel.connect()
    with ours, theirs, (tmp_path / "file").open("w") as file:
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(ours, [b"{}"], [file.fileno()])
        with pytest.raises(ValidationError):
            channel.receive(theirs)
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda m: m.kind)
def test_message_from_a_worker_arrives_as_it_was_sent(message: Hello | Done | Problem) -> None:
    assert from_worker.validate_json(line(message)) == message


@pytest.mark.parametrize("message", [*TO_WORKER, *FROM_WORKER], ids=lambda m: m.kind)
def test_message_is_one_line(message: Orders | Job | Hello | Done | Problem) -> None:
    assert line(message).count(b"\n") == 1
    assert line(message).endswith(b"\n")


# What waits in the inbox is the supervisor's to see, but for a file that proves to be cut off.
WORKERS_REASONS = sorted(
    key for key, reason in REASONS.items() if reason.kind is not Kind.WAIT or key == "incomplete"
)


@given(key=st.sampled_from(WORKERS_REASONS), detail=st.text(st.characters()))
def test_any_trouble_fits_into_a_message(key: str, detail: str) -> None:
    # Names on a disk may hold bytes that are no UTF-8: they come as lone surrogates.
    trouble = Trouble(key, detail=detail, path=f"/inbox/\udcff{detail}", width=3)
    problem = Problem(job="j", reason=trouble.reason.key, facts=trouble.facts)
    back = from_worker.validate_json(line(problem))
    assert back == problem


@pytest.mark.parametrize("key", [*sorted(set(REASONS) - set(WORKERS_REASONS)), "no_such_reason"])
def test_reason_that_a_worker_can_not_know_is_not_understood(key: str) -> None:
    said = {"kind": "problem", "job": "j", "reason": key, "facts": {}}
    with pytest.raises(ValidationError):
        from_worker.validate_json(json.dumps(said))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "job"},
        {"kind": "news"},
        {"more": 1},
        {"seconds": {"read": "soon"}},
        {"outputs": [{"held": "../../etc", "suffix": ".png"}]},
        {"outputs": [{"held": "result", "suffix": "/../x.png"}]},
        {"outputs": [{"held": "result", "suffix": ".png\n"}]},
        {"outputs": [{"held": "result/x", "suffix": ".png"}]},
        {"outputs": [{"held": "result", "suffix": ""}]},
    ],
    ids=str,
)
def test_what_a_worker_may_not_say_is_not_understood(change: dict[str, object]) -> None:
    said = {**json.loads(line(FROM_WORKER[1])), **change}
    with pytest.raises(ValidationError):
        from_worker.validate_json(json.dumps(said))


@pytest.mark.parametrize(
    ("task", "role", "percent"),
    [("matting", "mask", 2), ("matting", "trimap", None), ("inpaint", "trimap", None)],
)
def test_only_a_hole_is_told_by_transparency(task: str, role: str, percent: float | None) -> None:
    outputs = outputs_of(cast("Task", task), cast("Role", role))
    told = {"kind": "job", "job": "j", "task": task, "role": role, "outputs": outputs}
    more = {"trimap_band_percent": percent, "by_alpha": True}
    with pytest.raises(ValidationError, match="transparency"):
        to_worker.validate_json(json.dumps({**told, **more}))


@pytest.mark.parametrize(
    ("task", "role", "percent"),
    [
        ("matting", "mask", None),
        ("matting", "mask", 0),
        ("matting", "trimap", 2),
        ("inpaint", "mask", 2),
    ],
)
def test_a_band_is_told_where_a_mask_becomes_a_trimap_and_only_there(
    task: str, role: str, percent: float | None
) -> None:
    outputs = outputs_of(cast("Task", task), cast("Role", role))
    told = {"kind": "job", "job": "j", "task": task, "role": role, "outputs": outputs}
    with pytest.raises(ValidationError, match="band"):
        to_worker.validate_json(json.dumps({**told, "trimap_band_percent": percent}))


@pytest.mark.parametrize("outputs", [(), ("result", "alpha"), ("alpha",), ("../result",)])
def test_a_job_has_the_outputs_of_its_task_and_no_others(outputs: tuple[str, ...]) -> None:
    told = {"kind": "job", "job": "j", "task": "inpaint", "role": "mask", "outputs": outputs}
    with pytest.raises(ValidationError, match="outputs"):
        to_worker.validate_json(json.dumps(told))


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"Traceback (most recent call last):", b"null", b"{}"]
)
def test_what_is_no_message_is_not_understood(text: bytes) -> None:
    with pytest.raises(ValidationError):
        from_worker.validate_json(text)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".alpha.png", ".cutout.png"])
def test_every_suffix_of_a_result_may_be_said(suffix: str) -> None:
    assert Produced(held="result", suffix=suffix).suffix == suffix


def test_messages_can_not_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(TO_WORKER[1], "job", "other")  # noqa: B010 - as a mistake in code would
