"""Scores of single pictures made into means by group, and into differences one can trust.

Methods are compared on the same pictures, so what counts is the mean of the differences and its
standard error, not the two means' own. Pictures of one subject resemble each other and are no
independent witnesses: the standard error is the cluster-robust one (Liang and Zeger 1986) with the
subjects as clusters, and the usual s / sqrt(n) where every picture has a subject of its own.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, median

from models.evaluation.measuring import Score
from models.evaluation.methods import Method
from models.evaluation.tasks import Case, Metric

# Fewer subjects than this tell nothing of their spread.
FEWEST_SUBJECTS = 2


@dataclass(frozen=True)
class Mean:
    """The mean of a metric over a group's pictures, in the metric's own unit (dB for PSNR)."""

    group: str
    method: str
    metric: str
    mean: float
    pictures: int


@dataclass(frozen=True)
class Difference:
    """An artifact's mean minus a peer's, over the same pictures, and its standard error.

    `standard_error` is NaN below `FEWEST_SUBJECTS` and where a difference is infinite. `better`:
    in how many of the pictures the artifact is the better one.
    """

    group: str
    artifact: str
    peer: str
    metric: str
    mean: float
    standard_error: float
    pictures: int
    subjects: int
    better: int


@dataclass(frozen=True)
class Times:
    """What a method took for a picture, in seconds; `kept` of them come from earlier runs."""

    method: str
    median: float
    mean: float
    cpu_median: float
    pictures: int
    kept: int


def groups_of(cases: Sequence[Case]) -> list[str]:
    """All groups, in the order in which the cases bring them up."""
    return list(dict.fromkeys(group for case in cases for group in case.groups))


def means(
    cases: Sequence[Case],
    scores: Sequence[Score],
    methods: Sequence[Method],
    metrics: Sequence[Metric],
) -> list[Mean]:
    """By group, method and metric."""
    found = {(score.method, score.case): score for score in scores}
    made = []
    for group in groups_of(cases):
        names = [case.name for case in cases if group in case.groups]
        for method in methods:
            for metric in metrics:
                values = [found[method.name, name].errors[metric.key] for name in names]
                made.append(Mean(group, method.name, metric.key, fmean(values), len(values)))
    return made


def differences(
    cases: Sequence[Case],
    scores: Sequence[Score],
    methods: Sequence[Method],
    metrics: Sequence[Metric],
) -> list[Difference]:
    """Each artifact against each peer, by group and metric."""
    found = {(score.method, score.case): score for score in scores}
    artifacts = [method.name for method in methods if method.kind == "artifact"]
    peers = [method.name for method in methods if method.kind == "peer"]
    return [
        _difference(group, [case for case in cases if group in case.groups], *pair, metric, found)
        for group in groups_of(cases)
        for pair in product(artifacts, peers)
        for metric in metrics
    ]


def _difference(
    group: str,
    cases: Sequence[Case],
    artifact: str,
    peer: str,
    metric: Metric,
    found: Mapping[tuple[str, str], Score],
) -> Difference:
    gaps = [
        gap(
            found[artifact, case.name].errors[metric.key],
            found[peer, case.name].errors[metric.key],
        )
        for case in cases
    ]
    subjects = [case.subject for case in cases]
    sign = 1 if metric.more_is_better else -1
    return Difference(
        group=group,
        artifact=artifact,
        peer=peer,
        metric=metric.key,
        mean=fmean(gaps),
        standard_error=standard_error(gaps, subjects),
        pictures=len(gaps),
        subjects=len(set(subjects)),
        better=sum(sign * one > 0 for one in gaps),
    )


def times(scores: Sequence[Score], methods: Sequence[Method]) -> list[Times]:
    """By method, over all pictures."""
    made = []
    for method in methods:
        own = [score for score in scores if score.method == method.name]
        made.append(
            Times(
                method.name,
                median(score.seconds for score in own),
                fmean(score.seconds for score in own),
                median(score.cpu_seconds for score in own),
                len(own),
                sum(score.kept for score in own),
            )
        )
    return made


def gap(ours: float, theirs: float) -> float:
    """Their difference; 0 where both are the same infinity, as two perfect pictures' PSNR."""
    return 0.0 if ours == theirs else ours - theirs


def standard_error(values: Sequence[float], subjects: Sequence[str]) -> float:
    """Standard error of the values' mean, where values of one subject hang together.

    sqrt(G / (G - 1) * sum over the G subjects of (sum of the subject's deviations)^2) / n.
    """
    clusters = len(set(subjects))
    if clusters < FEWEST_SUBJECTS or not all(map(math.isfinite, values)):
        return math.nan
    mean = fmean(values)
    sums: dict[str, float] = defaultdict(float)
    for value, subject in zip(values, subjects, strict=True):
        sums[subject] += value - mean
    spread = sum(one**2 for one in sums.values())
    return math.sqrt(clusters / (clusters - 1) * spread) / len(values)
