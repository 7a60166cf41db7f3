"""Names as macOS and others write them, decomposed and composed, in all layouts, on a real disk.

Where names differ in their form alone they are two files, or two folders, to ext4 and its like.
"""

import unicodedata
from collections.abc import Callable

import pytest
from driver import Site, hole, inverted, load, photo, save
from test_jobs import claim, produce, tree

from daemon.spool import jobs
from daemon.spool.layout import Spool

Form = Callable[[str], str]


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


# Picture and companion, in the form that macOS makes and in the one that everybody else does.
LAYOUTS = {
    "beside": ("Été/crème.png", "Été/crème_mask.png"),
    "with a dot": ("Été/Ångström.png", "Été/ångström.mask.png"),
    "by the whole name": ("Été/naïve.png", "Été/naïve.png.mask.bmp"),
    "in trees": ("Été/images/à/crème.png", "Été/masks/à/crème.bmp"),
    "in trees, with its mark": ("images/Größe über alles.png", "masks/GRÖSSE ÜBER ALLES_mask.png"),
    "in trees, by the whole name": ("images/çà.png", "masks/çà.png.png"),
    "Hangul": ("사진/고양이.png", "사진/고양이_mask.png"),
    "Vietnamese": ("ảnh/mèo trắng.png", "ảnh/mèo trắng-mask.png"),
}


@pytest.mark.parametrize(
    ("of_picture", "of_companion"), [(nfd, nfc), (nfc, nfd)], ids=["picture NFD", "picture NFC"]
)
def test_the_form_of_names_does_not_matter_and_each_result_keeps_its_pictures_own(
    site: Site, of_picture: Form, of_companion: Form
) -> None:
    pairs = {of_picture(p): of_companion(c) for p, c in LAYOUTS.values()}
    assert not set(pairs) & {of_companion(path) for path in pairs}
    for number, (picture, companion) in enumerate(pairs.items()):
        save(photo(number), site.inbox / picture)
        save(hole(), site.inbox / companion)
        (site.inbox / f"{of_companion(picture)}.done").parent.mkdir(parents=True, exist_ok=True)
        (site.inbox / f"{of_companion(picture)}.done").touch()
    done = site.once("--done-marker")
    assert done.returncode == 0, done.stderr
    assert site.files("inbox") == site.files("failed") == site.jobs() == []
    logs = [f"{picture.removesuffix('.png')}.log" for picture in pairs]
    assert site.files("outbox") == sorted([*pairs, *logs])
    assert site.files("archive") == sorted([*pairs, *pairs.values()])
    for number, picture in enumerate(pairs):
        assert (load(site.outbox / picture) == inverted(photo(number), hole())).all(), picture


def test_two_pictures_whose_names_differ_in_form_alone_are_not_guessed_between(site: Site) -> None:
    pictures = [nfd("é.png"), nfc("é.png")]
    masks = [nfd("é_mask.png"), nfc("é_mask.png")]
    for path in pictures:
        save(photo(), site.inbox / path)
    for path in masks:
        save(hole(), site.inbox / path)
    done = site.once()
    assert "0 done, 0 failed, 4 waiting" in done.stdout
    assert done.stdout.count("which of these belong together can't be told") == 4
    assert site.files("inbox") == sorted(pictures + masks)


def test_results_whose_names_differ_in_form_alone_are_two(spool: Spool) -> None:
    for form in (nfd, nfc):
        record = claim(spool, form("é"))
        jobs.publish_result(spool, record, produce(spool, record, form("é").encode()), "log")
    for form in (nfd, nfc):
        assert tree(spool.outbox)[form("é.png")] == form("é").encode()
        assert {form("é.jpg"), form("é_mask.png")} < set(tree(spool.archive))
