"""The dashboard and the alert rules ask for metrics that the daemon writes, and for no others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import REPOSITORY
from told import a_moment, done, failed, samples, written

from daemon.reasons import Report
from daemon.supervisor.snapshot import Served

BOARD = REPOSITORY / "deploy" / "grafana" / "retouchd.json"
RULES = REPOSITORY / "deploy" / "prometheus" / "retouchd-alerts.yml"
PAGE = REPOSITORY / "docs" / "operations" / "monitoring.md"
# What Prometheus adds to every sample, and what our rules add to alerts.
OF_PROMETHEUS = {"instance", "job"}
KINDS = {"row", "stat", "timeseries", "state-timeline", "table"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every metric that can be in the file, with its labels."""
    moment = a_moment(
        oldest_ready_at=1.0,
        holds=Report("disk_full"),
        holds_since=1.0,
        devices=(Served("cpu", {"inpaint": "m"}),),
    )
    text = written(tmp_path_factory.mktemp("known"), moment, [done(), failed()])
    found: dict[str, set[str]] = {}
    for sample in samples(text):
        name, _, labels = sample.partition("{")
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(BOARD.read_text("utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def questions() -> Iterator[tuple[str, str]]:
    """Everything that is asked of Prometheus, and who asks."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in board()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]
            yield variable["name"], variable["query"]["query"]
    for annotation in board()["annotations"]["list"]:
        yield annotation["name"], annotation["target"]["expr"]
    rules = re.findall(r"- alert: (\w+)\n\s+expr: (.*?)\n\s+for:", RULES.read_text(), re.DOTALL)
    yield from rules
    assert len(rules) == len(alerts()) > 5


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


@pytest.mark.parametrize(("who", "question"), [*questions()])
def test_only_metrics_that_exist_are_asked_for(
    who: str, question: str, known: dict[str, set[str]]
) -> None:
    names = set(re.findall(r"\bretouchd_\w+", question))
    assert names
    assert names <= known.keys(), who


@pytest.mark.parametrize(("who", "question"), [*questions()])
def test_only_labels_that_exist_are_asked_for(
    who: str, question: str, known: dict[str, set[str]]
) -> None:
    for name, selector in re.findall(r"\b(retouchd_\w+)\{([^}]*)\}", question):
        assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= known[name] | OF_PROMETHEUS, who
    grouped = re.findall(r"\b(?:by|on|without) \(([^)]*)\)", question)
    labels = {label for group in grouped for label in re.split(r"[\s,]+", group)}
    names = set(re.findall(r"\bretouchd_\w+", question))
    assert labels <= set().union(*(known[name] for name in names)) | OF_PROMETHEUS, who


def test_every_metric_is_shown_or_watched_or_told_of_on_the_page(
    known: dict[str, set[str]],
) -> None:
    page = PAGE.read_text("utf-8")
    for name in known:
        assert f"`{re.sub(r'_(sum|count)$', '', name)}`" in page


def test_legends_name_labels_that_the_answer_has() -> None:
    for panel in panels():
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                by = re.findall(r"by \(([^)]*)\)", target["expr"])
                kept = all(label in group.split(", ") for group in by) if by else True
                assert kept, (panel["title"], label)


def test_the_dashboard_is_laid_out_without_gaps_and_overlaps() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    lowest = max(y for _, y in taken) + 1
    assert len(taken) == 24 * lowest


def test_panels_are_such_as_grafana_knows_and_each_says_what_it_shows() -> None:
    numbers = [panel["id"] for panel in board()["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert {panel["type"] for panel in board()["panels"]} == KINDS
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert 'instance=~"$instance"' in target["expr"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_the_dashboard_asks_for_no_data_source_of_a_fixed_name() -> None:
    variables = {variable["name"]: variable for variable in board()["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert "id" not in board()  # or it would replace another's
    assert "__inputs" not in board()


@pytest.mark.parametrize("alert", alerts())
def test_each_alert_says_what_to_do_and_leads_to_its_place_on_the_page(alert: str) -> None:
    text = RULES.read_text().partition(f"- alert: {alert}\n")[2].partition("- alert:")[0]
    assert re.search(r"^ +summary: .", text, re.MULTILINE)
    assert re.search(r"^ +severity: (critical|warning)$", text, re.MULTILINE)
    assert f"docs/operations/monitoring.md#{alert.lower()}" in text
    assert f"\n### {alert}\n" in PAGE.read_text("utf-8")


def test_files_that_alerts_lead_to_are_there() -> None:
    for name in set(re.findall(r"docs/[\w/-]+\.md", RULES.read_text())):
        assert Path(REPOSITORY, name).exists()
