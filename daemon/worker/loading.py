"""The networks of a worker, loaded once, at its start: one for each task, and those of folders.

All of them at the start, and none at its first use: a confined worker may open the very files that
lay there when it was confined, and none that took their names later. Who starts it knows from its
first word which of them it can't use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.artifact import ArtifactError
from daemon.intake.pairing import Task
from daemon.worker.inference import Network, is_lost
from daemon.worker.protocol import FolderModel, Job, Model, Orders, Refused


@dataclass(frozen=True)
class Networks:
    """Those that are loaded, and the folders' models that can't be used.

    Each file is loaded once, whatever number of folders it serves.
    """

    of_tasks: Mapping[Task, Network]
    of_folders: Mapping[tuple[Task, str], Network]
    refused: Sequence[Refused]

    def of(self, job: Job) -> Network:
        """The one that a job is for: its folder's own, or that of its task."""
        main = self.of_tasks.get(job.task)
        if job.model is None or (main is not None and str(main.path) == job.model):
            return self.of_tasks[job.task]
        return self.of_folders[job.task, job.model]

    def have(self, task: Task) -> bool:
        """Whether there is one for a task, be it for a folder alone."""
        return task in self.of_tasks or any(each == task for each, _ in self.of_folders)

    def told(self) -> dict[Task, Model]:
        """Those of the tasks, as logs name them."""
        return {task: _told(network) for task, network in self.of_tasks.items()}

    def told_of_folders(self) -> dict[Task, tuple[Model, ...]]:
        """Those of folders, as logs name them."""
        found: dict[Task, tuple[Model, ...]] = {}
        for (task, _), network in self.of_folders.items():
            found[task] = (*found.get(task, ()), _told(network))
        return found


def load_networks(orders: Orders, device: str) -> Networks:
    """Load all that the orders name. Raises `ArtifactError` for one that must be there.

    What a folder's model does to the device may be the end of this process: see `is_poisoned`.
    """
    of_tasks = {task: Network(Path(path), task, device) for task, path in orders.models.items()}
    of_folders, refused = {}, []
    for wanted in orders.folder_models:
        try:
            of_folders[wanted.task, wanted.path] = _loaded(wanted, device)
        except ArtifactError as error:
            if wanted.must:
                raise
            refused.append(Refused(task=wanted.task, path=wanted.path, why=str(error)))
    return Networks(of_tasks, of_folders, refused)


def _loaded(wanted: FolderModel, device: str) -> Network:
    path = Path(wanted.path)
    try:
        return Network(path, wanted.task, device)
    except ArtifactError:
        if is_lost(device):  # for all networks, and another process may do without this one
            raise RuntimeError(f"CUDA error: {path} has cost this process the device") from None
        raise
    except MemoryError:
        raise ArtifactError(f"{path}: there is no memory to load it.") from None


def _told(network: Network) -> Model:
    return Model(
        path=str(network.path),
        sha256=network.sha256,
        **network.manifest.model_dump(include=set(Model.model_fields) - {"path"}),
    )
