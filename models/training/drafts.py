"""Files that are whole or not there, and errors of the disk that say which file they mean."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Put under `path` what `fill` writes. On return it is on the disk; on any error what was there
    before is unchanged and no draft is left. Raises OSError, with the file's name."""
    draft = path.with_name(f".{path.name}.draft")
    with named(path):
        try:
            with draft.open("wb") as stream:
                fill(stream)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Give errors of the disk the name of the file, which those of a write don't have."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    except RuntimeError as error:
        # torch's zip writer trips over its own count once a write has failed.
        cause = error.__context__
        if not isinstance(cause, OSError):
            raise
        raise OSError(cause.errno, cause.strerror or str(cause), str(path)) from None
