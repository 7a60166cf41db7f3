"""Several models of one task in a real worker: each job by its own, and one that is no good."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import landlockpy
import numpy as np
import pytest
import tiny
from driver import PATIENCE_S, REPOSITORY
from standin import HELLO, MODEL
from test_worker import HOLE, PHOTO, WorkerProcess, begin, orders, png

from daemon.worker.protocol import Done, FolderModel, Hello, Job, Orders, Problem

__all__ = ["begin"]  # a fixture

Start = Callable[[Orders | Job], WorkerProcess]


def with_own(main: Path | None, *own: FolderModel) -> Orders:
    given = orders(**({} if main is None else {"inpaint": main}))
    return given.model_copy(update={"folder_models": own})


def painting(path: Path, grey: int, **says: bool) -> FolderModel:
    return FolderModel(task="inpaint", path=str(tiny.write_painting(path, grey)), **says)


def order(worker: WorkerProcess, job: str, model: str | None) -> None:
    worker.lay(png(PHOTO), png(HOLE), job)
    job_order = Job(job=job, task="inpaint", role="mask", outputs=("result",), model=model)
    worker.send(job_order, worker.files(job_order))


def test_each_job_is_worked_by_its_own_model(
    begin: Start, tmp_path: Path, inpaint_model: Path
) -> None:
    own = [painting(tmp_path / f"{grey}.pt", grey) for grey in (10, 20)]
    worker = begin(with_own(inpaint_model, *own))
    hello = worker.hear()
    assert isinstance(hello, Hello)
    assert [model.path for model in hello.folder_models["inpaint"]] == [each.path for each in own]
    assert hello.refused == ()
    wanted = {
        "by the main": (None, 255 - PHOTO),
        "by the main, named": (str(inpaint_model), 255 - PHOTO),
        "by the one": (own[0].path, np.full_like(PHOTO, 10)),
        "by the other": (own[1].path, np.full_like(PHOTO, 20)),
    }
    for job, (model, _) in wanted.items():  # all of them in hand at once
        order(worker, job, model)
    assert all(isinstance(worker.hear(), Done) for _ in wanted)
    for job, (_, filled) in wanted.items():
        meant = np.where(HOLE[..., None] > 0, filled, PHOTO)
        assert np.array_equal(worker.result("result", job), meant), job
    assert worker.end() == 0


def test_a_folders_model_that_is_no_good_is_told_and_the_others_work(
    begin: Start, tmp_path: Path, matting_model: Path
) -> None:
    good = painting(tmp_path / "good.pt", 10)
    bad = [
        FolderModel(task="inpaint", path=str(tmp_path / "gone.pt")),
        FolderModel(task="inpaint", path=str(matting_model)),
        FolderModel(task="inpaint", path=str(tiny.write_lying(tmp_path / "lies.pt", "floats"))),
    ]
    worker = begin(with_own(None, *bad, good))  # a task that has none for all
    hello = worker.hear()
    assert isinstance(hello, Hello)
    assert [model.path for model in hello.folder_models["inpaint"]] == [good.path]
    assert [(each.task, each.path) for each in hello.refused] == [(m.task, m.path) for m in bad]
    why = [each.why for each in hello.refused]
    says = ("there is no such file", "is a model for 'matting', not for 'inpaint'", "float32")
    assert all(text in told for text, told in zip(says, why, strict=True)), why
    order(worker, "job", good.path)
    assert isinstance(worker.hear(), Done)
    assert worker.end() == 0


def test_a_folders_model_that_must_be_had_keeps_the_worker_from_starting(
    begin: Start, tmp_path: Path, inpaint_model: Path
) -> None:
    gone = FolderModel(task="inpaint", path=str(tmp_path / "gone.pt"), must=True)
    heard = begin(with_own(inpaint_model, gone)).hear()
    assert isinstance(heard, Problem)
    assert "gone.pt: there is no such file" in str(heard.facts["detail"])


@pytest.mark.parametrize("task", ["inpaint", "matting"])
def test_a_hello_names_what_works_a_job(task: str, inpaint_model: Path) -> None:
    """Its folder's model of that task where it was loaded; else the task's."""
    own = MODEL.model_copy(update={"path": "/models/own.pt", "sha256": "1" * 64})
    hello = HELLO.model_copy(update={"folder_models": {task: (own,)}})
    assert hello.model_of("inpaint", None) is hello.models["inpaint"]
    assert hello.model_of("inpaint", MODEL.path) is hello.models["inpaint"]
    is_own = hello.model_of("inpaint", "/models/own.pt") is own
    assert is_own == (task == "inpaint")


@pytest.mark.skipif(not landlockpy.supported(), reason="this kernel has no Landlock")
def test_a_folder_that_is_named_as_a_model_is_not_open_to_the_worker(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not for a worker")
    given = with_own(None, FolderModel(task="inpaint", path=str(tmp_path)))
    program = (
        "import os, sys; from daemon.worker.confinement import confine\n"
        "from daemon.worker.protocol import Orders\n"
        "confine(Orders.model_validate_json(sys.argv[1])); open(sys.argv[2])"
    )
    tried = subprocess.run(
        [sys.executable, "-c", program, given.model_dump_json(), str(tmp_path / "secret")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "PermissionError" in tried.stderr
