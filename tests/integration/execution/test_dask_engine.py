"""The Dask engine with a real scheduler and real workers with nannies, all of them processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from distributed.security import Security
from free_ports import free_port

from tweezer.execution.emulators.task import JobError
from tweezer.execution.engines.dask import DaskEngine
from tweezer.execution.engines.dask_connection import connector
from tweezer.execution.engines.dask_link import DaskJobs
from tweezer.execution.engines.engine import EngineError, WorkerLost
from tweezer.execution.engines.place import Place
from tweezer.execution.engines.worker import WorkerSettings
from tweezer.process.tls import CertificateFiles, Mutual

pytestmark = pytest.mark.slow

#: Generous; only there so that a defect fails instead of hanging.
PATIENCE_S = 120.0

#: What Slurm would say in a worker's environment.
PLACE = Place("4711", "rhea")


class DaskProcesses:
    """A scheduler and workers, as an operator starts them."""

    def __init__(self, folder: Path, protocol: str = "tcp", *options: str) -> None:
        self._folder, self._options = folder, options
        self._port = free_port()
        self.address = f"{protocol}://127.0.0.1:{self._port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()
        # Nothing tells when it listens.
        deadline = time.monotonic() + PATIENCE_S
        while not listens(self._port):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        host = self.address.rpartition(":")[0]
        return self._start("scheduler", "--host", host, "--port", str(self._port))

    def start_worker(self, address: str | None = None) -> subprocess.Popen[bytes]:
        options = ("--nthreads", "1", "--nanny", "--death-timeout", "60", "--host", "127.0.0.1")
        return self._start("worker", address or self.address, *options)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(PATIENCE_S)

    def _start(self, kind: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{kind}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, *self._options],
                stderr=log,
                cwd=self._folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parent),
                    "SLURM_JOB_ID": "4711",
                    "SLURM_CLUSTER_NAME": "rhea",
                    "TWEEZER_SECRET": "secret",
                },
            )
        self._processes.append(process)
        return process


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler and two workers for the tests that leave them as they were."""
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"))
    processes.start_worker()
    processes.start_worker()
    yield processes
    processes.stop()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler without workers for one test."""
    processes = DaskProcesses(tmp_path)
    yield processes
    processes.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a connection that is refused give up sooner."""
    monkeypatch.setattr("tweezer.execution.engines.dask_connection._CONNECT_S", 5)


def engine_at(address: str, probes: dict[str, str]) -> DaskEngine:
    jobs = DaskJobs(WorkerSettings(probes, None))
    return DaskEngine(connector(address, None), jobs, name=address)


@pytest.fixture
async def engine(cluster: DaskProcesses, probes: dict[str, str]) -> AsyncIterator[DaskEngine]:
    async with engine_at(cluster.address, probes) as engine:
        await workers(engine, 2)
        yield engine


@pytest.fixture
def pair_engine(request: pytest.FixtureRequest, probes: dict[str, str]) -> DaskEngine:
    """The engine of `pair`: on a cluster of its own where the test has one."""
    own = "own_cluster" in request.fixturenames
    processes = request.getfixturevalue("own_cluster" if own else "cluster")
    return engine_at(processes.address, probes)


async def workers(engine: DaskEngine, number: int) -> None:
    """Waits until so many workers are ready."""
    changed = asyncio.Event()
    engine.watch_capacity(changed.set)
    async with asyncio.timeout(PATIENCE_S):
        while engine.capacity != number:
            changed.clear()
            await changed.wait()


class Running:
    """A task under way in an engine."""

    def __init__(self, engine: DaskEngine, task: Any) -> None:
        self._started, self._located = asyncio.Event(), asyncio.Event()
        self.place: Place | None = None
        self.call = asyncio.create_task(engine.run(task, self._follow, self._locate))

    def _follow(self, percentage: int) -> None:
        if percentage > 0:  # reported from inside the emulator
            self._started.set()

    def _locate(self, place: Place) -> None:
        self.place = place
        self._located.set()

    async def located(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._located.wait()

    async def started(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._started.wait()


async def ask(engine: DaskEngine, task: Any) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await engine.run(task, lambda _: None))


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def appears(path: Path) -> int:
    """Waits for the file of the probe `once` and returns the Dask worker that ran it."""
    async with asyncio.timeout(PATIENCE_S):
        while (parent := written(path)) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    # The probe's parent is the process that workers are forked from, whose parent is Dask's.
    return parent_of(parent)


def written(path: Path) -> int | None:
    return int(path.read_text()) if path.exists() else None


async def test_surroundings_of_a_worker(engine: DaskEngine, make_task: Any) -> None:
    places: list[Place] = []
    answer = await engine.run(make_task("", "ENVIRONMENT"), lambda _: None, places.append)
    seen = json.loads(answer)
    assert places == [PLACE]
    assert not [name for name in seen["environment"] if name.startswith("TWEEZER_")]
    assert seen["environment"]["OMP_NUM_THREADS"] == "1"
    assert seen["ignores_interrupt"]


async def test_jobs_that_fail(engine: DaskEngine, make_task: Any) -> None:
    wrong = Running(engine, make_task("", "BUG"))
    with pytest.raises(JobError, match=r"^The emulation failed: KeyError: 'nobody thought of"):
        await wrong.call
    lost = Running(engine, make_task("SIGSEGV", "CRASH"))
    with pytest.raises(WorkerLost, match=r"crashed \(SIGSEGV\)"):
        await lost.call
    assert wrong.place == lost.place == PLACE


@pytest.mark.parametrize("probe", ["HANG", "STUCK_IN_C"])
async def test_cancelling_kills_what_runs_and_only_that(
    engine: DaskEngine, make_task: Any, probe: str, tmp_path: Path
) -> None:
    first = Running(engine, make_task("", probe))
    await first.started()
    second = Running(engine, make_task(str(tmp_path / "once"), "ONCE"))
    dask_worker = await appears(tmp_path / "once")
    first.call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.call
    # The other worker is busy, so this is answered by the one that has stopped.
    answer = await ask(engine, make_task("", "ENVIRONMENT"))
    assert answer["pid"] != dask_worker
    assert not second.call.done()
    assert engine.capacity == 2, "both Dask workers are the ones from before"
    second.call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.call


async def test_a_killed_worker_costs_what_it_ran_and_nothing_else(
    engine: DaskEngine, make_task: Any, tmp_path: Path
) -> None:
    """Dask would try again by itself: its scheduler allows three lost workers."""
    other = Running(engine, make_task("", "HANG"))
    await other.started()
    lost = Running(engine, make_task(str(tmp_path / "once"), "ONCE"))
    waiting = [asyncio.create_task(ask(engine, make_task("", "CHATTER"))) for _ in range(10)]
    dask_worker = await appears(tmp_path / "once")
    await lost.located()  # or else it counts as not begun, and is begun again elsewhere
    os.kill(dask_worker, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(WorkerLost, match="The Slurm job 4711 that ran the job was lost"):
            await lost.call
        assert await asyncio.gather(*waiting) == [{}] * 10
    assert not other.call.done()
    other.call.cancel()
    await workers(engine, 2)  # its nanny has started it again
    hanging = [Running(engine, make_task("", "HANG")) for _ in range(2)]
    for running in hanging:
        await running.started()
        running.call.cancel()


async def test_a_batch_survives_a_killed_worker(pair: Any, tmp_path: Path) -> None:
    await workers(pair.engine, 2)
    path = tmp_path / "once"
    victim = await pair.add("ONCE", str(path))
    dask_worker = await appears(path)
    others = await pair.add("CHATTER", *(str(number) for number in range(20)))
    wrong = await pair.add("BUG", "x")
    os.kill(dask_worker, signal.SIGKILL)
    assert (await pair.batch_side.ended(victim, 1)).done == 1
    assert (await pair.batch_side.ended(others, 20)).done == 20
    assert (await pair.batch_side.ended(wrong, 1)).error == 1
    where = ("slurm_job_id", "slurm_cluster_name")
    assert pair.jobs(victim, "attempt", *where) == [(2, "4711", "rhea")]
    assert pair.jobs(others, "attempt", *where) == [(1, "4711", "rhea")] * 20
    assert pair.jobs(wrong, "status", *where) == [("ERROR", "4711", "rhea")]


async def test_jobs_are_leased_when_there_are_workers(
    own_cluster: DaskProcesses, pair: Any
) -> None:
    assert pair.engine.capacity == 0
    batch = await pair.add("CHATTER", "a", "b")
    own_cluster.start_worker()
    await workers(pair.engine, 1)
    assert (await pair.batch_side.ended(batch, 2)).done == 2
    assert pair.jobs(batch, "attempt") == [(1,), (1,)]


async def test_a_lost_scheduler_costs_no_attempt(
    own_cluster: DaskProcesses, pair: Any, tmp_path: Path
) -> None:
    own_cluster.start_worker()
    path = tmp_path / "once"
    batch = await pair.add("ONCE", str(path))
    await appears(path)
    own_cluster.scheduler.kill()
    await workers(pair.engine, 0)
    own_cluster.start_scheduler()
    own_cluster.start_worker()
    assert (await pair.batch_side.ended(batch, 1)).done == 1
    assert pair.jobs(batch, "attempt") == [(1,)]


async def test_a_sequence_is_sent_once(
    own_cluster: DaskProcesses, probes: dict[str, str], make_task: Any
) -> None:
    """All that goes to and from the scheduler passes a counter."""
    with ByteCounter(own_cluster.address) as counter:
        own_cluster.start_worker(counter.address)
        own_cluster.start_worker(counter.address)
        async with engine_at(counter.address, probes) as engine:
            await workers(engine, 2)
            before = counter.bytes
            sequence = "x" * 2_000_000
            tasks = [make_task(sequence, "CHATTER") for _ in range(40)]
            await asyncio.gather(*(ask(engine, task) for task in tasks))
            sent = counter.bytes - before
    # To the scheduler, from there to one worker; the other may take it from that one, or from here.
    assert 2 * len(sequence) <= sent < 5 * len(sequence)


@pytest.mark.usefixtures("quick")
async def test_tls(tmp_path: Path, probes: dict[str, str], make_task: Any) -> None:
    files = certificates(tmp_path)
    options = [f"--tls-{name}={path}" for name, path in files.items()]
    processes = DaskProcesses(tmp_path, "tls", *options)
    try:
        processes.start_worker()
        own = CertificateFiles(files["cert"], files["key"])
        jobs = DaskJobs(WorkerSettings(probes, None))
        connect = connector(processes.address, Mutual(own, files["ca-file"]))
        async with DaskEngine(connect, jobs, name=processes.address) as engine:
            await workers(engine, 1)
            assert await ask(engine, make_task("", "CHATTER")) == {}
            stranger = tmp_path / "stranger"
            stranger.mkdir()
            other = certificates(stranger)
            own = CertificateFiles(other["cert"], other["key"])
            refused = connector(processes.address, Mutual(own, files["ca-file"]))
            with pytest.raises(EngineError):
                await DaskEngine(refused, jobs, name=processes.address).start()
    finally:
        processes.stop()


def certificates(folder: Path) -> dict[str, Path]:
    """Writes an authority, and a certificate of it with its key."""
    made = Security.temporary()
    files = {"ca-file": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in files.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in files}


@pytest.mark.usefixtures("quick")
async def test_there_is_no_scheduler(probes: dict[str, str]) -> None:
    with pytest.raises(EngineError, match=r"^There is no Dask scheduler at tcp://127"):
        await engine_at(f"tcp://127.0.0.1:{free_port()}", probes).start()


class ByteCounter:
    """Passes on connections to a Dask scheduler and counts what goes through, both ways."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").partition(":")
        self._target = (host, int(port))
        self.bytes = 0
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._ready = threading.Event()
        self._done = asyncio.Event()
        self._connections: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> "ByteCounter":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"tcp://{host}:{port}"
        self._ready.set()
        await self._done.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        there, back = await asyncio.open_connection(*self._target)
        with suppress(OSError):  # one end is gone; the other sees it
            try:
                await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
            finally:
                for end in (back, writer):
                    end.close()
                    await end.wait_closed()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.bytes += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()
