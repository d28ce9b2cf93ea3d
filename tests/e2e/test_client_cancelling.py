"""Cancelling as the public client sees it: the work ends at once, and each answer makes sense."""

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from patience import PATIENCE, until
from pulser import Pulse, Register, Sequence
from pulser.devices import MockDevice
from pulser.waveforms import RampWaveform

pytestmark = pytest.mark.slow

#: CPU time that no job takes but the long one, in clock ticks of the kernel.
BUSY = 2 * os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def stack(start_stack: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A stack with one worker: what is next runs only when what runs has ended."""
    return start_stack(tmp_path_factory.mktemp("one-worker") / "data", "--workers", "1")


def sweep(atoms: int, duration: int) -> str:
    """A slow sweep over atoms that hinder each other."""
    register = Register.rectangle(2, atoms // 2, spacing=5.5, prefix="q")
    sequence = Sequence(register, MockDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    pulse = Pulse.ConstantAmplitude(6.0, RampWaveform(duration, -10, 10), 0.0)
    sequence.add(pulse, "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


#: Minutes of work, none of which is to be done.
LONG = sweep(atoms=14, duration=40_000)
SHORT = sweep(atoms=2, duration=100)


def worker_that_works(stack: Any, still: Callable[[], bool]) -> int:
    """Returns the worker process that uses the CPU; the execution service is not one."""
    services = {pid for pid, (parent, _) in parents().items() if parent == stack.process.pid}
    before = {pid: ticks(pid) for pid in stack.members()}
    busy: list[int] = []

    def one_is() -> bool:
        assert still(), "it ended by itself"
        now = {pid: ticks(pid) - before.get(pid, 0) for pid in stack.members()}
        busy[:] = [pid for pid, used in now.items() if used >= BUSY and pid not in services]
        return bool(busy)

    until(one_is)
    (worker,) = busy
    return worker


def parents() -> dict[int, tuple[int, int]]:
    """Returns the parent and the used CPU time of every process of the machine."""
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            table[int(folder.name)] = (int(words[1]), int(words[11]) + int(words[12]))
    return table


def ticks(process_id: int) -> int:
    return parents().get(process_id, (0, 0))[1]


@contextmanager
def watched(stack: Any, batch_id: str) -> Iterator[list[str]]:
    """Asks for the status of a batch all the time, and gives the words as they come."""
    client = PasqalCloudClient(**stack.credentials())
    seen: list[str] = []
    first, stop = threading.Event(), threading.Event()
    raised: list[Exception] = []

    def poll() -> None:
        try:
            while not stop.is_set():
                # The client raises on a word that it does not know.
                seen.append(client.get_batch_status(batch_id).value)
                first.set()
        except Exception as error:  # noqa: BLE001 - raised again where the test sees it
            raised.append(error)
            first.set()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert first.wait(PATIENCE)
        yield seen
        if not raised:
            so_far = len(seen)
            until(lambda: len(seen) > so_far or bool(raised))
    finally:
        stop.set()
        thread.join(PATIENCE)
    if raised:
        raise raised[0]


def changes(words: list[str]) -> list[str]:
    """Returns the words without those that follow the same word."""
    return [word for n, word in enumerate(words) if n == 0 or words[n - 1] != word]


def start(client: PasqalCloudClient, sequence: str, jobs: int = 1) -> Any:
    return client.create_batch(sequence, jobs=[{"runs": 1}] * jobs, device_type="EMU_FREE")


def test_a_running_job_of_fourteen_atoms_ends_with_its_worker_and_the_next_starts(
    stack: Any, client: PasqalCloudClient
) -> None:
    batch = start(client, LONG)
    (job,) = batch.ordered_jobs
    until(lambda: client.get_job_status(job.id).value == "RUNNING")
    following = start(client, SHORT)
    worker = worker_that_works(stack, lambda: client.get_job_status(job.id).value == "RUNNING")
    # With one worker, nothing else can run before this one is free or replaced.
    assert client.get_batch_status(following.id).value == "PENDING"
    descriptor = os.pidfd_open(worker)
    try:
        answer = client.cancel_job(job.id)
        assert answer.status == client.get_job_status(job.id).value == "CANCELED"
        ended, _, _ = select.select([descriptor], [], [], PATIENCE)
        assert ended, "the worker lives on"
    finally:
        os.close(descriptor)
    until(lambda: client.get_batch_status(following.id).value == "DONE")
    # The batch was not cancelled, it merely has nothing left to do.
    assert client.get_batch(batch.id).status == "DONE"


def test_no_unknown_word_is_seen_while_a_running_batch_is_cancelled(
    stack: Any, client: PasqalCloudClient
) -> None:
    batch = start(client, LONG, jobs=3)
    until(lambda: client.get_batch_status(batch.id).value == "RUNNING")
    with watched(stack, batch.id) as seen:
        client.cancel_batch(batch.id)
        until(lambda: client.get_batch_status(batch.id).value == "CANCELED")
    assert changes(seen) == ["RUNNING", "CANCELED"]
    assert {job.status for job in client.get_batch(batch.id).ordered_jobs} == {"CANCELED"}


def test_no_unknown_word_is_seen_while_a_pending_batch_is_cancelled(
    stack: Any, client: PasqalCloudClient, operate: Callable[..., None]
) -> None:
    # Nothing starts on a paused device, so that the batch is pending until it is cancelled.
    operate("devices", "pause", "EMU_FREE")
    try:
        batch = start(client, SHORT, jobs=3)
        with watched(stack, batch.id) as seen:
            client.cancel_batch(batch.id)
            until(lambda: client.get_batch_status(batch.id).value == "CANCELED")
        # What is being cancelled is shown as RUNNING, whether it has started or not.
        assert (seen[0], seen[-1]) == ("PENDING", "CANCELED")
        assert set(seen) <= {"PENDING", "RUNNING", "CANCELED"}
    finally:
        operate("devices", "resume", "EMU_FREE")


def test_no_unknown_word_is_seen_while_the_only_running_job_is_cancelled(
    stack: Any, client: PasqalCloudClient
) -> None:
    batch = start(client, LONG)
    until(lambda: client.get_batch_status(batch.id).value == "RUNNING")
    with watched(stack, batch.id) as seen:
        client.cancel_job(batch.ordered_jobs[0].id)
        until(lambda: client.get_batch_status(batch.id).value == "DONE")
    assert changes(seen) == ["RUNNING", "DONE"]
