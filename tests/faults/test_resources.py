"""The disk is full, the database locked or gone, the result store away: for some seconds."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from breaking import programs, resources
from breaking.client import Client
from breaking.deployment import NAMES, Deployment
from breaking.rest import come_to_rest
from breaking.service import PATIENCE_S

from tweezer.v1 import job_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: How long trouble lasts, in seconds; a lock, longer than a process waits for it.
TROUBLE_S = 10.0
LOCKED_S = 11.0

#: The gateway tries long enough by itself; a client that waits less sees more of the trouble.
SETTINGS = {"TWEEZER_GATEWAY_CALL_DEADLINE": "4"}

#: Answers that tell a client to try again.
TRY_AGAIN = {429, 503, 504}

Break = Callable[[Deployment], AbstractContextManager[None]]


def batch_is_locked(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.locked(deployment.data_dir / "batch.db")


def job_is_locked(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.locked(deployment.data_dir / "job.db")


def batch_is_gone(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.gone(deployment.data_dir / "batch.db")


def job_is_gone(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.gone(deployment.data_dir / "job.db")


def batch_has_no_room(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.no_room_for(deployment["batch"].pid)


def job_has_no_room(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.no_room_for(deployment["job"].pid)


def batch_tables_are_locked(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.locked_tables(deployment.databases["batch"], "batch", "addition")


def job_tables_are_locked(deployment: Deployment) -> AbstractContextManager[None]:
    return resources.locked_tables(deployment.databases["job"], "queued_batch", "job")


def server_is_stopped(deployment: Deployment) -> AbstractContextManager[None]:
    assert deployment.server is not None
    return resources.stopped(deployment.server)


def server_has_crashed(deployment: Deployment) -> AbstractContextManager[None]:
    assert deployment.server is not None
    return resources.stopped(deployment.server, at_once=True)


#: On what, what is taken away, for how long, and whether nothing can be accepted meanwhile.
TROUBLES: tuple[tuple[str, Break, float, bool], ...] = (
    ("sqlite", batch_is_locked, LOCKED_S, True),
    ("sqlite", job_is_locked, LOCKED_S, True),
    ("sqlite", batch_is_gone, TROUBLE_S, False),
    ("sqlite", job_is_gone, TROUBLE_S, False),
    ("sqlite", batch_has_no_room, TROUBLE_S, True),
    ("sqlite", job_has_no_room, TROUBLE_S, True),
    ("postgresql", batch_tables_are_locked, LOCKED_S, True),
    ("postgresql", job_tables_are_locked, LOCKED_S, True),
    ("postgresql", server_is_stopped, TROUBLE_S, True),
    ("postgresql", server_has_crashed, TROUBLE_S, True),
)


@pytest.fixture(scope="module")
def backend() -> str:
    """Where nothing else is said: files, and one of each process."""
    return "sqlite"


@pytest.fixture(scope="module")
def deployment(
    backend: str, deploy: Callable[..., Deployment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    deployment = deploy(backend, tmp_path_factory.mktemp("resources"), **SETTINGS)
    yield deployment
    deployment.kill()


@pytest.fixture
def running(deployment: Deployment) -> Deployment:
    deployment.start()
    return deployment


@pytest.fixture
def client(running: Deployment) -> Iterator[Client]:
    with Client.of(running) as client:
        yield client


@pytest.fixture
def api(running: Deployment) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {running.token}"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=30, trust_env=False) as api:
        yield api


def create(api: httpx.Client, deployment: Deployment, key: str) -> httpx.Response:
    """Creates a batch of two jobs."""
    body = {
        "project_id": deployment.login.project_id,
        "sequence_builder": programs.program(),
        "device_type": "EMU_FREE",
        "jobs": [{"runs": 41}, {"runs": 42}],
    }
    return api.post("/api/v1/batches", json=body, headers={"Idempotency-Key": key})


def insist(call: Callable[[], httpx.Response]) -> Any:
    """Makes a call until it is answered; every refusal is one that says to try again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = call()
        if answer.is_success:
            return answer.json()["data"]
        check_refusal(answer)
        assert time.monotonic() < deadline
        time.sleep(0.3)  # the client's pause between attempts


def check_refusal(answer: httpx.Response) -> None:
    """A refusal is JSend, and tells a client to try again."""
    assert answer.status_code in TRY_AGAIN, answer.text
    assert answer.json()["status"] == "error"
    assert answer.json()["message"]


def check_done(client: Client, batch_id: str, runs: list[int]) -> None:
    """A batch ends with all its results."""
    batch = client.await_status(batch_id, "DONE")
    assert [client.shots(job_id) for job_id in batch.job_ids] == runs


@pytest.mark.parametrize(
    ("backend", "trouble", "lasts_s", "stops_everything"),
    TROUBLES,
    ids=[f"{backend}-{trouble.__name__}" for backend, trouble, *_ in TROUBLES],
    scope="module",
)
def test_requests_fail_cleanly_and_work_resumes(
    trouble: Break,
    lasts_s: float,
    stops_everything: bool,
    running: Deployment,
    client: Client,
    api: httpx.Client,
) -> None:
    accepted = client.create([60] * 4, long=True)
    client.await_status(accepted.id, "RUNNING")
    keys = []
    with trouble(running):
        until = time.monotonic() + lasts_s
        while time.monotonic() < until:
            keys.append(str(uuid.uuid4()))
            answer = create(api, running, keys[-1])
            if not answer.is_success:
                check_refusal(answer)
            else:
                # The lock may be given back between the wait for it and the answer.
                assert not stops_everything or time.monotonic() >= until
    batches = [insist(lambda key=key: create(api, running, key))["id"] for key in keys]
    assert len(set(batches)) == len(keys)
    for batch_id in batches:
        check_done(client, batch_id, [41, 42])
    check_done(client, accepted.id, [60] * 4)
    come_to_rest(running)
    assert all(service.running for service in running.services.values())
    assert running.zombies() == []


def test_results_wait_while_the_result_store_is_away(
    running: Deployment, client: Client, api: httpx.Client
) -> None:
    finished = client.create([61])
    client.await_status(finished.id, "DONE")
    job_id = finished.job_ids[0]
    done = job_pb2.JOB_STATUS_DONE
    with resources.blocked(running.data_dir / "results"):
        waiting = [client.create([62, 63]) for _ in range(2)]
        link = api.get(f"/api/v1/jobs/{job_id}/results_link").json()["data"]["results_link"]
        check_refusal(api.get(link))
        client.await_status(waiting[0].id, "RUNNING")
        until = time.monotonic() + TROUBLE_S
        while time.monotonic() < until:
            assert all(client.job(i).status != done for batch in waiting for i in batch.job_ids)
    assert api.get(link).is_success
    for batch in waiting:
        check_done(client, batch.id, [62, 63])
    come_to_rest(running)


@pytest.fixture
def on_a_small_disk(deploy: Callable[..., Deployment], tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose data folder is a file system of its own."""
    with ExitStack() as mounted:
        try:
            mounted.enter_context(resources.small_disk(tmp_path / "data", megabytes=16))
        except PermissionError as error:
            pytest.skip(str(error))
        deployment = deploy("sqlite", tmp_path, **SETTINGS)
        deployment.start()
        yield deployment
        deployment.kill()


def test_a_full_disk_and_a_read_only_one(on_a_small_disk: Deployment) -> None:
    deployment = on_a_small_disk
    headers = {"Authorization": f"Bearer {deployment.token}"}
    with (
        Client.of(deployment) as client,
        httpx.Client(base_url=deployment.url, headers=headers, timeout=30, trust_env=False) as api,
    ):
        accepted = client.create([60] * 4, long=True)
        client.await_status(accepted.id, "RUNNING")
        keys = [str(uuid.uuid4()) for _ in range(4)]
        with resources.full(deployment.data_dir):
            # The log of the database has some room left; then there is none.
            answers = [create(api, deployment, key) for key in keys]
            refused = [answer for answer in answers if not answer.is_success]
            for answer in refused:
                check_refusal(answer)
            assert refused
        batches = [insist(lambda key=key: create(api, deployment, key))["id"] for key in keys]
        for batch_id in batches:
            check_done(client, batch_id, [41, 42])
        check_done(client, accepted.id, [60] * 4)

        deployment.stop()
        with resources.read_only(deployment.data_dir):
            for name in ("batch", "job"):
                deployment[name].start()
                assert deployment[name].wait() == 1
                assert "Traceback" not in deployment[name].last_words()
        deployment.start(NAMES)
        key = str(uuid.uuid4())
        last = insist(lambda: create(api, deployment, key))
        check_done(client, last["id"], [41, 42])
    come_to_rest(deployment)
