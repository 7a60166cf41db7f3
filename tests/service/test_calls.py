"""Hooks, the webhook and the numbers for monitoring, by the installed service under its unit."""

import json
from collections.abc import Iterator

import pytest
from machine import Machine
from serving import SOURCE, SPOOL, Service

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]

PORT = 8099
DROP_IN = "/etc/systemd/system/retouchd.service.d/webhook.conf"
RECEIVER = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("/srv/came", "ab").write(body)
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""


@pytest.fixture
def receiver(machine: Machine) -> Iterator[Machine]:
    """A server on the machine that writes down what is posted to it."""
    machine.path("/srv/receiver.py").write_text(RECEIVER)
    machine.run("systemd-run --unit=receiver /opt/retouchd/venv/bin/python /srv/receiver.py")
    yield machine
    machine.run(f"systemctl stop receiver; rm -f {DROP_IN} /srv/came", check=False)
    machine.run("systemctl daemon-reload")


def test_a_webhook_leaves_the_machine_with_its_drop_in_and_not_without(
    service: Service, receiver: Machine
) -> None:
    service.configure(webhook_url=f"http://127.0.0.1:{PORT}/in")
    service.start()
    service.drop("holiday")
    service.wait_for("hook_failed", call="webhook", picture="holiday.png")
    came = receiver.path("/srv/came")
    assert not came.exists()
    receiver.run(f"install -m 0644 {SOURCE}/deploy/webhook.conf {DROP_IN}")
    receiver.run("systemctl daemon-reload && systemctl restart retouchd")
    # What it owed is told too.
    service.wait_until(came.exists, "the webhook")
    assert json.loads(came.read_text())["picture"] == "holiday.png"
    # The worker's confinement is none of the unit's.
    assert service.wait_for("worker_started")["confinement"]


def test_a_url_that_is_a_secret_is_read_from_a_file_that_only_root_may_read(
    service: Service, receiver: Machine
) -> None:
    url = f"RETOUCHD_WEBHOOK_URL=http://127.0.0.1:{PORT}/in?key=1234"
    receiver.run(f"(umask 077; echo '{url}' > /etc/retouchd/webhook.env)")
    receiver.run(f"install -m 0644 {SOURCE}/deploy/webhook.conf {DROP_IN}")
    receiver.run("systemctl daemon-reload")
    service.start()
    service.drop("holiday")
    service.wait_until(receiver.path("/srv/came").exists, "the webhook")
    receiver.run("rm /etc/retouchd/webhook.env")
    assert "1234" not in "\n".join(service.said())


def test_systemd_has_nothing_to_say_against_the_webhooks_drop_in(receiver: Machine) -> None:
    receiver.run(f"install -m 0644 {SOURCE}/deploy/webhook.conf {DROP_IN}")
    receiver.run("systemctl daemon-reload")
    done = receiver.run("systemd-analyze verify /etc/systemd/system/retouchd.service")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_hook_is_run_as_the_service_and_leaves_a_file_in_the_spool(service: Service) -> None:
    told = f"{SPOOL}/outbox/told"
    script = (
        f"id -un > {told}.new && cat >> {told}.new && mv {told}.new {told}; touch /opt/retouchd/x"
    )
    service.configure(on_success=["sh", "-c", script])
    service.start()
    service.drop("holiday")
    service.wait_until(service.machine.path(told).exists, "what the hook wrote")
    user, line = service.machine.path(told).read_text().splitlines()
    assert user == "retouchd"
    assert json.loads(line)["result"] == f"{SPOOL}/outbox/holiday.png"
    # It may do what the service may.
    failed = service.wait_for("hook_failed", call="on_success")
    assert "Read-only file system" in failed["why"]


@pytest.fixture
def metrics(machine: Machine) -> Iterator[str]:
    """The folder that the page makes for them."""
    folder = f"{SPOOL}/metrics"
    machine.run(f"install -d -o retouchd -g retouchd -m 0755 {folder}")
    yield folder
    machine.run(f"rm -r {folder}")


def test_the_numbers_are_written_where_the_page_puts_them(service: Service, metrics: str) -> None:
    machine, folder = service.machine, metrics
    service.configure(metrics_file=f"{folder}/retouchd.prom")
    service.start()
    service.drop("holiday")
    file = machine.path(f"{folder}/retouchd.prom")
    done = 'retouchd_jobs_finished_total{task="inpaint",outcome="done"} 1'
    service.wait_until(lambda: file.exists() and done in file.read_text(), "the numbers")
    assert done in machine.run(f"cat {folder}/retouchd.prom", user="nobody").stdout
