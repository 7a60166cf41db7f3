from collections.abc import Iterator

import numpy as np
import pytest

from models.evaluation import peers
from models.evaluation.methods import EvaluationError, TaskName, needed
from models.evaluation.peers import PEERS, choose_peers, peer_names, to_bytes

SIZE = 32
# The large kernel's default radius is 10 px, and it needs two kernels side by side.
DISC_SIZE = 48


def smooth_picture() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack([40 + 5 * x, 60 + 4 * y, 120 + x + y], axis=-1).astype(np.uint8)


def hole() -> np.ndarray:
    hole = np.zeros((SIZE, SIZE), np.uint8)
    hole[10:20, 12:22] = 255
    return hole


def disc() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red disc with a soft rim on blue: picture, trimap and true alpha."""
    y, x = np.mgrid[:DISC_SIZE, :DISC_SIZE]
    distance = np.hypot(y - 23.5, x - 23.5)
    alpha = np.clip((12 - distance) / 4, 0, 1)
    picture = alpha[:, :, None] * (200, 30, 30) + (1 - alpha[:, :, None]) * (20, 40, 210)
    trimap = np.where(distance < 6, 255, np.where(distance > 14, 0, 128))
    return picture.astype(np.uint8), trimap.astype(np.uint8), to_bytes(alpha)


@pytest.mark.parametrize("name", peer_names("inpaint"))
def test_inpainting_peer_fills_a_smooth_picture_without_seeing_the_hole(name: str) -> None:
    (peer,) = choose_peers("inpaint", name)
    truth, missing = smooth_picture(), hole()
    blank = np.where(missing[:, :, None] > 0, np.uint8(0), truth)
    filled = peer.run(blank, missing)
    assert filled.dtype == np.uint8
    assert filled.shape == truth.shape
    error = np.abs(filled.astype(int) - truth)[missing > 0]
    assert error.mean() < 15
    assert np.abs(blank.astype(int) - truth)[missing > 0].mean() > 100


@pytest.mark.parametrize("name", peer_names("matting"))
def test_matting_peer_finds_the_rim_of_a_disc(name: str) -> None:
    (peer,) = choose_peers("matting", name)
    picture, trimap, truth = disc()
    alpha = peer.run(picture, trimap)
    assert alpha.dtype == np.uint8
    assert alpha.shape == truth.shape
    unknown = trimap == 128
    assert np.abs(alpha.astype(int) - truth)[unknown].mean() < 25
    assert np.abs(128 - truth.astype(int))[unknown].mean() > 60


def test_peers_are_chosen_by_all_none_or_name() -> None:
    assert [peer.name for peer in choose_peers("inpaint", "all")] == peer_names("inpaint")
    assert choose_peers("matting", "none") == []
    assert [p.name for p in choose_peers("matting", "knn, closed-form,knn")] == [
        "knn",
        "closed-form",
    ]


@pytest.mark.parametrize(("task", "name"), [("inpaint", "knn"), ("matting", ""), ("inpaint", "x")])
def test_peer_that_is_none_is_named_with_those_that_are(task: TaskName, name: str) -> None:
    with pytest.raises(EvaluationError, match=f"'{name}' is no peer of {task}. Choose from"):
        choose_peers(task, name)


@pytest.fixture
def peer_without_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    lost = peers.Peer("lost", "inpaint", "", ("a-package-that-is-not-there",), lambda a, b: a + b)
    monkeypatch.setattr(peers, "PEERS", (*PEERS, lost))
    yield


@pytest.mark.usefixtures("peer_without_package")
def test_missing_package_is_named() -> None:
    with pytest.raises(EvaluationError, match="the peer lost needs the package a-package-that"):
        choose_peers("inpaint", "lost")


def test_module_that_cannot_be_imported_is_named_by_its_package() -> None:
    with pytest.raises(EvaluationError, match=r"SSIM needs the package the-package.*no_such"):
        needed("no_such_module", "the-package", "SSIM")


def test_identity_tells_versions_apart_and_own_code_has_none() -> None:
    identities = {peer.name: peer.as_method().identity for peer in PEERS}
    assert "opencv-python-headless" in identities["telea"]
    assert identities["telea"] != identities["navier-stokes"]
    assert identities["smooth-fill"] == ""


def test_picture_that_a_peer_cannot_take_is_an_error_that_says_so() -> None:
    (peer,) = choose_peers("matting", "large-kernel")
    picture, trimap, _ = disc()
    with pytest.raises(EvaluationError, match="estimate_alpha_lkm failed on a picture of 20 x 20"):
        peer.run(picture[10:30, 10:30], trimap[10:30, 10:30])
