"""A web server of a user is told when jobs and batches are final."""

import queue
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pulser import Pulse, Register, Sequence
from pulser.devices import MockDevice
from standardwebhooks import Webhook

#: How long anything may take that ends by itself, in seconds.
PATIENCE = 60


class Receiver(ThreadingHTTPServer):
    """A web server that checks signatures and passes on what it was told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.secret = ""
        self.answer = 204

    def events(self, number: int) -> list[dict[str, Any]]:
        """Waits for so many messages and returns them by type."""
        told = [self.told.get(timeout=PATIENCE) for _ in range(number)]
        return sorted(told, key=lambda event: event["type"])


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.answer)
        self.end_headers()
        self.server.told.put(Webhook(self.server.secret).verify(body, dict(self.headers)))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def pair() -> str:
    """Two atoms."""
    sequence = Sequence(Register.from_coordinates([(0, 0), (6, 0)], prefix="q"), MockDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(400, 6.0, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.mark.slow
def test_messages_of_jobs_and_batches(
    start_stack: Callable[..., Any],
    run_command: Callable[..., Any],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    stack = start_stack(tmp_path / "data", "--workers", "1", TWEEZER_WEBHOOK_ALLOW_PRIVATE="true")

    def tweezer(*words: str) -> str:
        answer = run_command("tweezer", "webhooks", *words, "--data-dir", str(stack.data_dir))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    project = stack.facts["project_id"]
    receiver.secret = tweezer("secret", project).strip()
    with stack.api() as api:

        def create(**more: Any) -> dict[str, Any]:
            body = {
                "sequence_builder": pair(),
                "project_id": project,
                "device_type": "EMU_FREE",
                "webhook": receiver.url,
                **more,
            }
            answer = api.post("/api/v1/batches", json=body)
            assert answer.status_code in (200, 201), answer.text
            return answer.json()["data"]

        batch = create(jobs=[{"runs": 3}, {"runs": 5}])
        batch_event, *job_events = receiver.events(3)
        assert batch_event["type"] == "batch.done"
        assert batch_event["data"] == {
            "id": batch["id"],
            "project_id": project,
            "device_type": "EMU_FREE",
            "status": "DONE",
            "jobs_count": 2,
            "jobs_count_per_status": {"DONE": 2, "ERROR": 0, "CANCELED": 0},
        }
        assert [event["type"] for event in job_events] == ["job.done"] * 2
        assert {event["data"]["creation_order"] for event in job_events} == {0, 1}
        assert {event["data"]["batch_id"] for event in job_events} == {batch["id"]}

        # A cancelled batch that never ran; its server wants no messages.
        receiver.answer = 410
        cancelled = create(jobs=[{"runs": 3}], open=True)
        api.patch(f"/api/v2/batches/{cancelled['id']}/cancel").raise_for_status()
        batch_event, job_event = receiver.events(2)
        # Which of the two was first, the cancel or the worker, does not matter here.
        assert batch_event["type"] == "batch.canceled"
        assert job_event["type"] in ("job.canceled", "job.done")
        failed = tweezer("list", "--status", "failed").splitlines()
        while len(failed) < 2:  # the answers are on their way into the tables
            failed = tweezer("list", "--status", "failed").splitlines()
        assert all("The server answered 410." in line for line in failed)

        receiver.answer = 204
        one = next(line.split()[1] for line in failed if "batch.canceled" in line)
        assert tweezer("resend", one) == "1 sent again\n"
        assert receiver.events(1) == [batch_event]
        assert tweezer("resend", "--all-failed") == "1 sent again\n"
        assert receiver.events(1) == [job_event]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.org", "must be a URL that starts with http:// or https://"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254, which is not public"),
    ],
)
def test_servers_that_are_refused(api: Any, stack: Any, url: str, reason: str) -> None:
    answer = api.post(
        "/api/v1/batches",
        json={
            "sequence_builder": pair(),
            "project_id": stack.facts["project_id"],
            "jobs": [{"runs": 1}],
            "webhook": url,
        },
    )
    assert answer.status_code == 422
    (problem,) = answer.json()["data"]["description"]
    assert problem["loc"] == ["body", "webhook"]
    assert reason in problem["msg"]
