"""What `retouchd check` says of monitoring and hooks."""

from pathlib import Path

import pytest

from daemon import cli

pytestmark = pytest.mark.usefixtures("alone")


def findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> dict[str, tuple[str, str]]:
    """By subject, whether it is right, and what is said."""
    cli.main(("check", "--spool", str(tmp_path / "s"), *options))
    lines = (line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines())
    return {subject: (is_ok, says) for is_ok, subject, says in lines}


def test_of_what_is_not_set_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = findings(tmp_path, capsys)
    assert not {"metrics_file", "on_success", "on_failure", "webhook_url"} & said.keys()


def test_it_says_what_will_be_run_and_told_and_does_none_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--on-success", f"touch {tmp_path}/touched", "--on-failure", "no-such-program -x")
    url = ("--webhook-url", "https://example.org/x?key=secret")
    said = findings(tmp_path, capsys, *options, *url)
    assert said["on_success"][0] == "ok"
    assert said["on_success"][1].endswith("/touch will be run; not tried")
    assert said["on_failure"] == (
        "BAD",
        "no-such-program is no program that the user who runs retouchd can start. Correct "
        "on_failure, or make the file executable.",
    )
    assert said["webhook_url"] == ("ok", "example.org will be told of each pair; not tried")
    assert list(tmp_path.iterdir()) == []


def test_it_says_whether_the_numbers_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "metrics" / "r.prom"
    assert findings(tmp_path, capsys, "--metrics-file", str(file))["metrics_file"] == (
        "BAD",
        f"{file.parent} is not there. Make it, and give it to the user that runs retouchd.",
    )
    file.parent.mkdir()
    said = findings(tmp_path, capsys, "--metrics-file", str(file))
    assert said["metrics_file"] == ("ok", f"{file} will be written")
    file.mkdir()
    assert findings(tmp_path, capsys, "--metrics-file", str(file))["metrics_file"] == (
        "BAD",
        f"{file} is a folder. Move it away, or name another file in metrics_file.",
    )
