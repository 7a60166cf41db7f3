"""Artifacts made to harm: none costs memory or time, forges a line or is half understood."""

import bz2
import json
import lzma
import resource
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from artifact_zips import LEAST, deflated_zeros, forge, refusal, write

from daemon.artifact import MAX_SIDE_PX, ArtifactError, Manifest, holds_manifest, read_manifest


@contextmanager
def at_most(mebibytes: float, seconds: float) -> Iterator[None]:
    """Fail where what is done takes more memory or processor time."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        assert time.process_time() - began < seconds
        assert tracemalloc.get_traced_memory()[1] < mebibytes * 1024 * 1024
    finally:
        tracemalloc.stop()


def with_text(**more: object) -> str:
    """The least manifest as JSON, with more."""
    return json.dumps({**LEAST, **more})


def test_a_manifest_that_claims_to_be_small_and_is_four_gigabytes_is_not_unpacked(
    tmp_path: Path,
) -> None:
    packed = deflated_zeros(4096)
    assert len(packed) < 6_000_000
    path = forge(tmp_path / "m.pt", packed, method=zipfile.ZIP_DEFLATED, claimed=100)
    with at_most(mebibytes=2, seconds=2):
        assert "is no complete TorchScript file" in refusal(path)


def test_a_small_manifest_before_gigabytes_of_nothing_is_read_alone(tmp_path: Path) -> None:
    """Even its sum is right, so it is what it says; what is behind it is left packed."""
    text = json.dumps(LEAST).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)
    path = forge(
        tmp_path / "m.pt",
        head + deflated_zeros(4096),
        method=zipfile.ZIP_DEFLATED,
        claimed=len(text),
        crc=zlib.crc32(text),
    )
    with at_most(mebibytes=2, seconds=2):
        assert read_manifest(path).task == "inpaint"


@pytest.mark.parametrize(
    ("method", "packed"),
    [
        (zipfile.ZIP_BZIP2, bz2.compress(bytes(30_000_000))),
        (zipfile.ZIP_LZMA, b"\x09\x04\x05\x00" + lzma.compress(bytes(30_000_000))),
        (99, b"anything"),
    ],
)
def test_a_manifest_packed_without_a_bound_is_refused_as_it_is(
    tmp_path: Path, method: int, packed: bytes
) -> None:
    path = forge(tmp_path / "m.pt", packed, method=method, claimed=100)
    with at_most(mebibytes=2, seconds=2):
        assert "is packed as TorchScript files are not" in refusal(path)


def test_a_list_of_a_million_members_is_not_read(tmp_path: Path) -> None:
    path = forge(tmp_path / "m.pt", b"{}", method=0, claimed=2, members=1_000_000)
    assert path.stat().st_size > 47_000_000
    with at_most(mebibytes=4, seconds=2):
        assert "its list of members is longer than a network's can be" in refusal(path)
        assert not holds_manifest(path)


def test_the_longest_list_that_is_read_costs_little(tmp_path: Path) -> None:
    path = forge(tmp_path / "m.pt", b" ", method=0, claimed=1, crc=zlib.crc32(b" "), members=22_000)
    with at_most(mebibytes=32, seconds=5):
        assert "its manifest is empty" in refusal(path)


def test_ten_thousand_tensors_are_no_forgery(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    with zipfile.ZipFile(path, "a") as archive:
        for n in range(10_000):
            archive.writestr(f"m/constants/{n}", b"")
    assert read_manifest(path).task == "inpaint"


def test_a_manifest_with_a_key_twice_is_read_as_json_readers_do(tmp_path: Path) -> None:
    text = with_text(network="first")[:-1] + ', "network": "last"}'
    path = write(tmp_path / "m.pt", text.encode())
    assert read_manifest(path).network == json.loads(text)["network"] == "last"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"metrics": {"psnr": float("nan")}}, "metrics.psnr"),
        ({"metrics": {"psnr": float("inf")}}, "metrics.psnr"),
        ({"metrics": {"psnr": "good"}}, "metrics.psnr"),
        ({"metrics": [27.5]}, "metrics"),
        ({"halo": 10**30}, "halo"),
        ({"halo": -1}, "halo"),
        ({"halo": float("nan")}, "halo"),
        ({"halo": 0.5}, "halo"),
        ({"halo": None}, "halo"),
        ({"halo": [1]}, "halo"),
        ({"halo": MAX_SIDE_PX + 1}, "halo"),
        ({"size_multiple": 0}, "size_multiple"),
        ({"size_multiple": 10**30}, "size_multiple"),
        ({"smallest_size": 10**9}, "smallest_size"),
        ({"best_size": 0}, "best_size"),
        ({"best_size": 64, "smallest_size": 65}, "best_size is smaller than smallest_size"),
        ({"memory_bytes_per_pixel": 10**40}, "memory_bytes_per_pixel"),
        ({"memory_bytes_per_pixel": 0}, "memory_bytes_per_pixel"),
        ({"width": 10**30}, "width"),
        ({"blocks": 10**30}, "blocks"),
        ({"stage": 10**30}, "stage"),
        ({"stage": 0}, "stage"),
        ({"trained": "perhaps"}, "trained"),
        ({"licence": 7}, "licence"),
        ({"network": None}, "network"),
        ({"network": {"name": "edgeconnect"}}, "network"),
        ({"precision": "fp32\n"}, "precision"),
        ({"task": "inpaint\n"}, "task"),
        ({"contract": "retouchd\0"}, "contract"),
        ({"checkpoint_sha256": {"gen.pth": "0" * 64 + "\n"}}, "checkpoint_sha256.gen.pth"),
        ({"checkpoint_sha256": "0" * 64}, "checkpoint_sha256"),
        ({"network": "n" * 201}, "network"),
        ({"device": "d" * 201}, "device"),
        ({"licence": "l" * 4001}, "licence"),
        ({"note": "n" * 200_000}, "note"),
        ({"metrics": {"m" * 201: 1.0}}, "metrics"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_manifest_with_a_value_that_can_not_be_is_refused_by_its_key(
    tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    said = refusal(write(tmp_path / "m.pt", with_text(**change).encode()))
    assert f"understands ({key}" in said or f"the whole: Value error, {key}" in said
    assert len(said) < 1000


@pytest.mark.parametrize(
    "text",
    [
        with_text()[:-1] + ', "halo": ' + "9" * 5000 + "}",
        with_text()[:-1] + ', "metrics": {"psnr": 1e999}}',
        with_text()[:-1] + ', "own": ' + "[" * 100_000 + "]" * 100_000 + "}",
        with_text()[:-1] + ', "own": ' + '{"a":' * 40_000 + "1" + "}" * 40_000 + "}",
        with_text()[:-1] + ', "network": "\\ud800"}',
        with_text()[:-1] + ', "network": "two\nlines"}',
        with_text() + with_text(),
        "\ufeff" + with_text(),
        with_text().replace('"', "'"),
    ],
    ids=lambda text: text[-30:].strip(),
)
def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    with at_most(mebibytes=8, seconds=2):
        said = refusal(write(tmp_path / "m.pt", text.encode()))
    assert "not one this version understands" in said
    assert len(said) < 1000


@pytest.mark.parametrize("at", ['"network": "\xff"', '"own": "\xff"', '"\xff": 1'])
def test_a_manifest_that_is_no_utf_8_is_refused(tmp_path: Path, at: str) -> None:
    text = (with_text()[:-1] + f", {at}}}").encode("latin-1")
    assert "invalid unicode" in refusal(write(tmp_path / "m.pt", text))


@pytest.mark.parametrize(
    "forged",
    ["\n", "\r\n", "\x1b[2J", "\0", "\u2028", "\x85", "\u202e", "\x7f"],
    ids=lambda text: text.encode("unicode_escape").decode(),
)
@pytest.mark.parametrize(
    "key", ["network", "licence", "note", "prefill", "device", "exporter", "torch_version"]
)
def test_texts_are_one_line_without_signals_to_a_terminal(
    tmp_path: Path, key: str, forged: str
) -> None:
    text = f"a caf\u00e9{forged}note: all is well"
    manifest = read_manifest(write(tmp_path / "m.pt", with_text(**{key: text}).encode()))
    said = getattr(manifest, key)
    assert said.isprintable()
    assert said.startswith("a caf\u00e9\\")
    assert said.endswith("note: all is well")


def test_names_in_a_manifest_are_one_line_too(tmp_path: Path) -> None:
    change = {"metrics": {"a\nb": 1.0}, "checkpoint_sha256": {"gen\n.pth": "0" * 64}}
    manifest = read_manifest(write(tmp_path / "m.pt", with_text(**change).encode()))
    assert manifest.metrics == {"a\\nb": 1.0}
    assert list(manifest.checkpoint_sha256) == ["gen\\n.pth"]


def test_what_is_said_of_a_strange_manifest_is_one_short_line(tmp_path: Path) -> None:
    sums = {f"a\nnote: all is well {n}" + "x" * 100: "abc" for n in range(1000)}
    said = refusal(write(tmp_path / "m.pt", with_text(checkpoint_sha256=sums).encode()))
    assert said.isprintable()
    assert "and 996 more" in said
    assert len(said) < 2000


def test_what_is_said_of_a_strange_zip_is_one_short_line(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    path.write_bytes(path.read_bytes().replace(b"m/extra/", b"m\nextra/", 1))
    said = refusal(path)
    assert said.isprintable()
    assert len(said) < len(str(path)) + 400


def test_a_manifest_comes_back_as_it_was_after_it_was_made_one_line() -> None:
    once = Manifest.model_validate({**LEAST, "note": "two\nlines \\ caf\u00e9"})
    assert Manifest.model_validate_json(once.model_dump_json()) == once


def test_a_best_size_left_out_is_no_contradiction(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", {**LEAST, "smallest_size": 512})
    assert read_manifest(path).smallest_size == 512


def test_a_file_system_that_fails_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(ArtifactError, match="can't be opened \\(Too many open files\\)"):
            read_manifest(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
