"""The file for monitoring: what it says, when it is written, and what can't get into it."""

import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import REPOSITORY, Daemon, Site, hole, photo, save
from told import a_moment, done, failed, labels, samples, written

from daemon.intake.pairing import Waiting
from daemon.people.monitoring.counts import STEPS
from daemon.people.monitoring.metrics import MetricsFile
from daemon.reasons import REASONS, Kind, Report
from daemon.settings import SettingsError, load_settings
from daemon.supervisor.snapshot import MOST_TOLD, OfFolder, Running, Served
from daemon.supervisor.tally import Tally

HOSTILE = 'cat".jpg\n# TYPE x counter\\ \u202e<script>\udcff'


def test_the_file_says_what_is_going_on(tmp_path: Path) -> None:
    moment = a_moment(
        tally=Tally(done=7, failed=2, running=1, ready=5),
        running=(Running("j", "a.jpg", "inpaint", 990.0, 1),),
        settling=("b.jpg", "c.jpg"),
        oldest_ready_at=950.0,
        waiting_for={"companion_missing": 3, "permission": 1},
        holds=Report("disk_full"),
        holds_since=995.5,
        stuck=Report("mount_away"),
        devices=(Served("cuda:0", {"inpaint": "edgeconnect, stage 3"}),),
        is_paused=True,
    )
    told = samples(written(tmp_path, moment))
    expected = {
        "retouchd_last_update_timestamp_seconds": 1000,
        "retouchd_start_time_seconds": 900,
        "retouchd_jobs_running": 1,
        "retouchd_pairs_ready": 3,
        "retouchd_pairs_settling": 2,
        "retouchd_oldest_ready_timestamp_seconds": 950,
        'retouchd_files_waiting{reason="companion_missing"}': 3,
        'retouchd_files_waiting{reason="permission"}': 1,
        'retouchd_files_waiting{reason="empty"}': 0,
        'retouchd_queue_held{reason="disk_full"}': 1,
        'retouchd_queue_held{reason="io_error"}': 0,
        "retouchd_queue_held_since_timestamp_seconds": 995.5,
        'retouchd_job_stuck{reason="mount_away"}': 1,
        "retouchd_paused": 1,
        "retouchd_devices_ready": 1,
        'retouchd_model_info{device="cuda:0",task="inpaint",model="edgeconnect, stage 3"}': 1,
    }
    assert expected.items() <= told.items()


def test_where_nothing_is_going_on_nothing_is_old_held_or_paused(tmp_path: Path) -> None:
    told = samples(written(tmp_path, a_moment()))
    assert "retouchd_oldest_ready_timestamp_seconds" not in told
    assert "retouchd_queue_held_since_timestamp_seconds" not in told
    fixed = ("_seconds", "_reason_info")
    meant = {name: told[name] for name in told if not name.partition("{")[0].endswith(fixed)}
    assert {name for name, value in meant.items() if value} == {
        f'retouchd_build_info{{version="{__import__("daemon").__version__}"}}'
    }


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_told_by_its_key_wherever_it_may_show(tmp_path: Path, reason: str) -> None:
    report = Report(reason)
    moment = a_moment(waiting_for={reason: 2}, holds=report, stuck=report)
    told = samples(written(tmp_path, moment, [failed(reason)]))
    assert told[f'retouchd_files_waiting{{reason="{reason}"}}'] == 2
    assert told[f'retouchd_queue_held{{reason="{reason}"}}'] == 1
    assert told[f'retouchd_job_stuck{{reason="{reason}"}}'] == 1
    assert told[f'retouchd_jobs_failed_total{{reason="{reason}"}}'] == 1


def test_the_words_for_each_reason_stand_beside_the_numbers(tmp_path: Path) -> None:
    told = samples(written(tmp_path, a_moment()))
    info = [labels(name) for name in told if name.startswith("retouchd_reason_info")]
    assert info == [
        {"reason": key, "says": reason.says, "advice": reason.advice}
        for key, reason in REASONS.items()
    ]


def test_what_has_not_happened_yet_is_there_with_0_so_that_the_first_time_shows(
    tmp_path: Path,
) -> None:
    told = samples(written(tmp_path, a_moment()))
    for key, reason in REASONS.items():
        names = {
            Kind.FILE: ["jobs_failed_total"],
            Kind.RETRY: ["jobs_failed_total"],
            Kind.WAIT: ["files_waiting"],
            Kind.WORLD: ["files_waiting", "queue_held", "job_stuck"],
        }[reason.kind]
        assert {told[f'retouchd_{name}{{reason="{key}"}}'] for name in names} == {0}
    for task in ("inpaint", "matting"):
        for outcome in ("done", "failed"):
            labels = f'{{task="{task}",outcome="{outcome}"}}'
            assert told[f"retouchd_jobs_finished_total{labels}"] == 0
        assert told[f'retouchd_job_duration_seconds_count{{task="{task}"}}'] == 0
        for step in STEPS:
            labels = f'{{task="{task}",step="{step}"}}'
            assert told[f"retouchd_step_duration_seconds_count{labels}"] == 0


def test_each_step_that_the_worker_times_has_its_name() -> None:
    source = (REPOSITORY / "daemon" / "worker" / "retouching.py").read_text("utf-8")
    assert set(re.findall(r'_timed\(seconds, "(\w+)"\)', source)) == set(STEPS)


def test_jobs_are_counted_by_task_outcome_and_reason(tmp_path: Path) -> None:
    news = [done(), done(ended_at=1200.0), done(task="matting"), failed(), failed("timed_out")]
    told = samples(written(tmp_path, a_moment(), news))
    finished = "retouchd_jobs_finished_total"
    assert told[f'{finished}{{task="inpaint",outcome="done"}}'] == 2
    assert told[f'{finished}{{task="matting",outcome="done"}}'] == 1
    assert told[f'{finished}{{task="inpaint",outcome="failed"}}'] == 2
    assert told['retouchd_jobs_failed_total{reason="corrupt"}'] == 1
    assert told['retouchd_jobs_failed_total{reason="timed_out"}'] == 1
    assert told['retouchd_last_finished_timestamp_seconds{outcome="failed"}'] == 1010
    assert told['retouchd_job_duration_seconds_sum{task="inpaint"}'] == 10 + 200
    assert told['retouchd_job_duration_seconds_count{task="inpaint"}'] == 2
    assert told['retouchd_step_duration_seconds_sum{task="inpaint",step="wait"}'] == 0.5
    assert told['retouchd_step_duration_seconds_count{task="inpaint",step="wait"}'] == 2


def test_counters_go_on_from_one_time_to_the_next(tmp_path: Path) -> None:
    file, news = tmp_path / "r.prom", [done()]
    metrics = MetricsFile(file, lambda: [news.pop()] if news else [])
    finished = 'retouchd_jobs_finished_total{task="inpaint",outcome="done"}'
    metrics.update(a_moment())
    assert samples(file.read_text())[finished] == 1
    news.append(done())
    metrics.update(a_moment())
    assert samples(file.read_text())[finished] == 2


def test_no_name_of_a_file_gets_into_it(tmp_path: Path) -> None:
    name = "secret-client"
    moment = a_moment(
        running=(Running(name, name, "inpaint", 1.0, 1),),
        ready=(name,),
        settling=(name,),
        waiting=(Waiting(name, Report("ambiguous", {"files": name})),),
        holds=Report("disk_full", {"path": name}),
    )
    facts = {"picture": name, "companion": name, "job": name}
    news = [done(**facts, outputs=(name,)), failed(**facts, note=name)]
    assert name not in written(tmp_path, moment, news)


def test_whatever_a_model_is_called_it_stays_one_label(tmp_path: Path) -> None:
    moment = a_moment(devices=(Served("cpu", {"inpaint": HOSTILE, "matting": "plain"}),))
    told = samples(written(tmp_path, moment))
    assert len([name for name in told if name.startswith("retouchd_model_info")]) == 2


def test_the_model_of_a_folder_is_a_sample_of_its_own_where_it_can_be_used(tmp_path: Path) -> None:
    folders = (
        OfFolder("portraits", "inpaint", "tiny, faces.pt"),
        OfFolder("scans", "inpaint", None),
    )
    told = samples(written(tmp_path, a_moment(devices=(Served("cpu", {}, folders),))))
    (name,) = (name for name in told if name.startswith("retouchd_model_info"))
    assert name == (
        'retouchd_model_info{device="cpu",task="inpaint",model="tiny, faces.pt",folder="portraits"}'
    )


def test_a_device_that_is_told_of_twice_is_one(tmp_path: Path) -> None:
    twice = (Served("cpu", {"inpaint": "old"}), Served("cpu", {"inpaint": "new"}))
    told = samples(written(tmp_path, a_moment(devices=twice)))
    assert 'retouchd_model_info{device="cpu",task="inpaint",model="new"}' in told


def test_a_worker_that_calls_its_steps_what_it_likes_makes_few_labels(tmp_path: Path) -> None:
    news = [
        done(seconds={f"step_{chr(97 + i)}{chr(97 + j)}": 1.0}) for i in range(9) for j in range(9)
    ]
    news += [done(seconds={HOSTILE: 1.0, "x" * 1000: 1.0})]
    told = samples(written(tmp_path, a_moment(), news))
    steps = [name for name in told if "_step_duration_seconds_count" in name]
    assert len(steps) < 20
    assert told['retouchd_step_duration_seconds_count{task="inpaint",step="other"}'] == 83


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -5.0, 1e308])
def test_a_worker_that_tells_impossible_times_spoils_nothing(
    tmp_path: Path, seconds: float
) -> None:
    news = [done(seconds={"read": seconds}), done(seconds={"read": seconds})]
    total = samples(written(tmp_path, a_moment(), news))[
        'retouchd_step_duration_seconds_sum{task="inpaint",step="read"}'
    ]
    assert 0 <= total <= 2e6


def test_everybody_may_read_it_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        written(tmp_path, a_moment())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "retouchd.prom").stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["retouchd.prom"]


def test_who_reads_while_it_is_written_has_all_of_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "r.prom"
    metrics = MetricsFile(file, tuple)
    metrics.update(a_moment())
    with file.open(encoding="utf-8") as reading:
        metrics.update(a_moment(at=2000.0))
        old = samples(reading.read())
    assert old["retouchd_last_update_timestamp_seconds"] == 1000
    assert samples(file.read_text())["retouchd_last_update_timestamp_seconds"] == 2000


def test_half_of_a_file_is_never_collected(tmp_path: Path) -> None:
    (tmp_path / "r.prom").mkdir()  # so it is written, and can't get its name
    with pytest.raises(OSError, match="directory"):
        MetricsFile(tmp_path / "r.prom", tuple).update(a_moment())
    left = [name for name in os.listdir(tmp_path) if name != "r.prom"]
    assert len(left) == 1
    assert not left[0].endswith(".prom")


def test_nothing_is_lost_of_the_counts_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    folder, news = tmp_path / "later", [failed()]
    metrics = MetricsFile(folder / "r.prom", lambda: [news.pop()] if news else [])
    with pytest.raises(FileNotFoundError):
        metrics.update(a_moment())
    folder.mkdir()
    metrics.update(a_moment())
    told = samples((folder / "r.prom").read_text())
    assert told['retouchd_jobs_failed_total{reason="corrupt"}'] == 1


def test_of_very_many_pairs_that_settle_all_are_counted(tmp_path: Path) -> None:
    listed = tuple(map(str, range(MOST_TOLD)))
    moment = a_moment(
        tally=Tally(ready=5010), settling=listed, waiting_for={"not_quiet": 5000, "empty": 1}
    )
    told = samples(written(tmp_path, moment))
    assert told["retouchd_pairs_settling"] == 5000
    assert told["retouchd_pairs_ready"] == 10


# The real thing.


def test_a_daemon_tells_what_it_has_done_and_what_waits(
    site: Site, tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    file = tmp_path / "metrics" / "retouchd.prom"
    file.parent.mkdir()
    site.environment["RETOUCHD_METRICS_FILE"] = str(file)
    daemon = start(site)
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    save(photo(), site.inbox / "dog.png")
    save(hole(50, 50), site.inbox / "dog_mask.png")
    save(photo(), site.inbox / "alone.png")
    expected = {
        'retouchd_jobs_finished_total{task="inpaint",outcome="done"}': 1,
        'retouchd_jobs_finished_total{task="inpaint",outcome="failed"}': 1,
        'retouchd_jobs_failed_total{reason="size_mismatch"}': 1,
        'retouchd_step_duration_seconds_count{task="inpaint",step="network"}': 1,
        'retouchd_files_waiting{reason="companion_missing"}': 1,
        "retouchd_jobs_running": 0,
        "retouchd_devices_ready": 1,
    }
    daemon.wait_until(
        lambda: file.exists() and expected.items() <= samples(file.read_text()).items(),
        "the numbers",
    )
    told = samples(file.read_text())
    assert abs(told["retouchd_last_update_timestamp_seconds"] - time.time()) < 60
    assert told['retouchd_job_duration_seconds_sum{task="inpaint"}'] > 0
    assert not any('step="other"' in name for name in told)
    assert any(name.startswith('retouchd_model_info{device="cpu"') for name in told)
    assert daemon.stop() == 0
    assert os.listdir(file.parent) == [file.name]


def test_once_tells_what_it_did_and_a_second_run_counts_from_0(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "retouchd.prom"
    site.environment["RETOUCHD_METRICS_FILE"] = str(file)
    finished = 'retouchd_jobs_finished_total{task="inpaint",outcome="done"}'
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    assert site.once().returncode == 0
    assert samples(file.read_text())[finished] == 1
    assert site.once().returncode == 0
    assert samples(file.read_text())[finished] == 0


def test_a_file_that_cannot_be_written_keeps_no_picture_waiting(site: Site, tmp_path: Path) -> None:
    site.environment["RETOUCHD_METRICS_FILE"] = str(tmp_path / "nowhere" / "retouchd.prom")
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    done = site.once()
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if '"not_told"' in line]
    assert len(told) == 1
    assert "retouchd.prom" in told[0]


# The setting.


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("folder", ["inbox", "outbox", "work", "failed", "archive"])
def test_a_folder_of_the_spool_is_no_place_for_it(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / "below" / "r.prom"
    with pytest.raises(SettingsError, match=f"lies in {folder} .* a folder of its own"):
        load_settings({"spool": tmp_path, "metrics_file": file})


@pytest.mark.usefixtures("alone")
def test_a_link_does_not_hide_that_it_lies_in_the_inbox(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "metrics").symlink_to("inbox")
    with pytest.raises(SettingsError, match="lies in inbox"):
        load_settings({"spool": tmp_path, "metrics_file": tmp_path / "metrics" / "r.prom"})


@pytest.mark.usefixtures("alone")
def test_a_file_that_nobody_would_collect_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"metrics_file = .* should end in \.prom"):
        load_settings({"metrics_file": "/srv/retouchd.txt"})
