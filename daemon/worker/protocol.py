"""What supervisor and worker say to each other: JSON objects, checked on arrival.

The worker decodes strangers' files, so the supervisor takes nothing from it but these messages, and
names of outputs only from a short list. No message holds a user's file name: the worker gets open
descriptors (see `channel`), and learns neither what the files are called nor where they lie.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from daemon.intake.pairing import Role, Task, makes_trimap
from daemon.reasons import REASONS, Kind
from daemon.settings import OutputFormat

# How much the worker is kept from what it does not need: see `confinement`.
Confine = Literal["auto", "require", "no"]
Held = Annotated[str, Field(pattern=r"^[a-z]{1,16}$")]
JobsAtOnce = Annotated[int, Field(ge=1, le=64)]
Suffix = Annotated[str, Field(pattern=r"^\.[a-z]{1,7}(\.[a-z]{1,4})?$")]
# The longer side of each of the three pictures in a preview has at most so many pixels.
MOST_PREVIEWED: Final = 480
Previewed = Annotated[int, Field(ge=1, le=MOST_PREVIEWED)]


def _listed(reason: str) -> str:
    """A reason that a worker may give: of what merely waits, only what decoding can tell."""
    if reason not in REASONS or (REASONS[reason].kind is Kind.WAIT and reason != "incomplete"):
        raise ValueError("is no reason that a worker can give")
    return reason


def outputs_of(task: Task, role: Role, *, previewed: bool = False) -> tuple[str, ...]:
    """The names of the files that such a job writes."""
    made: tuple[str, ...] = ("result",) if task == "inpaint" else ("cutout", "alpha")
    if makes_trimap(task, role):
        made = ("trimap", *made)
    return (*made, "preview") if previewed else made


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # Paths may hold bytes that are no text.
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


class FolderModel(_Message):
    """A model that only some folders' pictures are worked by.

    A worker that can't use it says so in its hello; where it `must`, that worker does not start.
    """

    task: Task
    path: str
    must: bool = False


class Orders(_Message):
    """To the worker, once, at its start.

    `models` are those of the tasks, without which it does not start.
    `keep_out` are the folders that confinement keeps it out of, as `os.fsencode` writes them.
    `compile_first` is for the first worker of a run: what it needs compiled is, before it is
    confined. `memory_limit_bytes` holds on a CPU only. `window_memory_bytes` is for what a network
    works at once, and `jobs_at_once` how many jobs it gets; None leaves either to the device.
    """

    kind: Literal["orders"] = "orders"
    device: str
    threads: int | None
    models: dict[Task, str]
    max_pixels: int
    max_file_bytes: int
    output_format: OutputFormat
    jpeg_quality: int
    confine: Confine
    keep_out: tuple[bytes, ...]
    compile_first: bool
    memory_limit_bytes: int | None
    png_compression: Annotated[int, Field(ge=0, le=9)] = 3
    jobs_at_once: JobsAtOnce | None = None
    window_memory_bytes: int | None = None
    folder_models: tuple[FolderModel, ...] = ()


class Job(_Message):
    """To the worker: do a job. With it come the descriptors of its files.

    They are the picture and its companion, to be read, and an empty file for each of `outputs`, in
    this order. There is no companion where the picture's transparency is the mask (`by_alpha`).
    `trimap_band_percent` is set where the trimap is to be made from a mask, and only there.
    `output_format` and `model`, a path, are for this job alone; None leaves them to the orders.
    """

    kind: Literal["job"] = "job"
    job: str
    task: Task
    role: Role
    outputs: tuple[Held, ...]
    trimap_band_percent: Annotated[float, Field(gt=0)] | None = None
    by_alpha: bool = False
    output_format: OutputFormat | None = None
    model: str | None = None

    @property
    def inputs(self) -> int:
        """How many files are to be read."""
        return 1 if self.by_alpha else 2

    @model_validator(mode="after")
    def _transparency_is_a_mask(self) -> "Job":
        if self.by_alpha and (self.task, self.role) != ("inpaint", "mask"):
            raise ValueError("only a hole can be told by transparency")
        return self

    @model_validator(mode="after")
    def _outputs_are_those_of_the_task(self) -> "Job":
        previewed = "preview" in self.outputs
        if self.outputs != outputs_of(self.task, self.role, previewed=previewed):
            raise ValueError("these are not the outputs of such a job")
        return self

    @model_validator(mode="after")
    def _band_is_told(self) -> "Job":
        if makes_trimap(self.task, self.role) != (self.trimap_band_percent is not None):
            raise ValueError("a band belongs to a trimap that is made from a mask, and only there")
        return self


class Model(_Message):
    """A loaded artifact, as logs name it."""

    path: str
    sha256: str
    network: str
    stage: int | None
    width: int | None
    precision: str
    licence: str
    trained: bool
    metrics: dict[str, float] | None
    note: str | None = None


class Refused(_Message):
    """A folder's model that can't be used, and why."""

    task: Task
    path: str
    why: str


class Hello(_Message):
    """From the worker: it is ready. `devices` are all that this machine has.

    `models` are those of the tasks; of those of folders some may be `refused`.
    `jobs_at_once` is how many it can have in hand. `confinement` names what confines it,
    `unconfined` what could not be had, and why.
    """

    kind: Literal["hello"] = "hello"
    device: str
    devices: tuple[str, ...]
    models: dict[Task, Model]
    torch_version: str
    jobs_at_once: JobsAtOnce = 1
    confinement: tuple[str, ...] = ()
    unconfined: str | None = None
    folder_models: dict[Task, tuple[Model, ...]] = {}
    refused: tuple[Refused, ...] = ()

    def own_model(self, task: Task, path: str | None) -> Model | None:
        """The folder's model of that path; None where it is none, or none that can be used."""
        return next((m for m in self.folder_models.get(task, ()) if m.path == path), None)

    def model_of(self, task: Task, path: str | None) -> Model:
        """What works a job: its folder's model of that path, or else that of its task."""
        return self.own_model(task, path) or self.models[task]


class Input(_Message):
    """A file as it was read: the hash is of the very bytes that were decoded."""

    sha256: str
    bytes: int
    width: int
    height: int
    mode: str
    format: str


class Produced(_Message):
    """An output in the job's `out/`, and the suffix it gets in the outbox."""

    held: Held
    suffix: Suffix


class Done(_Message):
    """From the worker: the outputs are written. `seconds` by step; `notes` for the log.

    `preview` is the width and height of one of its three pictures; None where none was asked for.
    """

    kind: Literal["done"] = "done"
    job: str
    outputs: tuple[Produced, ...]
    picture: Input
    companion: Input
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    preview: tuple[Previewed, Previewed] | None = None


class Problem(_Message):
    """From the worker: a trouble of the list of reasons; without a job, the worker can't start."""

    kind: Literal["problem"] = "problem"
    job: str | None
    reason: Annotated[str, AfterValidator(_listed)]
    facts: dict[str, str | int | float]


ToWorker = Annotated[Orders | Job, Field(discriminator="kind")]
FromWorker = Annotated[Hello | Done | Problem, Field(discriminator="kind")]

to_worker: TypeAdapter[Orders | Job] = TypeAdapter(ToWorker)
from_worker: TypeAdapter[Hello | Done | Problem] = TypeAdapter(FromWorker)


def line(message: _Message) -> bytes:
    """A message as it goes over the worker's pipe."""
    return message.model_dump_json().encode() + b"\n"
