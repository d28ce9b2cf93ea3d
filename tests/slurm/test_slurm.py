"""`tweezer up --engine slurm` on a real Slurm, used by the public client."""

import json
import math
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from one_node_slurm import OneNodeSlurm
from pasqal_cloud.device import DeviceTypeName
from pulser import MockDevice, Pulse, RampWaveform, Register, Sequence

ENDED = {"DONE", "ERROR", "CANCELED", "TIMED_OUT"}

WaitUntil = Callable[[Callable[[], bool], str], None]
StartStack = Callable[..., Any]


def ring(atoms: int, duration: int) -> str:
    """Any number of atoms on a circle; fourteen of them take many seconds."""
    angles = [2 * math.pi * i / atoms for i in range(atoms)]
    radius = 3 / math.sin(math.pi / atoms)
    places = [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]
    sequence = Sequence(Register.from_coordinates(places, prefix="q"), MockDevice)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(Pulse.ConstantAmplitude(5, RampWaveform(duration, -8, 8), 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


SHORT = ring(4, 500)
LONG = ring(14, 4000)


class Batch:
    """A batch of the public client."""

    def __init__(self, stack: Any, sequence: str, jobs: int) -> None:
        self._stack, self._client = stack, stack.client()
        batch = self._client.create_batch(
            sequence, jobs=[{"runs": 20}] * jobs, device_type=DeviceTypeName.EMU_FREE
        )
        self.id = str(batch.id)

    @property
    def status(self) -> str:
        return str(self._client.get_batch(self.id).status)

    def cancel(self) -> None:
        self._client.cancel_batch(self.id)

    def jobs(self) -> list[dict[str, Any]]:
        """Returns the jobs as the API has them; the client leaves out where they ran."""
        with self._stack.api() as api:
            answer = api.get("/api/v2/jobs", params={"batch_id": self.id, "limit": 100})
        return list(answer.raise_for_status().json()["data"])

    def rows(self) -> list[tuple[int, int]]:
        """Returns attempt and progress of each job."""
        with sqlite3.connect(self._stack.data_dir / "job.db") as database:
            query = "SELECT attempt, progress FROM job WHERE batch_id = ?"
            return list(database.execute(query, (self.id,)))

    def begun(self) -> bool:
        """Tells whether the emulation of a job is under way on a worker."""
        return any(progress > 0 for _, progress in self.rows())


def test_jobs_run_in_slurm_and_a_cancel_stops_only_its_own(
    cluster: OneNodeSlurm, start_stack: StartStack, wait_until: WaitUntil
) -> None:
    stack = start_stack()
    assert cluster.jobs() == {}, "there is no work yet, and the minimum is none"

    batch = Batch(stack, SHORT, 50)
    wait_until(lambda: batch.status in ENDED, "fifty jobs")
    jobs = batch.jobs()
    assert len(jobs) == 50
    assert {job["status"] for job in jobs} == {"DONE"}
    assert {job["slurm_cluster_name"] for job in jobs} == {cluster.name}
    places = {job["slurm_job_id"] for job in jobs}
    assert 1 <= len(places) <= 2
    for place in places:
        assert f"JobId={place} JobName=tweezer" in cluster.command("scontrol", "show", "job", place)

    long, other = Batch(stack, LONG, 1), Batch(stack, LONG, 1)
    wait_until(lambda: long.begun() and other.begun(), "two long jobs")
    before = cluster.jobs()
    assert len(before) == 2
    long.cancel()
    wait_until(lambda: long.status == "CANCELED", "the cancel")
    after = Batch(stack, SHORT, 5)
    wait_until(lambda: after.status == "DONE", "jobs on the worker that is free again")
    assert cluster.jobs() == before, "a cancel costs no Slurm job"
    assert other.status == "RUNNING"
    assert [attempt for attempt, _ in other.rows()] == [1]

    assert stack.stop() == 0
    wait_until(lambda: cluster.jobs() == {}, "the end of all Slurm jobs")


def test_a_lost_worker_costs_one_attempt(
    cluster: OneNodeSlurm, start_stack: StartStack, wait_until: WaitUntil
) -> None:
    stack = start_stack(TWEEZER_SLURM_WORKER=json.dumps({"memory_mib": 1024, "max_workers": 1}))
    batch = Batch(stack, ring(14, 3000), 1)
    wait_until(batch.begun, "the job")
    [lost] = cluster.jobs()
    cluster.command("scancel", lost)
    wait_until(lambda: batch.status in ENDED, "the second attempt")
    [job] = batch.jobs()
    assert job["status"] == "DONE"
    assert job["slurm_job_id"] not in (None, lost)
    assert [attempt for attempt, _ in batch.rows()] == [2]


def test_slurm_jobs_end_when_there_is_no_work_and_know_no_secrets(
    cluster: OneNodeSlurm, start_stack: StartStack, wait_until: WaitUntil, tmp_path: Path
) -> None:
    stack = start_stack(TWEEZER_SLURM_IDLE_S="1", TWEEZER_TEST_SECRET="not for workers")
    batch = Batch(stack, LONG, 1)
    wait_until(batch.begun, "the job")
    environments = environments_of_workers()
    assert environments
    for environment in environments:
        assert b"SLURM_JOB_ID" in environment
        assert b"not for workers" not in environment
        assert b"TWEEZER_" not in environment
    batch.cancel()
    wait_until(lambda: cluster.jobs() == {}, "the end of the idle worker")
    again = Batch(stack, SHORT, 3)
    wait_until(lambda: again.status == "DONE", "jobs after there was no worker")


def test_the_service_outlives_slurm(
    cluster: OneNodeSlurm, start_stack: StartStack, wait_until: WaitUntil
) -> None:
    """A refused job is submitted again: the partition is closed for a while."""
    stack = start_stack()
    cluster.command("scontrol", "update", "PartitionName=main", "State=INACTIVE")
    try:
        batch = Batch(stack, SHORT, 3)
        wait_until(
            lambda: "Slurm takes no jobs at present" in stack.messages.read_text(), "a refusal"
        )
        assert batch.status not in ENDED
    finally:
        cluster.command("scontrol", "update", "PartitionName=main", "State=UP")
    wait_until(lambda: batch.status == "DONE", "the jobs")
    assert [attempt for attempt, _ in batch.rows()] == [1, 1, 1]


def test_workers_of_a_killed_service_end_by_themselves(
    cluster: OneNodeSlurm, start_stack: StartStack, wait_until: WaitUntil
) -> None:
    stack = start_stack(TWEEZER_LEASE_DURATION_S="5", TWEEZER_LEASE_RENEWAL_S="0.5")
    batch = Batch(stack, ring(14, 3000), 1)
    wait_until(batch.begun, "the job")
    before = set(cluster.jobs())
    os.kill(stack.execution_service(), signal.SIGKILL)
    wait_until(lambda: before.isdisjoint(cluster.jobs()), "the end of the old workers")
    wait_until(lambda: batch.status in ENDED, "the job on a new worker")
    [job] = batch.jobs()
    assert job["status"] == "DONE"
    assert job["slurm_job_id"] not in before


def environments_of_workers() -> list[bytes]:
    """Returns the environments of all processes that are part of a Slurm job and run Dask."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue  # it ended while we looked
            if b"dask_worker" in command and b"tweezer" in command:
                found.append(environment)
    return found
