"""Where numba finds what was compiled before, for a process that may read it and not write it.

numba's own locators pass over a folder that they can't write to, even if all they need lies in it.
`main` names these in numba's variable NUMBA_CACHE_LOCATOR_CLASSES; only numba imports this module.
"""

from pathlib import Path
from typing import Any

from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator


class _Unprobed:
    """Takes its folder as it is: a folder that is there is not tried out by writing to it."""

    get_cache_path: Any

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)


class InGivenFolder(_Unprobed, UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names."""


class BesideItsSource(_Unprobed, InTreeCacheLocator):
    """`__pycache__` beside the source, where no folder is named."""
