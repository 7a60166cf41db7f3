"""A pack and settings in, a run out; a run's folder in, weights that models.checkpoints reads."""

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import ALONE, go_some_steps, weights

from models.checkpoints import (
    EDGE_WEIGHTS_FILE,
    INPAINT_WEIGHTS_FILE,
    MATTING_WEIGHTS_FILE,
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
)
from models.matting_corrected import IN_CHANNELS
from models.training.loop import Run
from models.training.pack import Cutout, Kind, Photo, Split, write_pack
from models.training.run_folder import RunError
from models.training.runs import edgeconnect_run, matting_run, save_weights
from models.training.trimapped import MattingSamples


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.pack(tmp_path_factory.mktemp("pack") / "pack.zip")


def inpainting(pack: Path, folder: Path, stage: str = "inpaint", **changes: Any) -> Run:
    starts = changes.pop("starts", None)
    return edgeconnect_run(stage, tiny_runs.settings(**changes), pack, folder, ALONE, starts=starts)


def matting(pack: Path, folder: Path, **changes: Any) -> Run:
    return matting_run(tiny_runs.matting_settings(**changes), pack, folder, ALONE)


def trained(run: Run, steps: int = 2) -> Run:
    """The run after a few steps, with a checkpoint."""
    run.resume()
    go_some_steps(run, steps)
    run.save()
    return run


def test_a_run_is_made_of_both_splits_and_says_what_it_is(pack: Path, tmp_path: Path) -> None:
    run = inpainting(pack, tmp_path / "run", least_hole=0.3, most_hole=0.4, scratches=0.0)
    for samples in (run.samples, run.validation):
        assert 0.28 < float(samples[0]["hole"].float().mean()) < 0.42
    assert not torch.equal(run.samples[0]["hole"], run.validation[0]["hole"])
    about = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert about["stage"] == "inpaint"
    assert about["settings"]["width"] == 4


def test_a_matting_run_draws_what_its_settings_say(pack: Path, tmp_path: Path) -> None:
    run = matting(pack, tmp_path, hair=0.0, lace=0.0, smoke=0.0, least_band=0, most_band=0)
    for samples in (run.samples, run.validation):
        sample = samples[0]
        sure = sample["trimap"] != 128
        known = (sample["alpha"] == 0) | (sample["alpha"] == 1)
        assert torch.equal(sure, known), "without a band only soft pixels are unknown"


def test_balance_shows_soft_cutouts_as_often_as_hard_ones_to_train_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photos = [
        Photo(
            f"{split}.png",
            split,
            split,
            "drawn",
            "CC0",
            rng.integers(0, 255, (64, 64, 3), np.uint8),
        )
        for split in ("train", "validation")
    ]
    kinds: list[tuple[Split, Kind]]
    kinds = [("train", "soft"), ("train", "hard"), ("train", "hard"), ("train", "hard")]
    kinds += [("validation", "soft"), ("validation", "hard")]
    cutouts = [
        Cutout(
            f"{i}.png", f"{i}", split, "drawn", "CC0", kind, np.full((48, 48, 4), 50 * i, np.uint8)
        )
        for i, (split, kind) in enumerate(kinds)
    ]
    write_pack(tmp_path / "pack.zip", photos, cutouts)
    run = matting(tmp_path / "pack.zip", tmp_path / "run", balance=True)
    assert isinstance(run.samples, MattingSamples)
    shown = [int(cutout[0, 0, 3]) for cutout in run.samples.cutouts]
    assert sorted(shown) == [0, 0, 0, 50, 100, 150]
    assert run.loaded[0].startswith("4 cut-outs to train on, 2 to measure on")


def test_own_masks_are_used_in_both_splits(pack: Path, tmp_path: Path) -> None:
    mask = np.full((40, 40), 255, np.uint8)
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    run = edgeconnect_run(
        "inpaint", tiny_runs.settings(), pack, tmp_path / "run", ALONE, masks=tmp_path / "masks"
    )
    assert run.samples[0]["hole"].all() and run.validation[0]["hole"].all()


def test_backgrounds_may_lie_elsewhere(pack: Path, tmp_path: Path) -> None:
    green = np.zeros((48, 64, 3), np.uint8)
    green[..., 1] = 255
    write_pack(
        tmp_path / "backs.zip",
        [Photo("g", "g", split, "test", "CC0-1.0", green) for split in ("train", "validation")],
        [],
    )
    run = matting_run(
        tiny_runs.matting_settings(), pack, tmp_path / "run", ALONE,
        backgrounds=tmp_path / "backs.zip",
    )  # fmt: skip
    for samples in (run.samples, run.validation):
        back = samples[0]["background"].float()
        assert back[1].min() > 250 and back[0].max() < 5


def test_same_seed_begins_with_the_same_weights(pack: Path, tmp_path: Path) -> None:
    one, again, other = (
        inpainting(pack, tmp_path / str(n), fill="white", seed=seed)
        for n, seed in enumerate((1, 1, 2))
    )
    start, same, different = (
        weights(run.training.networks["inpaint"]) for run in (one, again, other)
    )
    assert torch.equal(start, same)
    assert not torch.equal(start, different)


def test_joint_stage_begins_with_the_averages_of_both_runs(pack: Path, tmp_path: Path) -> None:
    runs = {
        stage: trained(inpainting(pack, tmp_path / stage, stage)) for stage in ("edge", "inpaint")
    }
    starts = {stage: tmp_path / stage for stage in runs}
    joint = inpainting(pack, tmp_path / "joint", "joint", starts=starts)
    for stage, run in runs.items():
        begun = weights(joint.training.networks[stage])
        assert torch.equal(begun, weights(run.average.networks[stage]))
        assert not torch.equal(begun, weights(run.training.networks[stage]))


def test_joint_stage_resumed_goes_on_with_its_own_weights(pack: Path, tmp_path: Path) -> None:
    for stage in ("edge", "inpaint"):
        trained(inpainting(pack, tmp_path / stage, stage))
    starts = {stage: tmp_path / stage for stage in ("edge", "inpaint")}
    joint = trained(inpainting(pack, tmp_path / "joint", "joint", starts=starts))
    for start in starts.values():  # they have given what they had to give
        shutil.rmtree(start)
    again = inpainting(pack, tmp_path / "joint", "joint", starts=starts)
    again.resume()
    assert again.step == 2
    for stage in ("edge", "inpaint"):
        learned = weights(joint.training.networks[stage])
        assert torch.equal(weights(again.training.networks[stage]), learned)


@pytest.mark.parametrize("change", [{"width": 6}, {"blocks": 2}])
def test_a_start_of_another_size_is_refused_by_name(
    pack: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    trained(inpainting(pack, tmp_path / "edge", "edge"))
    with pytest.raises(RunError, match=r"edge network has other sizes .*same width, blocks"):
        inpainting(pack, tmp_path / "joint", "joint", starts={"edge": tmp_path / "edge"}, **change)


def test_a_start_of_another_fill_is_refused(pack: Path, tmp_path: Path) -> None:
    trained(inpainting(pack, tmp_path / "inpaint", fill="white"))
    with pytest.raises(RunError, match="fill"):
        inpainting(pack, tmp_path / "joint", "joint", starts={"inpaint": tmp_path / "inpaint"})


def test_a_start_that_trained_something_else_is_refused(pack: Path, tmp_path: Path) -> None:
    trained(inpainting(pack, tmp_path / "edge", "edge"))
    with pytest.raises(RunError, match="no network named inpaint"):
        inpainting(pack, tmp_path / "joint", "joint", starts={"inpaint": tmp_path / "edge"})


@pytest.mark.parametrize(
    ("setting", "value"), [("width", 6), ("batch", 1), ("fill", "white"), ("seed", 2)]
)
def test_other_settings_in_the_same_folder_are_named(
    pack: Path, tmp_path: Path, setting: str, value: Any
) -> None:
    trained(inpainting(pack, tmp_path))
    with pytest.raises(RunError, match=rf"\({setting}\)"):
        inpainting(pack, tmp_path, **{setting: value})
    again = inpainting(pack, tmp_path)
    again.resume()
    assert again.step == 2, "the refusal must leave the run as it was"


def test_another_stage_in_the_same_folder_is_refused(pack: Path, tmp_path: Path) -> None:
    trained(inpainting(pack, tmp_path))
    with pytest.raises(RunError, match=r"\(stage\)"):
        inpainting(pack, tmp_path, "edge")


def test_how_a_run_is_told_of_may_change(pack: Path, tmp_path: Path) -> None:
    trained(inpainting(pack, tmp_path))
    again = inpainting(pack, tmp_path, log_every=5, save_every_s=1.0, loaders=2)
    again.resume()
    assert again.step == 2


def test_later_settings_and_other_data_are_told_when_a_run_is_resumed(
    pack: Path, tmp_path: Path
) -> None:
    first = trained(inpainting(pack, tmp_path / "run"))
    assert list(first.loaded) == ["2 photos to train on, 2 to measure on."]
    other = tmp_path / "other.zip"
    photos = [
        Photo(f"{n}", f"{n}", split, "test", "CC0-1.0", picture)
        for split in ("train", "validation")
        for n, picture in enumerate(tiny_runs.photos()[:1])
    ]
    write_pack(other, photos, [])
    again = inpainting(other, tmp_path / "run", clip=1.0, steps=20)
    assert (
        again.loaded[1]
        == "Other than before: clip = 1.0 (was 0.0), steps = 20 (was 10), other data."
    )
    matted = matting(pack, tmp_path / "matting").loaded[0]
    assert (
        matted
        == "2 cut-outs to train on, 2 to measure on, over 2 photos to train on, 2 to measure on."
    )


def test_weights_that_the_disk_does_not_take_leave_no_file(pack: Path, tmp_path: Path) -> None:
    trained(matting(pack, tmp_path / "run"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OSError, match=r"large.*matting\.safetensors"):
            save_weights(tmp_path / "run", tmp_path / "weights")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "weights").iterdir())
    with pytest.raises(RunError, match="is a file"):
        save_weights(tmp_path / "run", tmp_path / "run" / "run.json")


def test_settings_may_change_until_there_is_a_checkpoint(pack: Path, tmp_path: Path) -> None:
    inpainting(pack, tmp_path)
    inpainting(pack, tmp_path, width=6)
    about = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert about["settings"]["width"] == 6


def test_a_run_without_a_checkpoint_has_no_weights(pack: Path, tmp_path: Path) -> None:
    inpainting(pack, tmp_path / "run")
    with pytest.raises(RunError, match="no checkpoint yet"):
        save_weights(tmp_path / "run", tmp_path / "weights")


def test_a_folder_that_is_no_run_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run's folder"):
        save_weights(tmp_path, tmp_path / "weights")


def test_data_without_photos_for_a_split_is_refused(tmp_path: Path) -> None:
    photo = Photo("a", "a", "train", "test", "CC0-1.0", tiny_runs.photos()[0])
    write_pack(tmp_path / "half.zip", [photo], [])
    with pytest.raises(RunError, match=r"no photos for the split validation\. Subfolders train/"):
        inpainting(tmp_path / "half.zip", tmp_path / "run")


def half_precision(folder: Path) -> None:
    """Check that weights are float16 on disk and nothing but a generator's."""
    for path in folder.iterdir():
        state = load_file(path)
        assert {t.dtype for t in state.values() if t.is_floating_point()} == {torch.float16}


@pytest.mark.parametrize("fill", ["white", "smooth"])
def test_joint_weights_give_what_the_averaged_networks_give(
    pack: Path, tmp_path: Path, fill: str
) -> None:
    run = trained(inpainting(pack, tmp_path / "run", "joint", fill=fill), 6)
    written = save_weights(tmp_path / "run", tmp_path / "weights")
    assert {path.name for path in written} == {EDGE_WEIGHTS_FILE, INPAINT_WEIGHTS_FILE}
    half_precision(tmp_path / "weights")
    best = run.best_networks()
    edges = read_checkpoint(tmp_path / "weights" / EDGE_WEIGHTS_FILE)
    colours = read_checkpoint(tmp_path / "weights" / INPAINT_WEIGHTS_FILE)
    assert edges.fills_smoothly == colours.fills_smoothly == (fill == "smooth")
    channels = 5 if fill == "smooth" else 4
    with torch.no_grad():
        seen = torch.rand(1, 3, 32, 40)
        made, true = build_edge_generator(edges)(seen), best["edge"](seen)
        torch.testing.assert_close(made, true, rtol=0, atol=5e-3)
        seen = torch.rand(1, channels, 32, 40)
        made, true = build_inpaint_generator(colours)(seen), best["inpaint"](seen)
        torch.testing.assert_close(made, true, rtol=0, atol=5e-3)
        plain = run.training.networks["inpaint"].eval()(seen)
        assert (plain - true).abs().max() > 2 * (made - true).abs().max(), "no average was written"


@pytest.mark.parametrize("prefill", [False, True])
def test_matting_weights_give_what_the_averaged_network_gives(
    pack: Path, tmp_path: Path, prefill: bool
) -> None:
    run = trained(matting(pack, tmp_path / "run", prefill=prefill), 4)
    (path,) = save_weights(tmp_path / "run", tmp_path / "weights")
    assert path.name == MATTING_WEIGHTS_FILE
    half_precision(tmp_path / "weights")
    seen = torch.rand(1, IN_CHANNELS if prefill else 4, 40, 48)
    with torch.no_grad():
        made = build_matting(read_checkpoint(path))(seen)
        true = run.best_networks()["matting"](seen)
    torch.testing.assert_close(made, true, rtol=0, atol=5e-3)


def test_weights_without_averages_are_the_networks_themselves(pack: Path, tmp_path: Path) -> None:
    run = trained(matting(pack, tmp_path / "run", average=0.0), 2)
    (path,) = save_weights(tmp_path / "run", tmp_path / "weights")
    state = read_checkpoint(path).state
    for name, weight in run.training.networks["matting"].named_parameters():
        torch.testing.assert_close(state[name], weight.detach(), rtol=1e-3, atol=1e-6)


def test_weights_say_how_they_were_trained(pack: Path, tmp_path: Path) -> None:
    trained(inpainting(pack, tmp_path / "run"))
    (path,) = save_weights(tmp_path / "run", tmp_path / "weights")
    about = read_checkpoint(path).about
    assert about["network"] == "inpaint"
    assert json.loads(about["training"])["settings"]["learning_rate"] == 2e-3
