"""Fixtures and hooks of this suite.

They live in `serving`, where mypy looks: it can't tell two files of this name apart.
"""

from fed_fixtures import (
    album,
    fed,
    mask,
    network,
    other,
    picture,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_xdist_make_scheduler,
    told_to_the_table,
)

__all__ = [
    "album",
    "fed",
    "mask",
    "network",
    "other",
    "picture",
    "pytest_runtest_logreport",
    "pytest_sessionfinish",
    "pytest_xdist_make_scheduler",
    "told_to_the_table",
]
