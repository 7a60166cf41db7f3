"""What the pages of docs/operations promise of themselves: reached, linked, and nothing untried."""

import re
from pathlib import Path

import pytest
from walk import OPERATIONS, PAGES, WalkError, shows, steps_of

HERE = Path(__file__).parent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_says_what_is_to_be_done_with_it(page: Path) -> None:
    steps_of(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_followed_by_a_test(page: Path) -> None:
    tests = "".join(
        path.read_text("utf-8")
        for path in HERE.glob("test_*.py")
        if path.name != Path(__file__).name
    )
    assert f'OPERATIONS / "{page.name}"' in tests


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_is_reached_from_the_index(page: Path) -> None:
    index = (OPERATIONS / "index.md").read_text("utf-8")
    assert page.name == "index.md" or f"]({page.name})" in index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_sshfs_is_mounted_with_the_options_that_the_feeders_tests_use() -> None:
    feeders = (HERE.parent / "feeders" / "fuse_mounts.py").read_text("utf-8")
    (block,) = re.findall(r"^SSHFS_OPTIONS: Final = \((.*?)\)$", feeders, re.MULTILINE | re.DOTALL)
    tested = set(re.findall(r'"([^"]+)"', block))
    page = (OPERATIONS / "network-mounts.md").read_text("utf-8")
    (line,) = re.findall(r"fuse\.sshfs\s+(\S+)", page)
    assert "reconnect" in tested
    assert tested <= set(line.split(","))


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_block_that_nobody_would_try_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```console\n$ ls\n```\n")
    with pytest.raises(WalkError, match=r"page.md:3: .*no test"):
        steps_of(page)


@pytest.mark.parametrize(
    ("output", "expected", "is_seen"),
    [
        ("a\nb\nc\n", "a\nc\n", True),
        ("a\nb\nc\n", "c\na\n", True),
        ("ok   inbox    /x (mode 2775, ext4)\n", "ok inbox  /x (mode 2775, …)\n", True),
        ("  coffee.png   N   5\n", "  coffee.png …\n", True),
        ("  coffee.log   N   5\n", "  coffee.png …\n", False),
        ("one\ntwo\n", "one … two\n", False),
        ("one\ntwo\n", "one\nthree\n", False),
    ],
)
def test_what_the_page_says_one_sees_is_looked_for_line_by_line(
    output: str, expected: str, is_seen: bool
) -> None:
    assert shows(output, expected) is is_seen
