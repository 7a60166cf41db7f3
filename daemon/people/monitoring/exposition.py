"""Prometheus' text format, version 0.0.4: families of samples as lines.

By hand, as prometheus-client is made for programs that are asked over HTTP. Importing it (0.26)
brings a web server and a registry of the process's own numbers, 35 modules and 2.6 MiB in all, to
write what two dozen lines write. That Prometheus reads these is what promtool is asked in
tests/daemon/test_metrics_in_prometheus.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from daemon.reasons import one_line


class Sample(NamedTuple):
    """One value, with what tells it from others of its family; `suffix` is `_sum` or `_count`."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


@dataclass(frozen=True)
class Family:
    """Samples of one name, and what that name means."""

    name: str
    kind: Literal["counter", "gauge", "summary"]
    says: str
    samples: Sequence[Sample]


def exposed(families: Iterable[Family]) -> str:
    """The text; a family without samples is left out."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {_escaped(family.says)}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_quoted(each)}"' for name, each in sample.labels.items())
        braced = f"{{{labels}}}" if labels else ""
        yield f"{family.name}{sample.suffix}{braced} {_number(sample.value)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(value: str) -> str:
    # What is no UTF-8 would make the whole file unreadable.
    return one_line(value).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    """Whole numbers without a point; times to a millisecond."""
    return str(int(value)) if value == int(value) else repr(round(value, 3))
