"""The local engine with real processes: crashes, cancellation, isolation, order."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.emulators.task import JobError, Limits
from tweezer.execution.engines.engine import EngineError, WorkerLost
from tweezer.execution.engines.local import LocalEngine

#: Generous; only there so that a defect fails instead of hanging.
PATIENCE_S = 30.0


@pytest.fixture
async def probing(probes: dict[str, str]) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(2, emulators=probes) as engine:
        yield engine


@pytest.fixture
async def single(probes: dict[str, str]) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(1, emulators=probes) as engine:
        yield engine


class Running:
    """A task under way in an engine."""

    def __init__(self, engine: LocalEngine, task: Any) -> None:
        self._started = asyncio.Event()
        self.call = asyncio.create_task(engine.run(task, self._follow))

    def _follow(self, percentage: int) -> None:
        if percentage > 0:  # reported from inside the emulator
            self._started.set()

    async def started(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._started.wait()


async def ask(engine: LocalEngine, task: Any) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await engine.run(task, lambda _: None))


async def gone(pid: int) -> None:
    """Waits until a process is dead."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    dead = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, dead.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await dead.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def test_the_service_process_never_imports_an_emulator() -> None:
    code = (
        "import sys; from tweezer.execution.engines import local; "
        "print([m for m in sys.modules if m.partition('.')[0] in "
        "('pulser', 'pulser_simulation', 'qutip', 'numpy', 'scipy', 'matplotlib')])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout == b"[]\n"


async def test_surroundings_of_a_worker(
    probes: dict[str, str], make_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWEEZER_SECRET", "secret")
    async with LocalEngine(1, emulators=probes) as engine:
        seen = await ask(engine, make_task("", "ENVIRONMENT"))
    assert not [name for name in seen["environment"] if name.startswith("TWEEZER_")]
    assert seen["environment"]["OMP_NUM_THREADS"] == "1"
    assert seen["ignores_interrupt"]
    assert seen["default_terminate"]
    assert not seen["shows_warnings"]
    assert seen["modules"] == []


async def test_workers_draw_different_shots(probing: LocalEngine, make_task: Any) -> None:
    """They are forked from one process, whose generator they would otherwise share."""
    answers = await asyncio.gather(
        *(ask(probing, make_task("", "SAMPLE")) for _ in range(2)),
    )
    assert answers[0][0] != answers[1][0]
    assert answers[0][1] != answers[1][1]


async def test_progress_only_rises(probing: LocalEngine, make_task: Any) -> None:
    reported: list[int] = []
    await probing.run(make_task("", "CHATTER"), reported.append)
    assert reported == [0, 5, 50, 100]


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ("SIGKILL", "killed by the system, most likely because memory ran out"),
        ("SIGSEGV", r"crashed \(SIGSEGV\)"),
        ("7", "exit code 7"),
    ],
)
async def test_a_crash_costs_one_task(
    single: LocalEngine, make_task: Any, end: str, sentence: str
) -> None:
    [before] = single.pids
    with pytest.raises(WorkerLost, match=sentence):
        await single.run(make_task(end, "CRASH"), lambda _: None)
    after = (await ask(single, make_task("", "ENVIRONMENT")))["pid"]
    assert after != before
    assert single.pids == {after}


async def test_a_worker_killed_from_outside(single: LocalEngine, make_task: Any) -> None:
    running = Running(single, make_task("", "HANG"))
    await running.started()
    [pid] = single.pids
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(WorkerLost, match="killed by the system"):
            await running.call
    assert (await ask(single, make_task("", "ENVIRONMENT")))["pid"] != pid


async def test_an_idle_worker_that_dies_costs_nothing(probing: LocalEngine, make_task: Any) -> None:
    for pid in probing.pids:
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
    for _ in range(4):
        await ask(probing, make_task("", "ENVIRONMENT"))


@pytest.mark.parametrize("probe", ["HANG", "STUCK_IN_C"])
async def test_cancelling_kills_the_worker_and_only_it(
    probing: LocalEngine, make_task: Any, probe: str
) -> None:
    first = Running(probing, make_task("", probe))
    await first.started()
    second = Running(probing, make_task("", "HANG"))
    await second.started()
    before = probing.pids
    first.call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.call
    # The other one is busy, so this is answered by the one that replaces the killed one.
    assert (await ask(probing, make_task("", "ENVIRONMENT")))["pid"] not in before
    [killed] = before - probing.pids
    await gone(killed)
    assert not second.call.done()
    second.call.cancel()


async def test_cancelling_a_long_emulation(make_task: Any, ring: Any, bell: str) -> None:
    async with LocalEngine(1) as engine:
        running = Running(engine, make_task(ring(13)))
        await running.started()
        [pid] = engine.pids
        running.call.cancel()
        async with asyncio.timeout(1.0):
            with pytest.raises(asyncio.CancelledError):
                await running.call
            await gone(pid)
        result = await ask(engine, make_task(bell, runs=10))
        assert sum(result["counter"].values()) == 10


async def test_cancelling_a_stopped_worker(single: LocalEngine, make_task: Any) -> None:
    """A worker that does not react to anything, in the middle of its task."""
    running = Running(single, make_task("", "HANG"))
    await running.started()
    [pid] = single.pids
    os.kill(pid, signal.SIGSTOP)
    running.call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.call
    await gone(pid)
    await ask(single, make_task("", "ENVIRONMENT"))


async def test_cancelling_a_task_that_waits(single: LocalEngine, make_task: Any) -> None:
    running = Running(single, make_task("", "HANG"))
    await running.started()
    [pid] = single.pids
    waiting = asyncio.create_task(single.run(make_task("", "CHATTER"), lambda _: None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert single.pids == {pid}
    assert not running.call.done()
    running.call.cancel()
    await ask(single, make_task("", "ENVIRONMENT"))


async def test_first_come_first_served(single: LocalEngine, make_task: Any) -> None:
    done: list[int] = []

    async def one(number: int) -> None:
        await single.run(make_task("", "CHATTER"), lambda _: None)
        done.append(number)

    await asyncio.gather(*(one(number) for number in range(20)))
    assert done == list(range(20))


async def test_a_worker_that_knows_the_sequence_is_preferred(
    probes: dict[str, str], make_task: Any
) -> None:
    async with LocalEngine(3, emulators=probes) as engine:
        pid_of = {}
        answers = await asyncio.gather(
            *(ask(engine, make_task(name, "ENVIRONMENT")) for name in ("a", "b", "c"))
        )
        for name, answer in zip(("a", "b", "c"), answers, strict=True):
            pid_of[name] = answer["pid"]
        assert len(set(pid_of.values())) == 3
        for name in ("c", "a", "b", "b", "a", "c"):
            assert (await ask(engine, make_task(name, "ENVIRONMENT")))["pid"] == pid_of[name]


async def test_memory_is_limited(probes: dict[str, str], make_task: Any) -> None:
    async with LocalEngine(1, emulators=probes, max_memory_bytes=2**31) as engine:
        before = engine.pids
        with pytest.raises(WorkerLost, match="ran out of memory: use fewer atoms"):
            await engine.run(make_task("", "ALLOCATE"), lambda _: None)
        # What is left of such a worker is not used again.
        assert (await ask(engine, make_task("", "ENVIRONMENT")))["pid"] not in before


async def test_memory_is_checked_before_it_is_taken(make_task: Any, ring: Any, bell: str) -> None:
    limits = Limits(max_atoms=60)
    async with LocalEngine(1, max_memory_bytes=2**29) as engine:
        before = engine.pids
        with pytest.raises(JobError, match=r"needs about \d+\.\d GB of memory, and a worker has 0"):
            await engine.run(make_task(ring(20), limits=limits), lambda _: None)
        assert engine.pids == before
        assert (await ask(engine, make_task(bell, runs=10, limits=limits)))["counter"]


async def test_a_defect_has_a_sentence_too(single: LocalEngine, make_task: Any) -> None:
    with pytest.raises(JobError, match=r"^The emulation failed: KeyError: 'nobody thought of"):
        await single.run(make_task("", "BUG"), lambda _: None)


async def test_an_emulator_that_cannot_be_imported() -> None:
    engine = LocalEngine(2, emulators={"X": "no_such_module:emulate"})
    with pytest.raises(EngineError, match=r"could not start\. .* exit code 1"):
        await engine.start()
    assert engine.pids == frozenset()


async def test_a_closed_engine_takes_no_tasks(probes: dict[str, str], make_task: Any) -> None:
    engine = LocalEngine(1, emulators=probes)
    await engine.start()
    running = Running(engine, make_task("", "HANG"))
    await running.started()
    waiting = asyncio.create_task(engine.run(make_task("", "CHATTER"), lambda _: None))
    await asyncio.sleep(0)
    [pid] = engine.pids
    await engine.close()
    await gone(pid)
    with pytest.raises(WorkerLost):
        await running.call
    with pytest.raises(EngineError, match="closed"):
        await waiting
    with pytest.raises(EngineError, match="closed"):
        await engine.run(make_task("", "CHATTER"), lambda _: None)


ORPHANS = """
import asyncio, signal, sys, os
from tweezer.execution.emulators.registry import EMULATORS
from tweezer.execution.emulators.task import Limits, Task
from tweezer.execution.engines.local import LocalEngine
import uvloop

async def main(device, emulator):
    async with LocalEngine(2, emulators={device: emulator}) as engine:
        started = asyncio.Event()
        task = Task(device, sys.stdin.read(), "", Limits())
        follow = lambda percentage: started.set() if percentage else None
        run = asyncio.create_task(engine.run(task, follow))
        await started.wait()
        if device == "HANG":
            for pid in engine.pids:
                os.kill(pid, signal.SIGSTOP)
        print(*engine.pids, flush=True)
        await run

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("probe", ["EMU_FREE", "STUCK_IN_C", "HANG"])
async def test_workers_do_not_outlive_the_service(
    ring: Any, probes: dict[str, str], probe: str
) -> None:
    """One is idle, the other busy, stuck, or stopped; the service gets no chance to react."""
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANS, probe, {**EMULATORS, **probes}[probe]),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert service.stdin is not None
        assert service.stdout is not None
        service.stdin.write(ring(13).encode())
        service.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            pids = [int(word) for word in (await service.stdout.readline()).split()]
        assert len(pids) == 2
    finally:
        service.kill()
        await service.wait()
    for pid in pids:
        await gone(pid)


async def test_a_storm_of_crashes_and_cancellations(probes: dict[str, str], make_task: Any) -> None:
    """Every task has its end, and afterwards the pool is whole."""
    async with LocalEngine(3, emulators=probes) as engine:

        async def one(number: int) -> str:
            if number % 4 == 0:
                with pytest.raises(WorkerLost):
                    await engine.run(make_task("SIGKILL", "CRASH"), lambda _: None)
                return "lost"
            if number % 4 == 1:
                running = Running(engine, make_task("", "HANG"))
                if number % 8 == 1:
                    await running.started()
                running.call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running.call
                return "cancelled"
            await engine.run(make_task(str(number % 7), "CHATTER"), lambda _: None)
            return "done"

        async with asyncio.timeout(PATIENCE_S):
            ends = await asyncio.gather(*(one(number) for number in range(80)))
        assert sorted(set(ends)) == ["cancelled", "done", "lost"]
        hanging = [Running(engine, make_task("", "HANG")) for _ in range(3)]
        for running in hanging:
            await running.started()
        assert len(engine.pids) == 3
        for running in hanging:
            running.call.cancel()
