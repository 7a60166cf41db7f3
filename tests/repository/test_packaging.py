"""The pins, the wheel and the arrows between the packages."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = sorted(ROOT.glob("requirements/*.txt"))
PACKAGES = ("daemon", "export", "models")

# Who may import which of our packages. The artifact contract belongs to its consumer.
ALLOWED = {
    "daemon": {"daemon"},
    "export": {"export", "models", "daemon.artifact"},
    "models": {"models"},
}


def _requirements(pins: Path) -> list[str]:
    """The entries of a requirement file, each with its hashes."""
    text = re.sub(r"^\s*#.*\n", "", pins.read_text(), flags=re.MULTILINE)
    return [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def test_pins_are_found() -> None:
    assert [path.name for path in PINS] == ["oldest.txt", "retouchd.txt", "test.txt", "uv.txt"]


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_every_pin_has_a_version_and_a_hash(pins: Path) -> None:
    requirements = _requirements(pins)
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==[^ ]+ ", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_pins_name_no_host_and_no_folder(pins: Path) -> None:
    text = pins.read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--extra-index" not in text
    assert "--find-links" not in text
    assert not re.search(r"(?<![\w:])/\w", text)


def test_tests_run_on_the_versions_that_the_demo_runs_on() -> None:
    ours, tests = (
        {r.split(" ")[0]: r for r in _requirements(ROOT / "requirements" / name)}
        for name in ("retouchd.txt", "test.txt")
    )
    assert set(ours) <= set(tests)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_in_the_allowed_direction(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for name in _imports(file):
            # The package `daemon` itself holds no more than the version.
            if _is_within(name, set(PACKAGES)) and name != "daemon":
                assert _is_within(name, ALLOWED[package]), f"{file} imports {name}"


@pytest.mark.parametrize(
    ("module", "only_in"),
    [
        ("torch", ("daemon/worker/inference.py",)),
        # Scaling opens no file; test_layers.py looks at that.
        ("PIL", ("daemon/worker/pictures/", "daemon/worker/scaling.py")),
        ("pyvips", ("daemon/worker/pictures/vips.py",)),
    ],
)
def test_only_one_place_of_the_daemon_imports(module: str, only_in: tuple[str, ...]) -> None:
    importers = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "daemon").rglob("*.py")
        if any(_is_within(name, {module}) for name in _imports(file))
    ]
    assert importers
    assert all(importer.startswith(only_in) for importer in importers), importers


def test_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    # hatchling asks git what to leave out; a git hook's own variables must not answer for it.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(build, cwd=ROOT, env=environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("retouchd-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert "retouchd = daemon.__main__:main" in commands
    assert "retouchd-export = export.cli:main" in commands
    assert any(name.endswith("licenses/LICENSE") for name in names)
    sources = {str(f.relative_to(ROOT)) for p in PACKAGES for f in (ROOT / p).rglob("*.py")}
    assert sources <= set(names)


def test_set_up_leaves_nothing_that_git_would_add() -> None:
    ignored = (".venv", ".venv-oldest", ".venv-python3.12", ".tools", "demo", "spool", "uv.lock")
    for name in ignored:
        found = subprocess.run(["git", "check-ignore", "-q", name + "/x"], cwd=ROOT, check=False)
        assert found.returncode in (0, 128), name  # 128: this copy is no git work tree
