"""What is made to be measured has the shares that the figures speak of."""

import numpy as np
import pytest
import scenes


def test_hole_takes_its_share_in_one_square() -> None:
    mask = scenes.square_hole(400, 300, 0.01)
    rows, columns = np.nonzero(mask)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert height == width
    assert mask.sum() // 255 == height * width
    assert (mask > 0).mean() == pytest.approx(0.01, rel=0.1)


def test_specks_lie_all_over_and_take_about_their_share() -> None:
    mask = scenes.specks(1200, 900, 0.01)
    assert (mask > 0).mean() == pytest.approx(0.01, rel=0.2)
    quarters = [half for rows in np.split(mask, 2) for half in np.split(rows, 2, axis=1)]
    assert all((quarter > 0).mean() > 0.005 for quarter in quarters)


def test_portrait_has_three_regions_and_halves_alike() -> None:
    trimap = scenes.portrait(800, 600, 2)
    assert set(np.unique(trimap)) == {0, 128, 255}
    left, right = (trimap == 128)[:, :400].sum(), (trimap == 128)[:, 400:].sum()
    assert left == pytest.approx(right, rel=0.02)


def test_portraits_band_is_as_wide_as_it_says() -> None:
    # Through the head's middle: 2 % of 600 on either side of each of its two edges.
    row = scenes.portrait(800, 600, 2)[216]
    assert (row == 128).sum() == pytest.approx(4 * 12, abs=2 * 4)


def test_photo_is_coarse_and_noisy_as_photographs_are() -> None:
    photo = scenes.photo(256, 256).astype(float)
    step = np.abs(np.diff(photo, axis=1)).mean()
    assert photo.std() > 30
    assert 1 < step < photo.std() / 3
    assert not (photo == scenes.photo(256, 256, seed=1)).all()
