"""LeaseService: execution services take jobs and bring back what became of them."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.duration_pb2 import Duration

from tweezer.database.timestamps import to_timestamp
from tweezer.internal.v1 import lease_service_pb2 as pb
from tweezer.internal.v1.lease_service_pb2_grpc import LeaseServiceServicer
from tweezer.job.leasing import LeaseRequest, Leasing
from tweezer.job.outcomes import Outcome
from tweezer.job.store.endings import Ending
from tweezer.job.store.leases import LeasedBatch, Renewal
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput

_LONGEST_WAIT_S: Final = 60.0
_LONGEST_LEASE_S: Final = 3600.0
_MOST_ITEMS: Final = 10_000


class LeaseServicer(LeaseServiceServicer):
    """Hands calls of execution services on."""

    def __init__(self, leasing: Leasing) -> None:
        self._leasing = leasing

    async def LeaseJobs(
        self, request: pb.LeaseJobsRequest, context: Context
    ) -> pb.LeaseJobsResponse:
        """Leases the jobs next in line, waiting for the first to appear."""
        if not request.device_types:
            raise InvalidInput("device_types", "must name a device.")
        if not 1 <= request.max_jobs <= _MOST_ITEMS:
            raise InvalidInput("max_jobs", f"must be between 1 and {_MOST_ITEMS}.")
        wait_s = _wait(request.wait)
        wanted = LeaseRequest(
            worker_id=request.worker_id,
            device_types=sorted(set(request.device_types)),
            max_jobs=request.max_jobs,
            duration=_lease_duration(request.lease_duration),
        )
        leased = await self._leasing.lease(wanted, wait_s)
        return pb.LeaseJobsResponse(batches=[_batch_message(batch) for batch in leased])

    async def RenewLeases(
        self, request: pb.RenewLeasesRequest, context: Context
    ) -> pb.RenewLeasesResponse:
        """Extends leases and records progress, waiting for work that must stop."""
        _check_number("renewals", request.renewals)
        _check_number("former_tokens", request.former_tokens)
        duration = _lease_duration(request.lease_duration)
        wait_s = _wait(request.wait)
        renewals = [_renewal(index, each) for index, each in enumerate(request.renewals)]
        stop = await self._leasing.renew(renewals, duration, wait_s, request.former_tokens)
        return pb.RenewLeasesResponse(stop_tokens=stop)

    async def FinishJobs(
        self, request: pb.FinishJobsRequest, context: Context
    ) -> pb.FinishJobsResponse:
        """Ends leases, each with its outcome."""
        _check_number("outcomes", request.outcomes)
        ends = [_ending(index, outcome) for index, outcome in enumerate(request.outcomes)]
        if len({ending.token for ending in ends}) != len(ends):
            raise InvalidInput("outcomes", "must not name a token twice.")
        results = {
            outcome.token: outcome.result
            for outcome in request.outcomes
            if outcome.HasField("result")
        }
        refused = await self._leasing.finish(ends, results)
        return pb.FinishJobsResponse(refused_tokens=refused)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1_000_000_000


def _wait(duration: Duration) -> float:
    seconds = _seconds(duration)
    if not 0 <= seconds <= _LONGEST_WAIT_S:
        raise InvalidInput("wait", f"must be between 0 and {_LONGEST_WAIT_S:.0f} seconds.")
    return seconds


def _lease_duration(duration: Duration) -> int:
    seconds = _seconds(duration)
    if not 0 < seconds <= _LONGEST_LEASE_S:
        raise InvalidInput(
            "lease_duration", f"must be more than 0 and at most {_LONGEST_LEASE_S:.0f} seconds."
        )
    return round(seconds * 1_000_000)


def _check_number(field: str, items: Sequence[object]) -> None:
    if len(items) > _MOST_ITEMS:
        raise InvalidInput(field, f"must have at most {_MOST_ITEMS} items.")


def _renewal(index: int, renewal: pb.LeaseRenewal) -> Renewal:
    if not 0 <= renewal.progress <= 100:
        raise InvalidInput(f"renewals[{index}].progress", "must be between 0 and 100.")
    return Renewal(renewal.token, renewal.progress)


def _ending(index: int, outcome: pb.JobOutcome) -> Ending:
    kind = outcome.WhichOneof("outcome")
    if kind is None:
        raise InvalidInput(f"outcomes[{index}].outcome", "is missing.")
    reasons = {"failure": outcome.failure, "lost": outcome.lost}
    return Ending(
        token=outcome.token,
        outcome=Outcome(kind),
        reason=reasons.get(kind),
        slurm_job_id=outcome.slurm_job_id if outcome.HasField("slurm_job_id") else None,
        slurm_cluster_name=(
            outcome.slurm_cluster_name if outcome.HasField("slurm_cluster_name") else None
        ),
    )


def _batch_message(batch: LeasedBatch) -> pb.LeasedBatch:
    return pb.LeasedBatch(
        batch_id=batch.batch_id,
        device_type=batch.device_type,
        program_hash=batch.program_hash,
        backend_configuration=batch.backend_configuration,
        configuration_json=batch.configuration_json,
        leases=[
            pb.JobLease(
                token=lease.token,
                job_id=lease.job_id,
                attempt=lease.attempt,
                expire_time=to_timestamp(lease.expires_at),
                runs=lease.runs,
                variables_json=lease.variables_json,
                program_hash=lease.program_hash,
            )
            for lease in batch.leases
        ],
    )
