"""Who may know whom: each room imports only what lies before it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from driver import REPOSITORY, Site, hole, inverted, load, photo, save

# Wing by wing, in the order in which a picture passes them; none knows one that comes after it.
ORDER = ["reasons", "events", "artifact", "settings", "intake", "spool", "worker", "supervisor"]
ORDER += ["people", "cli", "__main__"]

BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} can't be imported here")
sys.meta_path.insert(0, Blocker())
"""


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def modules() -> list[Path]:
    return sorted((REPOSITORY / "daemon").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_wing_knows_only_the_wings_before_it(path: Path) -> None:
    wing = path.relative_to(REPOSITORY / "daemon").parts[0].removesuffix(".py")
    if wing == "__init__":
        return
    for name in imports_of(path):
        parts = name.split(".")
        assert parts[0] not in ("models", "export"), f"{path.name} imports {name}"
        if parts[0] == "daemon" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= ORDER.index(wing), f"{path.name} imports {name}"


def test_one_module_imports_torch_and_one_package_decodes_pictures() -> None:
    def importers(package: str) -> set[str]:
        return {
            str(path.relative_to(REPOSITORY / "daemon" / "worker"))
            for path in modules()
            if any(name.split(".")[0] == package for name in imports_of(path))
        }

    assert importers("torch") == {"inference.py"}
    # To resample is not to decode.
    scaling = {name for name in importers("PIL") if Path(name).parent != Path("pictures")}
    assert scaling == {"scaling.py"}
    assert "open" not in (REPOSITORY / "daemon/worker/scaling.py").read_text().replace(
        "to open", ""
    )
    assert importers("pyvips") == {"pictures/vips.py"}


def test_the_supervisor_and_its_commands_load_neither_torch_nor_pillow_nor_numpy() -> None:
    program = (
        "import json, sys; import daemon.cli;"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"torch", "PIL", "pyvips", "numpy", "pymatting"} & set(json.loads(done.stdout))


def test_the_daemon_works_where_models_and_export_cannot_be_imported(
    site: Site, tmp_path: Path
) -> None:
    # In every interpreter that starts, supervisor and worker alike, importing them fails.
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "sitecustomize.py").write_text(
        "BLOCKED = ('models', 'export')\n" + BLOCKER
    )
    site.environment["PYTHONPATH"] = f"{tmp_path / 'block'}{os.pathsep}{REPOSITORY}"
    for room in ("models", "export"):
        blocked = subprocess.run(
            [sys.executable, "-c", f"import {room}"],
            env=site.variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "can't be imported here" in blocked.stderr
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert (load(site.outbox / "cat.png") == inverted(photo(), hole())).all()
