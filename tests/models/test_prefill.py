"""The smooth fill: exact where pixels are known, smooth where not, on any picture."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.restoration import inpaint_biharmonic

from models.prefill import SmoothFill, WhiteFill


def hole_in(height: int, width: int, rows: slice, columns: slice) -> torch.Tensor:
    hole = torch.zeros((1, 1, height, width), dtype=torch.bool)
    hole[:, :, rows, columns] = True
    return hole


def test_known_pixels_come_through_to_the_bit() -> None:
    x = torch.rand((2, 3, 37, 50))
    hole = torch.rand((2, 1, 37, 50)) < 0.5
    for fill in (SmoothFill(), WhiteFill()):
        filled = fill(x, hole)
        assert torch.equal(torch.where(hole, 0.0, filled), torch.where(hole, 0.0, x))


def test_what_stands_in_the_hole_has_no_influence() -> None:
    x = torch.rand((1, 3, 40, 40))
    hole = hole_in(40, 40, slice(10, 30), slice(5, 25))
    other = torch.where(hole, torch.rand_like(x), x)
    assert torch.equal(SmoothFill()(x, hole), SmoothFill()(other, hole))


def test_a_slope_goes_on_through_a_hole() -> None:
    """A plane is what a thin plate does not bend: the fill finds it, but for its few steps."""
    row = torch.linspace(0.2, 0.8, 64)
    x = (row[None, :] + 0.15 * row[:, None]).expand(1, 1, 64, 64).contiguous()
    hole = hole_in(64, 64, slice(20, 44), slice(20, 44))
    few = (SmoothFill()(x, hole) - x).abs().max()
    many = (SmoothFill(200)(x, hole) - x).abs().max()
    assert few < 0.02
    assert many < 0.002


def test_fill_is_as_near_to_a_photo_as_scikit_image_s_biharmonic() -> None:
    photo = data.chelsea()[40:168, 100:228]
    rng = np.random.default_rng(0)
    mask = np.zeros((128, 128), dtype=bool)
    for _ in range(12):
        y, x = rng.integers(0, 112, 2)
        mask[y : y + 16, x : x + 14] = True
    theirs = inpaint_biharmonic(photo, mask, channel_axis=-1)
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    ours = SmoothFill()(image, torch.from_numpy(mask)[None, None])[0].permute(1, 2, 0).numpy()

    def psnr(made: np.ndarray) -> float:
        return float(-10 * np.log10(np.mean((made - photo / 255)[mask] ** 2)))

    assert psnr(ours) > psnr(theirs) - 0.2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (5, 3), (33, 64), (251, 130)])
def test_any_size_works(height: int, width: int) -> None:
    x = torch.rand((1, 3, height, width))
    hole = torch.rand((1, 1, height, width)) < 0.4
    filled = SmoothFill()(x, hole)
    assert filled.shape == x.shape
    assert torch.isfinite(filled).all()
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_a_picture_that_is_all_hole_becomes_grey() -> None:
    filled = SmoothFill()(torch.rand((1, 3, 30, 20)), torch.ones((1, 1, 30, 20), dtype=torch.bool))
    assert torch.allclose(filled, torch.full_like(filled, 0.5), atol=1e-3)


def test_a_picture_without_a_hole_stays() -> None:
    x = torch.rand((1, 3, 30, 20))
    assert torch.equal(SmoothFill()(x, torch.zeros((1, 1, 30, 20), dtype=torch.bool)), x)


def test_each_picture_of_a_batch_is_filled_as_if_alone() -> None:
    x = torch.rand((3, 3, 48, 40))
    hole = torch.rand((3, 1, 48, 40)) < 0.3
    together = SmoothFill()(x, hole)
    for i in range(3):
        alone = SmoothFill()(x[i : i + 1], hole[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)


def test_scripted_it_gives_the_same() -> None:
    x = torch.rand((1, 3, 45, 70))
    hole = torch.rand((1, 1, 45, 70)) < 0.3
    scripted = torch.jit.script(SmoothFill())
    assert torch.equal(scripted(x, hole), SmoothFill()(x, hole))
