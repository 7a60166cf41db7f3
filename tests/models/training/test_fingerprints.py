"""The same pictures have the same fingerprint, others another."""

from pathlib import Path

from models.training.fingerprints import fingerprint


def folder(path: Path, **pictures: bytes) -> Path:
    for name, content in pictures.items():
        (path / "train").mkdir(parents=True, exist_ok=True)
        (path / "train" / f"{name}.jpg").write_bytes(content)
    return path


def test_a_folder_is_its_pictures_names_and_sizes_wherever_it_lies(tmp_path: Path) -> None:
    one = fingerprint(folder(tmp_path / "one", a=b"12", b=b"3"))
    assert one == fingerprint(folder(tmp_path / "moved", a=b"12", b=b"3"))
    assert one != fingerprint(folder(tmp_path / "more", a=b"12", b=b"3", c=b"4"))
    assert one != fingerprint(folder(tmp_path / "longer", a=b"12", b=b"34"))
    (tmp_path / "one" / "notes.txt").write_text("no picture", encoding="utf-8")
    assert one == fingerprint(tmp_path / "one")


def test_a_pack_is_its_bytes(tmp_path: Path) -> None:
    for name, content in (("a.zip", b"1"), ("b.zip", b"1"), ("c.zip", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (fingerprint(tmp_path / name) for name in ("a.zip", "b.zip", "c.zip"))
    assert one == same != other
