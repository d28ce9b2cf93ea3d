"""What clients do, each with what must be true of it when a process died on the way."""

import uuid
from typing import Any

import grpc
import pytest

from breaking.client import Client, patiently
from tweezer.v1 import batch_pb2

_RUNS = (101, 102)

#: A batch that was left open on purpose, and ends by itself.
ENDED = ("DONE", "CANCELED", "TIMED_OUT", "ERROR")


class Operation:
    """One call, or what follows from one."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.request_id = str(uuid.uuid4())

    def prepare(self) -> None:
        """Brings the batch about that the call is for; nothing is broken yet."""

    def act(self) -> Any:
        """Makes the call."""
        raise NotImplementedError

    def check(self, answer: Any) -> None:
        """Insists, after the crash; `answer` is what `act` returned, None when it failed."""
        raise NotImplementedError

    def _again(self) -> None:
        """Makes the call again, which may be too late now."""
        try:
            patiently(self.act)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise

    def _has(self, batch: batch_pb2.Batch, runs: list[int], status: str = "DONE") -> None:
        """Waits for the end of a batch and checks its jobs and their results."""
        batch = self.client.await_status(batch.id, *ENDED)
        assert batch_pb2.BatchStatus.Name(batch.status) == f"BATCH_STATUS_{status}"
        assert len(batch.job_ids) == len(runs)
        if status == "DONE":
            shots = [patiently(lambda i=i: self.client.shots(i)) for i in batch.job_ids]
            assert shots == runs


class Create(Operation):
    """Creates a batch."""

    def act(self) -> batch_pb2.Batch:
        """Makes the call."""
        return self.client.create(_RUNS, request_id=self.request_id)

    def check(self, answer: batch_pb2.Batch | None) -> None:
        """The same call names the same batch, and its jobs have their results."""
        again = patiently(self.act)
        if answer is not None:
            assert answer.id == again.id
        self._has(again, list(_RUNS))


class Repeat(Operation):
    """Repeats a batch."""

    def prepare(self) -> None:
        """Finishes a batch."""
        self.parent = self.client.create(_RUNS)
        self.client.await_status(self.parent.id, "DONE")

    def act(self) -> batch_pb2.Batch:
        """Makes the call."""
        return self.client.repeat(self.parent.id, self.request_id)

    def check(self, answer: batch_pb2.Batch | None) -> None:
        """The same call names the same batch."""
        again = patiently(self.act)
        if answer is not None:
            assert answer.id == again.id
        self._has(again, list(_RUNS))


class Add(Operation):
    """Adds jobs to an open batch."""

    def prepare(self) -> None:
        """Opens a batch."""
        self.batch = self.client.create([100], is_open=True)
        self.client.await_idle(self.batch.id)

    def act(self) -> batch_pb2.Batch:
        """Makes the call."""
        return self.client.add(self.batch.id, _RUNS, self.request_id)

    def check(self, answer: batch_pb2.Batch | None) -> None:
        """The jobs are there once, however often they were sent."""
        patiently(self.act)
        patiently(lambda: self.client.close(self.batch.id))
        self._has(self.batch, [100, *_RUNS])


class Close(Operation):
    """Closes an open batch."""

    def prepare(self) -> None:
        """Opens a batch."""
        self.batch = self.client.create(_RUNS, is_open=True)
        self.client.await_idle(self.batch.id)

    def act(self) -> batch_pb2.Batch:
        """Makes the call."""
        return self.client.close(self.batch.id)

    def check(self, answer: batch_pb2.Batch | None) -> None:
        """It is closed: a second time is refused, unless the first was lost."""
        self._again()
        self._has(self.batch, list(_RUNS))


class CancelWaiting(Operation):
    """Cancels a batch of which nothing runs yet."""

    def prepare(self) -> None:
        """Opens a batch whose jobs stay where they are."""
        self.batch = self.client.create([], is_open=True)
        self.client.pause(self.batch.id)
        self.client.add(self.batch.id, _RUNS)

    def act(self) -> batch_pb2.Batch:
        """Makes the call."""
        return self.client.cancel(self.batch.id)

    def check(self, answer: batch_pb2.Batch | None) -> None:
        """It is cancelled; a second time changes nothing, or comes too late."""
        self._again()
        self._has(self.batch, list(_RUNS), "CANCELED")


class CancelRunning(CancelWaiting):
    """Cancels a batch of which a job runs."""

    def prepare(self) -> None:
        """Starts a batch that takes a while."""
        self.batch = self.client.create([300, 301], long=True)
        self.client.await_status(self.batch.id, "RUNNING")


class CancelJob(CancelWaiting):
    """Cancels one of the jobs that wait."""

    def act(self) -> Any:
        """Makes the call."""
        return self.client.cancel_job(
            patiently(lambda: self.client.batch(self.batch.id)).job_ids[0]
        )

    def check(self, answer: Any) -> None:
        """That job is cancelled and the other one runs."""
        self._again()
        patiently(lambda: self.client.close(self.batch.id))
        patiently(lambda: self.client.resume(self.batch.id))
        batch = self.client.await_status(self.batch.id, *ENDED)
        assert (batch.job_counts.canceled, batch.job_counts.done) == (1, 1)
        assert patiently(lambda: self.client.shots(batch.job_ids[1])) == _RUNS[1]


class LeaveOpen(Operation):
    """Leaves a batch open until it times out."""

    def act(self) -> batch_pb2.Batch:
        """Opens a batch."""
        return patiently(
            lambda: self.client.create(_RUNS, is_open=True, request_id=self.request_id)
        )

    def check(self, answer: batch_pb2.Batch | None) -> None:
        """It has timed out, and has its results nevertheless."""
        assert answer is not None
        batch = self.client.await_status(answer.id, "TIMED_OUT")
        for job_id, runs in zip(batch.job_ids, _RUNS, strict=True):
            assert patiently(lambda i=job_id: self.client.shots(i)) == runs
        with pytest.raises(grpc.RpcError) as refused:
            patiently(lambda: self.client.add(batch.id, _RUNS))
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
