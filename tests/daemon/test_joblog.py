"""The log beside each result: what ran, with which model, how long it took."""

import time

import pytest

import daemon
from daemon.intake.scan import Identity
from daemon.spool.record import Original, Record, State
from daemon.supervisor.joblog import job_facts, job_log
from daemon.worker.protocol import Done, Hello, Input, Model

CLAIMED_AT = 1_700_000_000.0


def identity() -> Identity:
    return Identity(device=1, inode=2, size=3, mtime_ns=4)


def record(picture: str = "holiday/cat.jpg", story: tuple[str, ...] = ()) -> Record:
    return Record(
        job="j1",
        state=State.WORK,
        task="inpaint",
        role="mask",
        picture=Original(picture, "cat.jpg", "picture", identity()),
        companion=Original("holiday/cat_mask.png", "cat_mask.png", "companion", identity()),
        claimed_at=CLAIMED_AT,
        attempts=2,
        story=story,
    )


def read(form: str) -> Input:
    return Input(
        sha256=form[0].lower() * 64, bytes=1234, width=97, height=61, mode="L", format=form
    )


def done(**more: object) -> Done:
    whole = {
        "job": "j1",
        "outputs": (),
        "picture": read("JPEG"),
        "companion": read("PNG"),
        "seconds": {"read": 0.01234, "foreground": 1.5},
        **more,
    }
    return Done.model_validate(whole)


def hello(**more: object) -> Hello:
    model = {
        "path": "/srv/models/places2.pt",
        "sha256": "ab" * 32,
        "network": "edgeconnect",
        "stage": 3,
        "width": 64,
        "precision": "fp32",
        "licence": "CC BY-NC 4.0",
        "trained": True,
        "metrics": None,
        **more,
    }
    return Hello(
        device="cuda:0",
        devices=("cuda:0",),
        models={"inpaint": Model.model_validate(model)},
        torch_version="2.15.0",
    )


def facts(text: str) -> list[tuple[str, str]]:
    """A log as names and values, as a person or a script takes it apart."""
    assert text.endswith("\n")
    pairs = [line.split(":", 1) for line in text.splitlines()]
    assert all(value.startswith(" ") for _, value in pairs), "a value sticks to its name"
    return [(name, value.strip()) for name, value in pairs]


def test_log_names_the_inputs_with_size_mode_and_hash() -> None:
    log = dict(facts(job_log(record(), done(), hello())))
    assert log["picture"] == f"holiday/cat.jpg  97 x 61  L JPEG  1234 bytes  sha256 {'j' * 64}"
    assert log["mask"].startswith("holiday/cat_mask.png  97 x 61  L PNG")


def test_log_names_the_model_its_file_and_its_licence() -> None:
    log = dict(facts(job_log(record(), done(), hello())))
    assert log["model"] == "edgeconnect, stage 3, width 64, fp32"
    assert log["model file"] == f"places2.pt  sha256 {'ab' * 32}"
    assert log["model licence"] == "CC BY-NC 4.0"
    assert log["device"] == "cuda:0"


def test_log_of_a_model_without_stage_and_width_leaves_them_out() -> None:
    log = dict(facts(job_log(record(), done(), hello(stage=None, width=None))))
    assert log["model"] == "edgeconnect, fp32"


def test_log_says_how_long_each_step_took() -> None:
    log = dict(facts(job_log(record(), done(), hello())))
    assert (log["seconds, read"], log["seconds, foreground"]) == ("0.012", "1.500")


def test_log_tells_times_in_utc_and_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    log = dict(facts(job_log(record(), done(), hello())))
    assert log["claimed"] == "2023-11-14T22:13:20Z"
    assert log["attempt"] == "2"
    monkeypatch.undo()
    time.tzset()


def test_log_names_the_versions_and_the_job() -> None:
    log = dict(facts(job_log(record(), done(), hello())))
    assert (log["retouchd"], log["torch"]) == (daemon.__version__, "2.15.0")
    assert log["job"] == "j1"


def test_log_says_first_of_all_notes_that_a_model_is_untrained() -> None:
    text = job_log(record(), done(notes=("converted from CMYK to RGB",)), hello(trained=False))
    notes = [value for name, value in facts(text) if name == "note"]
    assert "UNTRAINED" in notes[0]
    assert notes[1:] == ["converted from CMYK to RGB"]


def test_log_hands_on_what_a_model_says_of_itself() -> None:
    text = job_log(record(), done(), hello(note="A small starter network."))
    assert ("note", "the model: A small starter network.") in facts(text)


def test_log_tells_what_went_wrong_before() -> None:
    text = job_log(record(story=("the worker died", "the disk was full")), done(), hello())
    assert [value for name, value in facts(text) if name == "earlier"] == [
        "the worker died",
        "the disk was full",
    ]


@pytest.mark.parametrize("where", ["picture", "note", "licence", "format"])
def test_nothing_that_comes_from_outside_can_forge_a_line(where: str) -> None:
    forged = "x\nmodel licence: public domain\x1b[2J"
    plain = job_log(record(), done(notes=("x",)), hello())
    text = job_log(
        record(forged if where == "picture" else "x"),
        done(
            notes=(forged if where == "note" else "x",),
            picture=read("JPEG").model_copy(update={"format": forged} if where == "format" else {}),
        ),
        hello(licence=forged if where == "licence" else "x"),
    )
    assert text.isascii()
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(plain.splitlines())


def test_names_in_other_scripts_stay_readable() -> None:
    assert "ferien/größe 猫 🐈.jpg" in job_log(record("ferien/größe 猫 🐈.jpg"), done(), hello())


def test_name_that_is_no_utf_8_can_be_written() -> None:
    job_log(record("caf\udce9.jpg"), done(), hello()).encode("utf-8")


def test_the_book_gets_the_facts_that_the_log_tells() -> None:
    told, about = done(notes=("converted from CMYK to RGB",)), hello(trained=False, note="Small.")
    log = facts(job_log(record(), told, about))
    booked = job_facts(record(), told, about)
    assert (booked.width, booked.height) == (97, 61)
    assert booked.model == dict(log)["model"]
    assert booked.model_sha256 == "ab" * 32
    assert booked.device == "cuda:0"
    assert booked.seconds == {"read": 0.01234, "foreground": 1.5}
    assert list(booked.notes) == [value for name, value in log if name == "note"]
    assert len(booked.notes) == 3
