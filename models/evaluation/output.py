"""The folder that an evaluation leaves its files in, without harm to what is there already.

Promises: what another program left under these names stays as it is.
"""

import json
import os
from pathlib import Path
from typing import Final

from models.evaluation.methods import EvaluationError

RESULTS: Final = "results.json"
TABLES: Final = "table.md"
SHEET: Final = "sheet.png"

# What every results.json of ours holds, and hardly another program's.
_OUR_KEYS: Final = {"task", "data", "machine", "methods", "cases", "scores"}


def refuse_foreign(folder: Path) -> None:
    """Raise `EvaluationError` where `folder` is a file, or holds files that we would overwrite.

    A results.json of ours vouches for the table and the sheet beside it.
    """
    if folder.exists() and not folder.is_dir():
        raise EvaluationError(f"--output {folder}: is a file. Name a folder.")
    there = [name for name in (RESULTS, TABLES, SHEET) if os.path.lexists(folder / name)]
    if there and not _is_ours(folder / RESULTS):
        raise EvaluationError(
            f"--output {folder}: holds {' and '.join(there)} from elsewhere, which would be "
            "overwritten. Name another folder."
        )


def _is_ours(results: Path) -> bool:
    try:
        content = json.loads(results.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= _OUR_KEYS
