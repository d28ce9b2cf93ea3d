"""A process dies between two durable steps; what it had begun is finished or undone."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from breaking import operations as do
from breaking.client import Client, patiently
from breaking.deployment import Deployment
from breaking.operations import Operation
from breaking.rest import come_to_rest
from breaking.service import PATIENCE_S

import tweezer
from tweezer.process import crash_points

NAMES = ("job", "batch", "execution")

#: Where which process dies while somebody does what.
CRASHES: tuple[tuple[str, type[Operation]], ...] = (
    ("job.enqueue.stored", do.Create),
    ("batch.create.enqueued", do.Create),
    ("batch.create.committed", do.Create),
    ("job.intents.applied", do.Create),
    ("batch.intents.applied", do.Create),
    ("batch.intents.acknowledged", do.Create),
    ("job.leases.taken", do.Create),
    ("execution.outcomes.ready", do.Create),
    ("job.results.put", do.Create),
    ("job.endings.recorded", do.Create),
    ("execution.outcomes.reported", do.Create),
    ("batch.progress.applied", do.Create),
    ("job.progress.reported", do.Create),
    ("job.progress.acknowledged", do.Create),
    ("job.enqueue.stored", do.Repeat),
    ("batch.create.enqueued", do.Repeat),
    ("batch.create.committed", do.Repeat),
    ("batch.add.reserved", do.Add),
    ("job.enqueue.stored", do.Add),
    ("batch.add.enqueued", do.Add),
    ("batch.add.committed", do.Add),
    ("job.intents.applied", do.Add),
    ("batch.intents.applied", do.Add),
    ("batch.decision.committed", do.Close),
    ("job.intents.applied", do.Close),
    ("batch.intents.applied", do.Close),
    ("batch.decision.committed", do.CancelWaiting),
    ("job.intents.applied", do.CancelWaiting),
    ("batch.intents.applied", do.CancelWaiting),
    ("job.intents.applied", do.CancelRunning),
    ("batch.intents.applied", do.CancelRunning),
    ("execution.outcomes.ready", do.CancelRunning),
    ("job.endings.recorded", do.CancelRunning),
    ("job.cancel.recorded", do.CancelJob),
    ("batch.idle.timed_out", do.LeaveOpen),
)

#: Points that are reached only after another process has died, in tests of their own.
AFTERMATH = (
    "job.additions.resolved",
    "job.additions.dropped",
    "batch.additions.given_up",
    "job.expiry.recorded",
)

#: What a process must be told, for the point to be reached.
_SETTINGS = {"batch.idle.timed_out": {"TWEEZER_OPEN_BATCH_IDLE_S": "1"}}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def deployment(
    request: pytest.FixtureRequest,
    deploy: Callable[..., Deployment],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    deployment = deploy(request.param, tmp_path_factory.mktemp("crashes"), may_crash=True)
    yield deployment
    deployment.kill()


@pytest.fixture
def running(deployment: Deployment) -> Iterator[Deployment]:
    """Every process serves, and at the end as well."""
    deployment.start(NAMES)
    yield deployment
    deployment.make_alike()
    deployment.start(NAMES)


@pytest.fixture
def client(running: Deployment) -> Iterator[Client]:
    with Client.of(running) as client:
        yield client


def crash(deployment: Deployment, point: str) -> None:
    """Waits until the process has died at the point; starts it again if there is no other."""
    died = deployment.wait_for_crash(point.partition(".")[0])
    if deployment.replicas == 1:
        died.start()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "operation"), CRASHES, ids=[f"{op.__name__}-{point}" for point, op in CRASHES]
)
def test_what_a_crash_interrupts_is_finished(
    point: str, operation: type[Operation], running: Deployment, client: Client
) -> None:
    doing = operation(client)
    doing.prepare()
    come_to_rest(running, unfinished=_open_batches(doing))
    running.arm(point, **_SETTINGS.get(point, {}))
    with ThreadPoolExecutor(1) as thread:
        acting = thread.submit(doing.act)
        crash(running, point)
        error = acting.exception(PATIENCE_S)
    if error is not None:
        assert isinstance(error, grpc.RpcError), error
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    doing.check(None if error is not None else acting.result())
    come_to_rest(running)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["job.additions.resolved", "job.additions.dropped", "batch.additions.given_up"]
)
def test_a_crash_while_jobs_without_a_batch_are_dropped(
    point: str, running: Deployment, client: Client
) -> None:
    running.arm("batch.create.enqueued")
    if point.startswith("job"):
        running.arm(point)
    with ThreadPoolExecutor(1) as thread:
        creating = thread.submit(client.create, [50, 51])
        died = running.wait_for_crash("batch")
        assert creating.exception(PATIENCE_S) is not None
    if point.startswith("batch"):
        running.arm(point)
    died.start()
    crash(running, point)
    books = come_to_rest(running)
    assert not any(job["runs"] in (50, 51) for job in books.jobs.values())


@pytest.mark.slow
def test_a_crash_while_a_lease_that_ran_out_is_ended(running: Deployment, client: Client) -> None:
    batch = client.create([300], long=True)
    client.await_status(batch.id, "RUNNING")
    kill_all(running, "execution")
    running.arm("job.expiry.recorded")
    crash(running, "job.expiry.recorded")
    running.start(["execution"])
    client.await_status(batch.id, "DONE")
    assert patiently(lambda: client.shots(batch.job_ids[0])) == 300
    come_to_rest(running)


@pytest.mark.slow
def test_a_crash_after_a_result_was_put_whose_worker_is_gone_leaves_no_file(
    running: Deployment, client: Client
) -> None:
    running.arm("job.results.put")
    batch = client.create([77])
    died = running.wait_for_crash("job")
    kill_all(running, "execution")
    # Ends the lease, and dies before it can remove what belonged to it.
    running.arm("job.expiry.recorded")
    died.start()
    crash(running, "job.expiry.recorded")
    running.start(["execution"])
    client.await_status(batch.id, "DONE")
    come_to_rest(running)


def test_the_tests_pass_every_crash_point_there_is() -> None:
    named = [name for text in sources() for name in re.findall(r"\bcrash_point\((.*?)\)", text)]
    assert all(re.fullmatch(r'"[a-z_]+(\.[a-z_]+){2}"', name) for name in named), "no plain name"
    assert len(named) == len(set(named)), "a name is used twice"
    tested = {point for point, _ in CRASHES} | set(AFTERMATH)
    assert {name.strip('"') for name in named} == tested


def test_nothing_but_a_test_arms_crash_points() -> None:
    imported = re.compile(r"from tweezer\.process\.crash_points import (.*)")
    assert {name for text in sources() for name in imported.findall(text)} == {"crash_point"}
    assert not any(
        "crash_points." in text.replace("process.crash_points", "") for text in sources()
    )


def sources() -> list[str]:
    """Returns the text of every module of ours but the one that defines crash points."""
    definition = Path(crash_points.__file__)
    files = (file for root in tweezer.__path__ for file in Path(root).rglob("*.py"))
    return [file.read_text() for file in files if file != definition]


def kill_all(deployment: Deployment, role: str) -> None:
    """Ends all replicas of a process."""
    for service in deployment.of(role):
        service.kill()


def _open_batches(doing: Operation) -> list[str]:
    batch = getattr(doing, "batch", None)
    return [] if batch is None else [batch.id]
