"""A user's gRPC client that does not give up."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc

from breaking import programs
from breaking.deployment import Deployment
from breaking.service import PATIENCE_S
from tweezer.process.channels import LOAD_BALANCING
from tweezer.v1 import batch_pb2, batch_service_pb2, job_pb2, job_service_pb2, operator_service_pb2
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub
from tweezer.v1.job_service_pb2_grpc import JobServiceStub
from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

T = TypeVar("T")

_PASSING: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

_OPTIONS: Final = [
    ("grpc.service_config", json.dumps(LOAD_BALANCING)),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 250),
]


def patiently(call: Callable[[], T]) -> T:
    """Makes a call again while the service is away, as the contract lets a client do."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # the client's pause between attempts


class Client:
    """Makes each call once; wrap it in `patiently` to insist."""

    def __init__(self, deployment: Deployment, batch: grpc.Channel, job: grpc.Channel) -> None:
        self._metadata = (("authorization", f"Bearer {deployment.token}"),)
        self._project_id = deployment.login.project_id
        self._batches, self._operator = BatchServiceStub(batch), OperatorServiceStub(batch)
        self._jobs = JobServiceStub(job)

    @classmethod
    @contextmanager
    def of(cls, deployment: Deployment) -> Iterator["Client"]:
        """Gives a client of a deployment whose processes have found each other."""
        with (
            grpc.insecure_channel(deployment.address("batch"), _OPTIONS) as batch,
            grpc.insecure_channel(deployment.address("job"), _OPTIONS) as job,
        ):
            client = cls(deployment, batch, job)
            client._await_neighbours()
            yield client

    def _await_neighbours(self) -> None:
        """Has a batch done: a process serves before those that call it have found it again."""
        request_id = str(uuid.uuid4())
        batch = patiently(lambda: self.create([1], request_id=request_id))
        self.await_status(batch.id, "DONE")

    def create(
        self,
        runs: Sequence[int],
        *,
        request_id: str | None = None,
        is_open: bool = False,
        long: bool = False,
    ) -> batch_pb2.Batch:
        """Creates a batch with a job for each number of runs."""
        request = batch_service_pb2.CreateBatchRequest(
            project_id=self._project_id,
            sequence=programs.program(),
            configuration_json=json.dumps(programs.NOISY) if long else None,
            device_type="EMU_FREE",
            jobs=_jobs(runs),
            open=is_open,
            request_id=request_id or str(uuid.uuid4()),
        )
        return self._call(self._batches.CreateBatch, request).batch

    def add(
        self, batch_id: str, runs: Sequence[int], request_id: str | None = None
    ) -> batch_pb2.Batch:
        """Adds jobs to a batch."""
        request = batch_service_pb2.AddJobsRequest(
            batch_id=batch_id, jobs=_jobs(runs), request_id=request_id or str(uuid.uuid4())
        )
        return self._call(self._batches.AddJobs, request).batch

    def repeat(self, batch_id: str, request_id: str) -> batch_pb2.Batch:
        """Repeats all jobs of a batch."""
        request = batch_service_pb2.RepeatBatchRequest(batch_id=batch_id, request_id=request_id)
        return self._call(self._batches.RepeatBatch, request).batch

    def close(self, batch_id: str) -> batch_pb2.Batch:
        """Closes a batch."""
        request = batch_service_pb2.CloseBatchRequest(batch_id=batch_id)
        return self._call(self._batches.CloseBatch, request).batch

    def cancel(self, batch_id: str) -> batch_pb2.Batch:
        """Cancels a batch."""
        request = batch_service_pb2.CancelBatchRequest(batch_id=batch_id)
        return self._call(self._batches.CancelBatch, request).batch

    def pause(self, batch_id: str) -> batch_pb2.Batch:
        """Holds a batch back."""
        request = operator_service_pb2.PauseBatchRequest(batch_id=batch_id)
        return self._call(self._operator.PauseBatch, request).batch

    def resume(self, batch_id: str) -> batch_pb2.Batch:
        """Lets a batch go on."""
        request = operator_service_pb2.ResumeBatchRequest(batch_id=batch_id)
        return self._call(self._operator.ResumeBatch, request).batch

    def cancel_job(self, job_id: str) -> job_pb2.Job:
        """Cancels a job."""
        request = job_service_pb2.CancelJobRequest(job_id=job_id)
        return self._call(self._jobs.CancelJob, request).job

    def batch(self, batch_id: str) -> batch_pb2.Batch:
        """Returns a batch."""
        request = batch_service_pb2.GetBatchRequest(batch_id=batch_id)
        return self._call(self._batches.GetBatch, request).batch

    def job(self, job_id: str) -> job_pb2.Job:
        """Returns a job."""
        return self._call(self._jobs.GetJob, job_service_pb2.GetJobRequest(job_id=job_id)).job

    def shots(self, job_id: str) -> int:
        """Returns how many shots the result of a job has."""
        request = job_service_pb2.GetResultRequest(job_id=job_id)
        parts = self._jobs.GetResult(request, metadata=self._metadata, timeout=30)
        counter: dict[str, int] = json.loads(b"".join(part.chunk for part in parts))["counter"]
        return sum(counter.values())

    def await_status(self, batch_id: str, *statuses: str) -> batch_pb2.Batch:
        """Waits until a batch has one of some statuses."""
        wanted = {batch_pb2.BatchStatus.Value(f"BATCH_STATUS_{status}") for status in statuses}
        patiently(lambda: self._watch(batch_id, lambda state: state.status in wanted))
        return patiently(lambda: self.batch(batch_id))

    def await_idle(self, batch_id: str) -> None:
        """Waits until a batch has nothing left to do."""

        def idle(state: batch_service_pb2.WatchBatchResponse) -> bool:
            counts = state.job_counts
            return not counts.pending + counts.running + counts.canceling

        patiently(lambda: self._watch(batch_id, idle))

    def _watch(
        self, batch_id: str, found: Callable[[batch_service_pb2.WatchBatchResponse], bool]
    ) -> None:
        states = self._batches.WatchBatch(
            batch_service_pb2.WatchBatchRequest(batch_id=batch_id),
            metadata=self._metadata,
            timeout=PATIENCE_S,
        )
        try:
            last = None
            for last in states:
                if found(last):
                    return
        finally:
            states.cancel()
        raise AssertionError(f"{batch_id} ended otherwise: {last}")

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request, metadata=self._metadata, timeout=30)


def _jobs(runs: Iterable[int]) -> list[batch_pb2.NewJob]:
    return [batch_pb2.NewJob(runs=number) for number in runs]
