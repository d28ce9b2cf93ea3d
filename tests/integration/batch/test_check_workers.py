"""The checking processes stand hostile sequences, and end with the service."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys

import pytest

from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.workers import CheckWorkers, WorkerFailed, WorkerLimits
from tweezer.rpc.errors import TooMuch, Unavailable

LIMITS = {"max_variables": 1000, "max_values": 10_000}


@pytest.fixture(scope="module")
def strict_workers():
    """Two seconds of computing, half a gigabyte."""
    workers = CheckWorkers(1, WorkerLimits(512 * 1024**2, cpu_s=2), max_waiting=10)
    workers.start()
    yield workers
    workers.close()


def inspect(workers, text):
    return workers.ask("sequence", text=text, **LIMITS)


def with_duration(text, duration):
    content = json.loads(text)
    pulse = content["operations"][0]
    for waveform in ("amplitude", "detuning"):
        pulse[waveform]["duration"] = duration
    return json.dumps(content)


async def test_a_sequence_that_takes_too_much_memory(strict_workers, sequences):
    await inspect(strict_workers, sequences.plain)
    pid = process_id(strict_workers)
    with pytest.raises(Refused, match=r"^takes more memory than a check may use$"):
        await inspect(strict_workers, with_duration(sequences.plain, 10**12))
    facts = await inspect(strict_workers, sequences.plain)
    assert facts["atoms"] == 4
    assert process_id(strict_workers) == pid  # it survived


async def test_a_sequence_that_takes_too_long(strict_workers, sequences):
    tower = {"expression": "pow", "lhs": 9, "rhs": 10**9}
    with pytest.raises(Refused, match=r"^takes (longer to check|more memory) than a check may"):
        await inspect(strict_workers, with_duration(sequences.plain, tower))
    assert (await inspect(strict_workers, sequences.plain))["atoms"] == 4


async def test_a_process_that_was_killed_is_replaced(strict_workers, sequences):
    await inspect(strict_workers, sequences.plain)
    pid = process_id(strict_workers)
    os.kill(pid, signal.SIGKILL)
    assert (await inspect(strict_workers, sequences.plain))["atoms"] == 4
    assert process_id(strict_workers) != pid


async def test_an_error_of_ours_is_not_the_callers(strict_workers):
    with pytest.raises(WorkerFailed, match="KeyError"):
        await strict_workers.ask("no such check")


async def test_checks_that_would_wait_in_vain_are_turned_away(strict_workers, sequences):
    calls = [inspect(strict_workers, sequences.plain) for _ in range(12)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [dict] * 11 + [TooMuch]


async def test_a_process_that_starts_is_asked_nothing_before_it_is_ready(sequences):
    workers = CheckWorkers(2, WorkerLimits(512 * 1024**2, cpu_s=5), max_waiting=10)
    workers.start()
    try:
        calls = [inspect(workers, sequences.plain) for _ in range(10)]
        assert [facts["atoms"] for facts in await asyncio.gather(*calls)] == [4] * 10
    finally:
        workers.close()


# By a thread: if checks waited for ever, so would the end of the test.
@pytest.mark.timeout(120, method="thread")
async def test_checks_that_come_in_before_the_start(sequences):
    """As when a service takes calls again and is not up yet."""
    workers = CheckWorkers(2, WorkerLimits(512 * 1024**2, cpu_s=5), max_waiting=10)
    try:
        calls = [asyncio.ensure_future(inspect(workers, sequences.plain)) for _ in range(3)]
        await asyncio.sleep(0)  # they are under way
        workers.start()
        assert [facts["atoms"] for facts in await asyncio.gather(*calls)] == [4] * 3
        assert len(workers.process_ids) == 2
    finally:
        workers.close()


async def test_after_the_end_there_are_no_checks(sequences):
    workers = CheckWorkers(1, WorkerLimits(512 * 1024**2, cpu_s=2), max_waiting=10)
    workers.start()
    waiting = asyncio.ensure_future(inspect(workers, sequences.plain))
    await asyncio.sleep(0)
    await asyncio.to_thread(workers.close)
    with pytest.raises((Unavailable, asyncio.CancelledError)):
        await waiting


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process by pidfd")
def test_the_process_ends_when_its_parent_is_killed():
    """Even by kill -9, which gives nobody a chance to clean up."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from tweezer.batch.checks.workers import CheckWorkers, WorkerLimits\n"
            "workers = CheckWorkers(1, WorkerLimits(2**30, 10), 1)\n"
            "workers.start()\n"
            "while not workers.process_ids: time.sleep(0.01)\n"
            "print(*workers.process_ids, flush=True)\n"
            "time.sleep(600)\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    ended = os.pidfd_open(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        assert wait_readable(ended, 60), "the checking process lives on"
    finally:
        os.close(ended)


def process_id(workers):
    (pid,) = workers.process_ids
    return pid


def wait_readable(descriptor, timeout_s):
    return bool(select.select([descriptor], [], [], timeout_s)[0])
