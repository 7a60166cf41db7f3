"""Files spoiled in every way there is: each is read, or refused in words, at a bounded cost.

`make fuzz` reads tens of thousands more of them.
"""

import os
from collections.abc import Iterator

import pytest
import samples
from gauntlet import REPOSITORY, Gauntlet
from mutations import KINDS, ROLES, Malformed, every_kind, valid_files

FEWEST_KINDS = 30
SEEDS = range(1, 4)

# What a faulty decoder does, by what is to be said of it.
FAULTS = {
    "died": "os.abort()",
    "hung": "any(None for _ in iter(int, 1))",
    "escaped": "{}['key']",
    "samples of uint32": "changed(kept=picture.kept.astype(numpy.uint32))",
    "memory": "changed(kept=numpy.empty((61, 97), numpy.uint8))",
    "costs too much": "[b'x' * 450_000_000, picture][1]",
    "asks for more than 1 GiB": "refuse('out_of_memory', detail='')",
    "blames the world": "refuse('io_error', path='', detail='')",
    "says": "refuse('incomplete', role='', detail=object(), seconds=1)",
}
FAULTY_DECODER = """
import dataclasses, functools, os
import numpy
from PIL import Image
from daemon.reasons import Trouble
from daemon.worker import pictures

right = pictures.read_picture

def refuse(reason, **facts):
    raise Trouble(reason, **facts)

def faulty(data, max_pixels):
    picture = right(data, max_pixels)
    changed = functools.partial(dataclasses.replace, picture)
    return eval(FAULTS[data]) if data in FAULTS else picture

pictures.read_picture = faulty
"""


@pytest.fixture(scope="module")
def gauntlet() -> Iterator[Gauntlet]:
    with Gauntlet() as running:
        yield running


@pytest.mark.parametrize("form", KINDS)
def test_malformed_files_are_read_or_refused(gauntlet: Gauntlet, form: str) -> None:
    files = [malformed for malformed in every_kind(SEEDS) if malformed.form == form]
    assert {malformed.role for malformed in files} == set(ROLES)
    outcomes = [gauntlet.run(malformed) for malformed in files]
    findings = [finding for outcome in outcomes if (finding := outcome.finding())]
    assert not findings, "\n".join(findings)
    # Neither all refused at the door nor nothing spoiled: the decoders have been reached.
    verdicts = [outcome.verdict for outcome in outcomes]
    assert 0.2 < verdicts.count("accepted") / len(verdicts) < 0.8
    assert verdicts.count("not_a_picture") / len(verdicts) < 0.2


@pytest.mark.parametrize("form", KINDS)
def test_there_are_thirty_kinds_and_each_spoils(form: str) -> None:
    assert len(KINDS[form]) >= FEWEST_KINDS
    valid = {make() for make in valid_files(form)}
    for kind in KINDS[form]:
        assert {Malformed(form, kind, seed).make() for seed in range(8)} - valid, kind


def test_a_malformed_file_is_made_again_from_its_name() -> None:
    for malformed in every_kind(range(5, 6)):
        assert Malformed.named(str(malformed)).make() == malformed.make(), malformed


def showing(fault: str) -> bytes:
    """The picture that shows a fault."""
    return samples.sample("png rgb") + fault.encode()


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gauntlet]:
    """A decoder with all these faults, each shown by a file of its own."""
    folder = tmp_path_factory.mktemp("faulty")
    faults = {showing(said): fault for said, fault in FAULTS.items()}
    code = f"{FAULTY_DECODER}\nFAULTS = {faults!r}\n"
    (folder / "sitecustomize.py").write_text(code)
    path = os.pathsep.join((str(folder), str(REPOSITORY)))
    with Gauntlet({"PYTHONPATH": path}, hang_s=8) as running:
        yield running


@pytest.mark.parametrize("said", FAULTS)
def test_a_faulty_decoder_is_noticed_with_the_file_that_shows_it(
    faulty: Gauntlet, said: str
) -> None:
    deaths = faulty.deaths
    finding = faulty.run_bytes("the file that shows it", showing(said)).finding()
    assert finding and said in finding and "the file that shows it" in finding
    assert faulty.deaths - deaths == (said in ("died", "hung"))
    assert faulty.run_bytes("a harmless file", showing("nothing")).finding() is None
