"""The file and the alert rules, read by Prometheus' own promtool.

The series on which the rules are tried are those of a real file, so no rule can ask for a metric or
a label that is not there.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from driver import REPOSITORY
from told import a_moment, done, failed, samples, written

from daemon.reasons import REASONS, Report
from daemon.supervisor.snapshot import Served
from daemon.supervisor.tally import Tally

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")

RULES = REPOSITORY / "deploy" / "prometheus" / "retouchd-alerts.yml"
MACHINE = 'instance="nas:9100",job="node"'
MINUTES = 310
# A machine that is well writes its file each minute.
WELL = {"retouchd_last_update_timestamp_seconds": f"0+60x{MINUTES}"}
# One picture a minute.
BUSY = {'retouchd_jobs_finished_total{task="inpaint",outcome="done"}': f"0+1x{MINUTES}"}
ALWAYS, NEVER = f"1x{MINUTES}", f"0x{MINUTES}"
CROWDED = {"retouchd_pairs_ready": f"3x{MINUTES}"}


def promtool(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def held(reason: str, values: str = ALWAYS) -> dict[str, str]:
    return {f'retouchd_queue_held{{reason="{reason}"}}': values}


def waiting(reason: str) -> dict[str, str]:
    return {f'retouchd_files_waiting{{reason="{reason}"}}': ALWAYS}


def failing(values: str) -> dict[str, str]:
    return {
        'retouchd_jobs_failed_total{reason="corrupt"}': values,
        'retouchd_jobs_finished_total{task="inpaint",outcome="failed"}': values,
    }


STUCK = {'retouchd_job_stuck{reason="mount_away"}': ALWAYS}
PAUSED = {"retouchd_paused": ALWAYS}
OLD = {"retouchd_oldest_ready_timestamp_seconds": NEVER, **CROWDED, **BUSY}

# What happened, after how many minutes, and which alerts fire.
CASES: dict[str, tuple[Mapping[str, str], int, set[str]]] = {
    "idle for hours": (WELL, 120, set()),
    "busy for hours": ({**WELL, **BUSY, **CROWDED}, 120, set()),
    "no daemon was ever heard of": ({}, 5, {"RetouchdGone"}),
    "gone for 8 minutes": ({"retouchd_last_update_timestamp_seconds": NEVER}, 8, {"RetouchdGone"}),
    "gone for 5 minutes": ({"retouchd_last_update_timestamp_seconds": NEVER}, 5, set()),
    "a step of 5 minutes": (
        {"retouchd_last_update_timestamp_seconds": "0+60x10 600x4 900+60x500"},
        16,
        set(),
    ),
    "a full disk": (WELL | held("disk_full"), 2, {"RetouchdDiskFull"}),
    "a full disk, pairs waiting": (
        WELL | CROWDED | held("disk_full"),
        120,
        {"RetouchdDiskFull"},
    ),
    "a quota": (WELL | held("quota"), 2, {"RetouchdDiskFull"}),
    "a folder missing": (WELL | held("folder_missing"), 6, {"RetouchdQueueHeld"}),
    "a folder missing for 4 minutes": (WELL | held("folder_missing"), 4, set()),
    "a folder was missing": (WELL | held("folder_missing", f"1x30 0x{MINUTES}"), 60, set()),
    "pairs wait, none finishes": (WELL | CROWDED, 45, {"RetouchdNothingFinishes"}),
    "pairs wait for 35 minutes": (WELL | CROWDED, 8, set()),
    "one job runs, none finishes": (
        WELL | {"retouchd_jobs_running": ALWAYS},
        45,
        {"RetouchdNothingFinishes"},
    ),
    "pairs wait, it is paused": (WELL | CROWDED | PAUSED, 45, set()),
    "a pair comes after a quiet day": (
        WELL | {"retouchd_pairs_ready": f"0x100 1x{MINUTES}"},
        115,
        set(),
    ),
    "every pair fails": (WELL | failing(f"0+1x{MINUTES}"), 66, {"RetouchdFailuresRising"}),
    "one in a hundred fails": (
        WELL | BUSY | failing(f"0x30 1x20 2x20 3x{MINUTES}"),
        100,
        set(),
    ),
    "one in ten fails, 6 in an hour": (
        WELL | BUSY | failing(" ".join(f"{n}x9" for n in range(60))),
        130,
        set(),
    ),
    "3 fail, and nothing else comes": (WELL | failing(f"0x60 3x{MINUTES}"), 90, set()),
    "a job is stuck": (WELL | STUCK, 16, {"RetouchdJobStuck"}),
    "a job is stuck for 10 minutes": (WELL | STUCK, 10, set()),
    "a file can't be read": (WELL | waiting("unreadable"), 16, {"RetouchdFilesCannotBeTaken"}),
    "no model": (WELL | waiting("no_model"), 16, {"RetouchdFilesCannotBeTaken"}),
    "a bad model of a folder's": (
        WELL | waiting("folder_model_unusable"),
        16,
        {"RetouchdFilesCannotBeTaken"},
    ),
    "pictures without masks": (WELL | waiting("companion_missing"), 60, set()),
    "a pair waits for its turn for 70 minutes": (WELL | OLD, 70, {"RetouchdWaitsTooLong"}),
    "a pair waits for its turn for 50 minutes": (WELL | OLD, 50, set()),
    "a pair waits while it is paused": (WELL | OLD | PAUSED, 70, set()),
    "paused for 5 hours": (WELL | PAUSED, 300, {"RetouchdPaused"}),
    "paused for 3 hours": (WELL | PAUSED, 180, set()),
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the rules ask for of a daemon at rest, each as it stays for hours."""
    told = samples(written(tmp_path_factory.mktemp("usual"), a_moment()))
    asked = re.findall(r"\bretouchd_\w+", RULES.read_text())
    return {
        name: f"{value:g}x{MINUTES}"
        for name, value in told.items()
        if name.partition("{")[0] in asked
    }


def on_machine(name: str) -> str:
    """A sample's name as Prometheus has it, with the labels of the machine."""
    return f"{name[:-1]},{MACHINE}}}" if name.endswith("}") else f"{name}{{{MACHINE}}}"


def is_known(name: str, usual: Mapping[str, str], folder: Path) -> bool:
    full = a_moment(oldest_ready_at=1.0, holds=Report("disk_full"), holds_since=1.0)
    return name in usual or name in samples(written(folder, full))


def tried(
    case: str, usual: Mapping[str, str], rules: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Try the rules on a case, by `promtool test rules`."""
    happened, minutes, firing = CASES[case]
    assert all(is_known(name, usual, folder) for name in happened), case
    series = {} if not happened else {**usual, **happened}
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(firing)]
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": on_machine(name), "values": values}
                    for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{minutes}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    (folder / "test.yml").write_text(json.dumps(test))  # JSON is YAML too
    return promtool("test", "rules", folder / "test.yml")


def test_the_file_is_what_prometheus_reads(tmp_path: Path) -> None:
    hostile = 'a"b\\c\nd\udcff\u202e<script>'
    moment = a_moment(
        tally=Tally(ready=3),
        oldest_ready_at=1.5,
        holds=Report("disk_full"),
        holds_since=2.0,
        stuck=Report("mount_away"),
        devices=(Served("cuda:0", {"inpaint": hostile, "matting": "m"}), Served("cpu", {})),
    )
    text = written(tmp_path, moment, [done(), done(task="matting"), *map(failed, REASONS)])
    checked = promtool("check", "metrics", input=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_file_that_prometheus_would_not_read_is_noticed() -> None:
    assert promtool("check", "metrics", input='retouchd_x{a="b} 1\n').returncode != 0


def test_the_rules_are_such_as_prometheus_takes() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(alerts())} rules found" in checked.stdout


@pytest.mark.parametrize("case", CASES)
def test_the_right_alerts_fire_and_no_others(
    case: str, usual: Mapping[str, str], tmp_path: Path
) -> None:
    done = tried(case, usual, RULES, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", re.findall(r"- alert: (\w+)", RULES.read_text()))
def test_each_alert_is_seen_to_fire_and_not_to(
    alert: str, usual: Mapping[str, str], tmp_path: Path
) -> None:
    # One that never fires, and one that always does, are noticed by the shortest case that can.
    spoiled, shortest = tmp_path / "rules.yml", sorted(CASES, key=lambda case: CASES[case][1])
    for instead, fires in (("vector(1) > 2", True), ("vector(1)", False)):
        spoiled.write_text(with_expression(alert, instead))
        assert promtool("check", "rules", spoiled).returncode == 0
        case = next(case for case in shortest if (alert in CASES[case][2]) is fires)
        assert tried(case, usual, RULES, tmp_path).returncode == 0
        assert tried(case, usual, spoiled, tmp_path).returncode != 0


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        ("RetouchdDiskFull", "quota"),
        ("RetouchdQueueHeld", "worker_will_not_start"),
        ("RetouchdJobStuck", "mount_away"),
        ("RetouchdFilesCannotBeTaken", "cannot_be_held"),
    ],
)
def test_an_alert_about_a_reason_says_it_in_the_words_of_the_list(
    alert: str, reason: str, tmp_path: Path
) -> None:
    said = f'reason="{REASONS[reason].says} {REASONS[reason].advice}"'
    assert said in annotations(alert, reason, words=True, folder=tmp_path)
    # Of a daemon that does not tell its words yet the alert fires all the same, without them.
    assert 'reason=""' in annotations(alert, reason, words=False, folder=tmp_path)


def annotations(alert: str, reason: str, *, words: bool, folder: Path) -> str:
    """All that an alert says: promtool prints it where it is not what was expected."""
    report = Report(reason)
    full = a_moment(holds=report, stuck=report, waiting_for={reason: 1})
    series = [
        {"series": on_machine(name), "values": f"{value:g}x60"}
        for name, value in samples(written(folder, full)).items()
        if "reason=" in name and (words or not name.startswith("retouchd_reason_info"))
    ]
    expected = {"exp_labels": {"reason": reason}, "exp_annotations": {}}
    case = {"eval_time": "30m", "alertname": alert, "exp_alerts": [expected]}
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": [case]}],
    }
    (folder / "test.yml").write_text(json.dumps(test))
    done = promtool("test", "rules", folder / "test.yml")
    assert done.returncode != 0
    return (done.stdout + done.stderr).partition("got:")[2]


def with_expression(alert: str, expression: str) -> str:
    """The rules, where one asks something else, at once."""
    head, found, rest = RULES.read_text().partition(f"- alert: {alert}\n")
    assert found
    _, labels, tail = rest.partition("        labels:\n")
    return f"{head}{found}        expr: {expression}\n{labels}{tail}"


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())
