"""Calls of LeaseService that take and keep leases."""

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration

from tweezer.execution.attempts import PASSING
from tweezer.execution.held_job import HeldJob
from tweezer.execution.settings import ExecutionSettings
from tweezer.internal.v1.lease_service_pb2 import (
    LeasedBatch,
    LeaseJobsRequest,
    LeaseRenewal,
    RenewLeasesRequest,
)
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceStub
from tweezer.process.run import StartFailed

#: Time that a call may take beyond the wait for jobs, in seconds.
_ANSWER_S: Final = 10.0

#: How long a renewal is held open at most, in seconds.
_LONGEST_HOLD_S: Final = 20.0


class LeaseCalls:
    """Makes the calls as the settings say.

    Each call raises AioRpcError for an error that may pass by itself, and StartFailed when
    JobService refuses this service.
    """

    def __init__(self, settings: ExecutionSettings, service: LeaseServiceStub) -> None:
        self._settings, self._service = settings, service
        self._lease_duration = _duration(settings.lease_duration_s)
        # A call that hangs is given up while a third of the lease is left for another attempt.
        third_s = settings.lease_duration_s / 3
        self._hold_s = min(third_s, _LONGEST_HOLD_S)
        self._renewal_timeout_s = self._hold_s + third_s

    async def lease(self, max_jobs: int) -> list[LeasedBatch]:
        """Leases the jobs next in line, waiting for the first to appear."""
        request = LeaseJobsRequest(
            worker_id=self._settings.execution_name,
            device_types=self._settings.execution_device_types,
            max_jobs=max_jobs,
            wait=_duration(self._settings.lease_wait_s),
            lease_duration=self._lease_duration,
        )
        timeout_s = self._settings.lease_wait_s + _ANSWER_S
        try:
            response = await self._service.LeaseJobs(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            self._check(error)
            raise
        return list(response.batches)

    async def renew(self, jobs: Iterable[HeldJob], former_tokens: Iterable[str]) -> list[str]:
        """Extends the leases of jobs at once; returns the tokens whose work must stop.

        JobService answers when there are any, after a third of the lease's duration, or when a
        later call names one of the tokens as a former one.
        """
        request = RenewLeasesRequest(
            renewals=[LeaseRenewal(token=job.token, progress=job.progress) for job in jobs],
            lease_duration=self._lease_duration,
            wait=_duration(self._hold_s),
            former_tokens=former_tokens,
        )
        try:
            response = await self._service.RenewLeases(request, timeout=self._renewal_timeout_s)
        except grpc.aio.AioRpcError as error:
            self._check(error)
            raise
        return list(response.stop_tokens)

    def _check(self, error: grpc.aio.AioRpcError) -> None:
        """Raises StartFailed for an error that will not pass by itself."""
        if error.code() not in PASSING:
            raise StartFailed(
                f"JobService at {self._settings.job_internal} refuses this execution service "
                f"({error.code().name}: {error.details()}); {self._credential_question()}"
            ) from error

    def _credential_question(self) -> str:
        mutual = self._settings.tls.mutual
        if mutual is not None:
            return f"does {mutual.own.certificate} name the process `execution`?"
        if self._settings.service_key is not None:
            return "does TWEEZER_SERVICE_KEY hold the key that JobService has?"
        return f"does {self._settings.service_key_file} hold the key that JobService has?"


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(1000 * seconds))
    return duration
