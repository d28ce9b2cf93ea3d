"""The lease loop with a real engine, against a real gRPC server."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lease_desk import Desk, LeaseDesk, ProgramDesk

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.engines.engine import EngineError
from tweezer.execution.engines.local import LocalEngine
from tweezer.execution.lease_loop import LeaseLoop
from tweezer.execution.programs import Programs
from tweezer.execution.settings import ExecutionSettings
from tweezer.internal.v1 import lease_service_pb2 as leases
from tweezer.internal.v1 import lease_service_pb2_grpc as leases_grpc
from tweezer.internal.v1 import program_service_pb2_grpc as programs_grpc
from tweezer.process.run import StartFailed
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.server import build_server, start_server

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
VALUES = json.dumps({"omega": 5.0, "detunings": [-8.0, 8.0], "duration": 500})
"""For the sequence `sweep`."""


class Service:
    """An execution service under test: its loop as a task, and the switch that stops it."""

    def __init__(self, settings: ExecutionSettings, engine: LocalEngine) -> None:
        self.settings, self.engine, self.stop = settings, engine, asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with open_service_channel(self.settings, self.settings.job_address) as channel:
            texts = Programs(programs_grpc.ProgramServiceStub(channel))
            stub = leases_grpc.LeaseServiceStub(channel)
            await LeaseLoop(self.settings, stub, texts, self.engine).run(self.stop)

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(30):
            await self.task


@pytest.fixture
def desk(sweep: str) -> Desk:
    return Desk(texts={"sweep": sweep, **{name: name for name in ("SIGKILL", "probe")}})


@pytest.fixture
async def settings(tmp_path: Path, desk: Desk) -> AsyncIterator[ExecutionSettings]:
    settings = ExecutionSettings(data_dir=tmp_path, lease_renewal_s=0.05, execution_workers=2)
    server = build_server(settings)
    leases_grpc.add_LeaseServiceServicer_to_server(LeaseDesk(desk), server)
    programs_grpc.add_ProgramServiceServicer_to_server(ProgramDesk(desk), server)
    port = await start_server(server, "127.0.0.1:0", [])
    address = f"127.0.0.1:{port}"
    yield settings.model_copy(update={"job_address": address, "batch_address": address})
    await server.stop(None)


@pytest.fixture
async def service(
    settings: ExecutionSettings, probes: dict[str, str], desk: Desk
) -> AsyncIterator[Service]:
    async with LocalEngine(2, emulators={**EMULATORS, **probes}) as engine:
        service = Service(settings, engine)
        yield service
        await service.end()


def result_of(desk: Desk, token: str) -> Any:
    assert desk.outcomes[token].WhichOneof("outcome") == "result", desk.outcomes[token]
    return json.loads(desk.outcomes[token].result)


async def test_jobs_are_run_and_reported_once(service: Service, desk: Desk) -> None:
    tokens = [f"t{number}" for number in range(40)]
    for token in tokens:
        await desk.add(token, program_hash="sweep", runs=50, variables_json=VALUES)
    await desk.finished(*tokens)
    for token in tokens:
        assert sum(result_of(desk, token)["counter"].values()) == 50
    assert desk.fetched == {"sweep": 1}
    assert sum(desk.groups) == len(tokens)


async def test_short_jobs_are_leased_ahead_and_reported_together(
    service: Service, desk: Desk
) -> None:
    tokens = [f"t{number}" for number in range(200)]
    for token in tokens:
        await desk.add(token, "CHATTER", program_hash="probe")
    await desk.finished(*tokens)
    assert max(desk.asked) > service.engine.capacity
    assert max(desk.asked) <= service.engine.capacity + service.settings.max_prefetch
    assert sum(desk.groups) == len(tokens)
    assert len(desk.groups) < len(tokens) / 2


async def test_long_jobs_are_not_leased_ahead(service: Service, desk: Desk) -> None:
    desk.holds = False
    for number in range(5):
        await desk.add(f"t{number}", "HANG", program_hash="probe")
    await desk.until(lambda: len(desk.progress.get("t1", ())) > 3)
    assert desk.leased == {"t0", "t1"}
    assert len(desk.queue) == 3


async def test_outcomes_of_bad_jobs(service: Service, desk: Desk) -> None:
    await desk.add("bad", program_hash="sweep")
    await desk.add("crash", "CRASH", program_hash="SIGKILL")
    await desk.add("missing", program_hash="missing")
    await desk.add("none")
    await desk.finished("bad", "crash", "missing", "none")
    assert "Did not receive values" in desk.outcomes["bad"].failure
    assert "killed by the system" in desk.outcomes["crash"].lost
    assert "there is no such sequence" in desk.outcomes["missing"].lost
    assert desk.outcomes["none"].failure == "Neither the job nor its batch has a sequence."


async def test_the_sequence_of_the_job_wins(desk: Desk, service: Service, sweep: str) -> None:
    class OfBatch(Desk):
        def take(self, max_jobs: int) -> Any:
            response = super().take(max_jobs)
            for batch in response.batches:
                batch.program_hash = "sweep"
            return response

    desk.__class__ = OfBatch
    desk.texts["own"] = sweep
    await desk.add("of job", program_hash="own", variables_json=VALUES)
    await desk.add("of batch", variables_json=VALUES)
    await desk.finished("of job", "of batch")
    assert desk.fetched == {"own": 1, "sweep": 1}
    assert result_of(desk, "of job")["counter"]


async def test_progress_goes_with_the_renewals(service: Service, desk: Desk) -> None:
    await desk.add("t", "HANG", program_hash="probe")
    await desk.until(lambda: desk.progress.get("t", [0])[-1] == 1)


async def test_what_a_renewal_names_is_stopped(service: Service, desk: Desk) -> None:
    for token in ("cancelled", "running"):
        await desk.add(token, "HANG", program_hash="probe")
    await desk.until(lambda: desk.leased == {"cancelled", "running"})
    await desk.stop("cancelled")
    await desk.finished("cancelled")
    assert desk.outcomes["cancelled"].HasField("stopped")
    assert desk.leased == {"running"}
    # The worker is replaced: there is room for another job beside the one that runs.
    await desk.add("next", program_hash="sweep", runs=5, variables_json=VALUES)
    await desk.finished("next")


async def test_a_lost_lease_is_stopped_and_its_outcome_dropped(
    service: Service, desk: Desk
) -> None:
    await desk.add("lost", "HANG", program_hash="probe")
    await desk.until(lambda: "lost" in desk.leased)
    desk.lost_tokens.add("lost")
    await desk.notify()
    await desk.until(lambda: "lost" in desk.refused)
    await desk.add("next", program_hash="sweep", runs=5, variables_json=VALUES)
    await desk.finished("next")
    assert "lost" not in desk.outcomes


@pytest.fixture
async def patient(settings: ExecutionSettings, probes: dict[str, str]) -> AsyncIterator[Service]:
    """A service that would be late if it learned from its next renewal what must stop."""
    slow = settings.model_copy(update={"lease_renewal_s": 1000.0, "lease_duration_s": 3000.0})
    async with LocalEngine(3, emulators={**EMULATORS, **probes}) as engine:
        service = Service(slow, engine)
        yield service
        await service.end()


async def test_a_renewal_held_open_stops_one_job_after_the_other(
    patient: Service, desk: Desk
) -> None:
    desk.queue.extend(
        ("HANG", leases.JobLease(token=token, job_id=token, program_hash="probe"))
        for token in ("a", "b", "c")
    )
    await desk.notify()
    await desk.until(lambda: desk.open_renewals == [{"a", "b", "c"}])
    await desk.stop("a")
    await desk.finished("a")
    await desk.until(lambda: desk.open_renewals == [{"b", "c"}])
    await desk.stop("b")
    await desk.finished("b")
    assert desk.outcomes["b"].HasField("stopped")
    await desk.until(lambda: desk.open_renewals == [{"c"}])
    assert len(desk.renewals) == 3
    assert desk.leased == {"c"}


async def test_a_job_leased_since_is_covered_by_the_next_renewal(
    service: Service, desk: Desk
) -> None:
    await desk.add("first", "HANG", program_hash="probe")
    await desk.until(lambda: desk.open_renewals == [{"first"}])
    await desk.add("second", "HANG", program_hash="probe")
    # The one before was answered: there is one at a time.
    await desk.until(lambda: desk.open_renewals == [{"first", "second"}])
    assert [list(request.former_tokens) for request in desk.renewals] == [[], ["first"]]
    await desk.stop("second")
    await desk.finished("second")
    assert desk.leased == {"first"}
    assert desk.cancelled == 0


async def test_a_renewal_that_is_followed_before_it_is_answered_still_counts(
    service: Service, desk: Desk
) -> None:
    """The one after it may have come to another replica, which does not hold it."""
    desk.answers_former = False
    await desk.add("first", "HANG", program_hash="probe")
    await desk.until(lambda: desk.open_renewals == [{"first"}])
    await desk.add("second", "HANG", program_hash="probe")
    await desk.until(lambda: desk.open_renewals == [{"first"}, {"first", "second"}])
    await desk.stop("first")
    await desk.finished("first")
    assert desk.leased == {"second"}
    await desk.until(lambda: desk.open_renewals == [{"second"}])
    # All that were out of date were named to the end, and none was cancelled.
    assert list(desk.renewals[1].former_tokens) == ["first"]
    assert desk.cancelled == 0


async def test_a_renewal_without_news_is_followed_by_another(
    settings: ExecutionSettings, probes: dict[str, str], desk: Desk
) -> None:
    """It is held for a third of the lease, so the lease never runs out."""
    short = settings.model_copy(update={"lease_duration_s": 0.6})
    async with LocalEngine(1, emulators=probes) as engine:
        service = Service(short, engine)
        await desk.add("t", "HANG", program_hash="probe")
        await desk.until(lambda: len(desk.renewals) > 5)
        await service.end()
    assert {request.wait.ToMilliseconds() for request in desk.renewals} == {200}
    assert {request.lease_duration.ToMilliseconds() for request in desk.renewals} == {600}


@pytest.mark.parametrize("holds", [True, False])
async def test_renewals_are_few(service: Service, desk: Desk, holds: bool) -> None:
    """However many jobs there are, and also where JobService answers at once."""
    desk.holds = holds
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await desk.add("long", "HANG", program_hash="probe")
    tokens = [f"t{number}" for number in range(200)]
    for token in tokens:
        await desk.add(token, "CHATTER", program_hash="probe")
    await desk.finished(*tokens)
    calls_due = (loop.time() - begun) / service.settings.lease_renewal_s
    assert len(desk.renewals) <= 1 + calls_due


async def test_a_cancel_is_not_answered_again_and_again(service: Service, desk: Desk) -> None:
    """The work is over when the cancel comes, and its outcome cannot be reported."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    desk.failing["FinishJobs"] = [UNAVAILABLE] * 9
    await desk.stop("t")
    await desk.add("t", "CHATTER", program_hash="probe")
    await desk.finished("t")
    calls_due = (loop.time() - begun) / service.settings.lease_renewal_s
    assert len(desk.renewals) <= 2 + calls_due


async def test_stopping_gives_back_what_runs(service: Service, desk: Desk) -> None:
    tokens = ["a", "b", "c"]
    for token in tokens:
        await desk.add(token, "HANG", program_hash="probe")
    await desk.until(lambda: [p[-1] for p in desk.progress.values()] == [1, 1])
    before = service.engine.pids
    await service.end()
    assert desk.outcomes.keys() == {"a", "b"}
    assert all(outcome.HasField("released") for outcome in desk.outcomes.values())
    assert [lease.token for _, lease in desk.queue] == ["c"]
    assert not before & service.engine.pids


async def test_stopping_gives_back_what_is_being_leased(service: Service, desk: Desk) -> None:
    """The leases are granted, and the answer is still on its way."""
    for token in ("a", "b"):
        await desk.add(token, "HANG", program_hash="probe")
    await desk.until(lambda: len(desk.leased) == 2)
    await service.end()
    assert desk.outcomes.keys() == {"a", "b"}
    assert all(outcome.HasField("released") for outcome in desk.outcomes.values())


async def test_stopping_an_idle_service_is_quick(service: Service, desk: Desk) -> None:
    await desk.until(lambda: desk.asked)
    async with asyncio.timeout(5):
        await service.end()


@pytest.mark.parametrize("method", ["LeaseJobs", "RenewLeases", "FinishJobs", "GetProgram"])
async def test_a_service_that_is_away_for_a_while(
    service: Service, desk: Desk, method: str
) -> None:
    # gRPC itself tries four times.
    desk.failing[method] = [UNAVAILABLE] * 6
    for number in range(4):
        await desk.add(f"t{number}", program_hash="sweep", runs=5, variables_json=VALUES)
    await desk.finished("t0", "t1", "t2", "t3")
    if method == "RenewLeases":
        await desk.add("hang", "HANG", program_hash="probe")
        await desk.until(lambda: "hang" in desk.progress)
    assert not desk.failing[method]


async def test_one_outcome_that_cannot_be_taken_does_not_hold_up_the_others(
    service: Service, desk: Desk
) -> None:
    desk.too_large = 100
    for token in ("large", "small"):
        runs = 1000 if token == "large" else 1
        await desk.add(token, program_hash="sweep", runs=runs, variables_json=VALUES)
    await desk.finished("large", "small")
    assert result_of(desk, "small")["counter"]
    assert desk.outcomes["large"].failure == "The results could not be stored: too large"


async def test_a_wrong_service_key_ends_the_process_with_a_message(
    settings: ExecutionSettings, probes: dict[str, str]
) -> None:
    settings.service_key_file.write_text("x" * 40)
    async with LocalEngine(1, emulators=probes) as engine:
        with pytest.raises(ExceptionGroup) as caught:
            await Service(settings, engine).task
    [error] = caught.value.exceptions
    assert isinstance(error, StartFailed)
    assert str(settings.service_key_file) in str(error)


async def test_a_broken_engine_ends_the_process(
    settings: ExecutionSettings, probes: dict[str, str], desk: Desk
) -> None:
    async with LocalEngine(1, emulators=probes) as engine:
        service = Service(settings, engine)
        await desk.add("t", program_hash="probe")
        await engine.close()
        with pytest.raises(ExceptionGroup) as caught:
            await service.task
    assert caught.group_contains(EngineError)


@pytest.fixture
async def process(
    settings: ExecutionSettings, unused_tcp_port: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The execution service as it is run."""
    health = f"127.0.0.1:{unused_tcp_port}"
    environment = {
        "TWEEZER_DATA_DIR": str(settings.data_dir),
        "TWEEZER_JOB_ADDRESS": settings.job_address,
        "TWEEZER_BATCH_ADDRESS": settings.batch_address,
        "TWEEZER_EXECUTION_LISTEN": health,
        "TWEEZER_EXECUTION_WORKERS": "1",
        "TWEEZER_LEASE_RENEWAL_S": "0.05",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tweezer.execution", env=os.environ | environment
    )
    yield process, health
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_the_process_runs_jobs_and_stops_on_sigterm(
    process: tuple[asyncio.subprocess.Process, str], desk: Desk, ring: Any
) -> None:
    running, health = process
    await desk.add("t", program_hash="sweep", runs=5, variables_json=VALUES)
    await desk.finished("t")
    async with grpc.aio.insecure_channel(health) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    desk.texts["ring"] = ring(13)
    await desk.add("long", program_hash="ring")
    await desk.until(lambda: desk.progress.get("long", [0])[-1] == 5)
    running.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await running.wait() == 0
    assert desk.outcomes["long"].HasField("released")
