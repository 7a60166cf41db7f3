"""Networks in use: what is loaded, what is refused, what is asked of a result."""

import io
import json
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from daemon.artifact import ArtifactError
from daemon.reasons import Kind, Trouble
from daemon.worker import inference
from daemon.worker.inference import Network, all_devices, first_line, is_poisoned

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
MASK = np.zeros((40, 56), np.uint8)
MASK[5:20, 7:30] = 255


class Edges(torch.nn.Module):
    """One channel where three are due."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return image[:, :1]


class Floats(torch.nn.Module):
    """The right shape in the wrong type."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return image / 255


class OneInput(torch.nn.Module):
    """No place for a mask."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


class WritesItsInputs(torch.nn.Module):
    """Works in place."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask.fill_(255)
        return image.fill_(7)


class Starved(torch.nn.Module):
    """Wants more memory than any machine has, for any picture but the worker's own trial."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        if image.shape[2] > 37:
            return torch.empty([1 << 50], dtype=torch.uint8)
        return image


def artifact(folder: Path, module: torch.nn.Module, **manifest: object) -> Path:
    path = folder / "model.pt"
    whole = {"contract": "retouchd", "contract_version": 1, "network": "tiny", **manifest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(module.eval())
        torch.jit.save(scripted, path, _extra_files={"manifest.json": json.dumps(whole)})
    path.chmod(0o644)
    return path


# -- Results ---------------------------------------------------------------------------------------


def test_inpainting_gives_a_picture_of_the_same_size(inpaint_model: Path) -> None:
    result = Network(inpaint_model, "inpaint", "cpu").run(PICTURE, MASK)
    assert np.array_equal(result, np.where(MASK[..., None] > 0, 255 - PICTURE, PICTURE))
    assert result.flags["C_CONTIGUOUS"]


def test_matting_gives_a_plane_of_the_same_size(matting_model: Path) -> None:
    trimap = np.where(MASK > 0, np.uint8(128), np.uint8(0))
    result = Network(matting_model, "matting", "cpu").run(PICTURE, trimap)
    assert np.array_equal(result, np.where(MASK > 0, 100, 0))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (251, 333)], ids=str)
def test_any_size_runs(inpaint_model: Path, size: tuple[int, int]) -> None:
    result = Network(inpaint_model, "inpaint", "cpu").run(
        np.zeros((*size, 3), np.uint8), np.full(size, 255, np.uint8)
    )
    assert (result == 255).all()


def test_read_only_arrays_run(inpaint_model: Path) -> None:
    picture, mask = PICTURE.copy(), MASK.copy()
    picture.flags.writeable = mask.flags.writeable = False
    assert Network(inpaint_model, "inpaint", "cpu").run(picture, mask).any()


def test_network_that_works_in_place_leaves_picture_and_mask_alone(tmp_path: Path) -> None:
    network = Network(artifact(tmp_path, WritesItsInputs(), task="inpaint"), "inpaint", "cpu")
    for picture, mask in ((PICTURE.copy(), MASK.copy()), (PICTURE[:1, :1].copy(), MASK[:1, :1])):
        before = picture.copy(), mask.copy()
        assert (network.run(picture, mask) == 7).all()
        assert np.array_equal(picture, before[0])
        assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("module", [Edges(), Floats()], ids=["shape", "type"])
def test_model_that_gives_something_else_is_refused_at_its_trial(
    tmp_path: Path, module: torch.nn.Module
) -> None:
    with pytest.raises(ArtifactError, match=r"does not run on cpu: .*instead of uint8"):
        Network(artifact(tmp_path, module, task="inpaint"), "inpaint", "cpu")


def test_error_inside_the_model_is_a_trouble_that_tells_its_cause(tmp_path: Path) -> None:
    network = Network(tiny.write_raising(tmp_path / "m.pt"), "inpaint", "cpu")
    with pytest.raises(Trouble) as caught:
        network.run(np.zeros((80, 80, 3), np.uint8), np.zeros((80, 80), np.uint8))
    assert (caught.value.reason.key, caught.value.reason.kind) == ("model_raised", Kind.RETRY)
    assert "this network always fails" in str(caught.value.facts["detail"])


def test_want_of_memory_inside_the_model_is_a_trouble_of_its_own(tmp_path: Path) -> None:
    network = Network(artifact(tmp_path, Starved(), task="inpaint"), "inpaint", "cpu")
    with pytest.raises(Trouble) as caught:
        network.run(PICTURE, MASK)
    assert caught.value.reason.key == "out_of_memory"


def test_batch_is_what_each_picture_gives_alone(inpaint_model: Path) -> None:
    network = Network(inpaint_model, "inpaint", "cpu")
    pictures, masks = np.stack([PICTURE, 255 - PICTURE]), np.stack([MASK, MASK[::-1]])
    results = network.run_batch(pictures, masks)
    assert results.flags["C_CONTIGUOUS"]
    for picture, mask, result in zip(pictures, masks, results, strict=True):
        assert np.array_equal(result, network.run(picture, mask))


# -- Speed -----------------------------------------------------------------------------------------


def test_first_call_has_the_plan_that_all_sizes_have(
    inpaint_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes a new size slow is a plan that is still being made: profiled, then compiled."""
    torch.jit.set_fusion_strategy([("STATIC", 2), ("DYNAMIC", 10)])  # torch's own choice
    monkeypatch.setattr(Network, "_try", lambda _: None)
    network = Network(inpaint_model, "inpaint", "cpu")
    plans = []
    for side in (30, 31, 31, 50):
        call = threading.Thread(  # settings of a thread would not do: jobs come in any
            target=network.run,
            args=(np.zeros((side, side + 8, 3), np.uint8), np.zeros((side, side + 8), np.uint8)),
        )
        call.start()
        call.join()
        state = network._module.get_debug_state()  # fails while it is profiled
        plans.append([str(plan.graph) for plan in state.execution_plans.values()])
    assert [len(each) for each in plans] == [1, 1, 1, 1]
    assert plans[0] == plans[1] == plans[2] == plans[3]
    assert "prim::profile" not in plans[0][0]
    assert "prim::TypeCheck" not in plans[0][0]


def test_picture_goes_its_way_where_no_memory_can_be_locked() -> None:
    """Without a GPU none can; what is copied for one must be right all the same."""
    plane = PICTURE[None].transpose(0, 3, 1, 2)
    tensor = inference._page_locked(plane)
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.numpy(), plane)


# -- Loading ---------------------------------------------------------------------------------------


def test_model_of_the_other_task_is_refused(matting_model: Path) -> None:
    with pytest.raises(ArtifactError, match="a model for 'matting', not for 'inpaint'"):
        Network(matting_model, "inpaint", "cpu")


def test_model_without_a_place_for_the_mask_is_refused(tmp_path: Path) -> None:
    path = artifact(tmp_path, OneInput(), task="inpaint")
    with pytest.raises(ArtifactError, match="does not run on cpu"):
        Network(path, "inpaint", "cpu")


def test_zip_with_a_manifest_and_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.pt"
    manifest = {"contract": "retouchd", "contract_version": 1, "network": "x", "task": "inpaint"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/extra/manifest.json", json.dumps(manifest))
    path.chmod(0o644)
    with pytest.raises(ArtifactError, match="does not run on cpu"):
        Network(path, "inpaint", "cpu")


def test_model_cut_off_is_refused(tmp_path: Path, inpaint_model: Path) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(inpaint_model.read_bytes()[:-100])
    path.chmod(0o644)
    with pytest.raises(ArtifactError, match="no complete TorchScript file"):
        Network(path, "inpaint", "cpu")


def test_model_damaged_inside_is_refused(tmp_path: Path, inpaint_model: Path) -> None:
    path = tmp_path / "damaged.pt"
    with zipfile.ZipFile(inpaint_model) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            damage = name.endswith((".py", "data.pkl"))
            new.writestr(name, b"\x80\x02" if damage else old.read(name))
    path.chmod(0o644)
    with pytest.raises(ArtifactError, match="does not run on cpu"):
        Network(path, "inpaint", "cpu")


def test_device_that_is_not_there_is_told(inpaint_model: Path) -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ArtifactError, match=f"does not run on {missing}"):
        Network(inpaint_model, "inpaint", missing)


def test_smallest_size_is_what_the_trial_runs_at(tmp_path: Path) -> None:
    path = tiny.write_inpaint(tmp_path / "m.pt", smallest_size=100)
    network = Network(path, "inpaint", "cpu")
    with pytest.raises(Trouble, match="the model needs 100 x 100"):
        network.require_size(300, 99)
    network.require_size(100, 100)


# -- Memory ----------------------------------------------------------------------------------------


def test_picture_that_would_not_fit_is_refused_with_what_would(
    inpaint_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(inpaint_model, "inpaint", "cpu")  # 64 bytes a pixel
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 1_000_000)
    network.require_memory(125, 100)
    with pytest.raises(Trouble) as caught:
        network.require_memory(126, 100)
    assert caught.value.reason.key == "too_large_for_memory"
    assert caught.value.facts["fits"] == 12_500


def test_model_that_does_not_say_what_it_needs_is_counted_dear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny.write_inpaint(tmp_path / "m.pt", memory_bytes_per_pixel=None)
    network = Network(path, "inpaint", "cpu")
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 4096 * 1000)
    with pytest.raises(Trouble, match="would need about"):
        network.require_memory(1000, 1)


def test_pixels_at_once_are_what_is_allowed_and_what_is_free(
    inpaint_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(inpaint_model, "inpaint", "cpu")  # 64 bytes a pixel
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 10_000_000_000)
    assert network.pixels_at_once(640_000) == 10_000
    assert network.pixels_at_once(None) == 1_500_000_000 // 64
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 8_000)
    assert network.pixels_at_once(640_000) == 100


# -- Devices and errors ----------------------------------------------------------------------------


def test_devices_are_the_gpus_or_else_the_cpu() -> None:
    count = torch.cuda.device_count()
    assert all_devices() == (tuple(f"cuda:{i}" for i in range(count)) or ("cpu",))


def test_number_of_threads_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    inference.set_threads(3)
    inference.set_threads(None)
    assert seen == [3]


@pytest.mark.parametrize(
    ("text", "poisoned"),
    [
        ("CUDA error: an illegal memory access was encountered", True),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_error_of_the_device_is_told_from_an_error_of_the_model(text: str, poisoned: bool) -> None:
    assert is_poisoned(RuntimeError(text)) is poisoned


def test_poisoned_device_is_not_taken_for_a_trouble_of_the_picture(
    inpaint_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(inpaint_model, "inpaint", "cpu")

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(network, "_module", fail)
    with pytest.raises(RuntimeError, match="CUDA error"):
        network.run(PICTURE, MASK)


def test_cause_of_a_torchscript_error_is_its_last_line() -> None:
    text = "The following operation failed\n  trace\nRuntimeError: the cause\n\n"
    assert first_line(RuntimeError(text)) == "RuntimeError: the cause"
    assert first_line(RuntimeError()) == "RuntimeError"


def test_what_is_loaded_is_what_was_hashed(inpaint_model: Path) -> None:
    import hashlib

    network = Network(inpaint_model, "inpaint", "cpu")
    assert network.sha256 == hashlib.sha256(inpaint_model.read_bytes()).hexdigest()
    assert torch.jit.load(io.BytesIO(inpaint_model.read_bytes()))
