"""What the documents promise about the repository is so."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CI = ROOT / ".ci" / "run"

# [text](target) and ![text](target)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z]+(?:-[a-z]+)*)\b(?=`|\s{2,}|$)", re.MULTILINE)
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def _anchors(document: Path) -> set[str]:
    headings = _HEADING.findall(document.read_text())
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_documents_are_found() -> None:
    assert {"README.md", "CHANGELOG.md", "questions.md"} <= {path.name for path in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_documents_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(document.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_named_in_documents_exist(document: Path) -> None:
    assert set(_MAKE.findall(document.read_text())) <= _targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_runs(document: Path, tmp_path: Path) -> None:
    blocks = _FENCE.findall(document.read_text())
    code = "\n".join(code for language, code in blocks if language == "python")
    if code:
        # From a file: TorchScript reads the source of what it compiles.
        (tmp_path / "example.py").write_text(code)
        example = [sys.executable, "-W", "error", "example.py"]
        subprocess.run(example, cwd=tmp_path, check=True)


def test_readme_begins_with_the_name_the_demo_and_the_tests() -> None:
    opening = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert opening.startswith("# retouchd\n")
    assert opening.index("make demo") < opening.index("make test") < opening.index("before-after")
    assert "starter networks" in opening


def test_every_document_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for document in ROOT.glob("docs/*.md"):
        assert f"docs/{document.name}" in readme


def test_every_make_target_is_in_the_contributors_table() -> None:
    table = (ROOT / "docs" / "contributing.md").read_text()
    assert _targets() <= set(re.findall(r"`make ([a-z-]+)", table))


def test_every_dependency_is_accounted_for() -> None:
    accounted = (ROOT / "docs" / "dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"]]
    for group in project["dependency-groups"].values():
        wanted += group
    for requirement in wanted:
        name = re.split(r"[<>=~! ]", requirement)[0]
        assert re.search(rf"^\|.*\b{re.escape(name)}\b", accounted, re.MULTILINE), name


def test_ci_runs_what_contributors_run() -> None:
    assert CI.stat().st_mode & 0o111
    assert CI.read_text().rstrip().endswith("\nmake test")
    subprocess.run(["bash", "-n", CI], check=True)


def test_committed_sheet_is_no_burden_to_a_clone() -> None:
    assert (ROOT / "docs" / "before-after.jpg").stat().st_size < 600_000
