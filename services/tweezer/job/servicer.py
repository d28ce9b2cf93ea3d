"""JobService: what clients can ask about jobs and do to them, and their results."""

from collections.abc import AsyncIterator

import structlog

from tweezer.database.timestamps import to_timestamp
from tweezer.job.cancelling import Cancelling
from tweezer.job.conversion import job_message, list_response, status_number
from tweezer.job.ids import canonical
from tweezer.job.paging import page_of
from tweezer.job.programs import Programs
from tweezer.job.reading import Reading
from tweezer.job.result_streams import ResultStreams
from tweezer.job.results import ResultGone, ResultStore
from tweezer.job.store.reads import ResultPlace
from tweezer.job.tickets import TicketOffice
from tweezer.rpc.context import Context
from tweezer.rpc.errors import NotFound
from tweezer.rpc.identity import current_caller
from tweezer.v1 import job_service_pb2 as pb
from tweezer.v1.job_service_pb2_grpc import JobServiceServicer

log = structlog.get_logger(__name__)


class JobServicer(JobServiceServicer):
    """Answers clients."""

    def __init__(
        self,
        reading: Reading,
        cancelling: Cancelling,
        programs: Programs,
        results: ResultStore,
        tickets: TicketOffice,
        streams: ResultStreams,
    ) -> None:
        self._reading, self._cancelling, self._programs = reading, cancelling, programs
        self._results, self._tickets, self._streams = results, tickets, streams

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """Gets one job with the sequence built for it."""
        job = await self._reading.job(current_caller(), canonical("job_id", request.job_id))
        message = job_message(job.columns)
        if job.program_hash is not None:
            sequence = await self._programs.build(job.program_hash, job.variables_json)
            if sequence is not None:
                message.sequence = sequence
        return pb.GetJobResponse(job=message)

    async def GetJobStatus(
        self, request: pb.GetJobStatusRequest, context: Context
    ) -> pb.GetJobStatusResponse:
        """Gets the status of one job."""
        job_id = canonical("job_id", request.job_id)
        status = await self._reading.status(current_caller(), job_id)
        return pb.GetJobStatusResponse(status=status_number(status))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Lists jobs, newest first unless asked otherwise."""
        page = page_of(request.page)
        jobs, total = await self._reading.jobs(current_caller(), request.filter, page)
        return list_response(jobs, total)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: Context
    ) -> pb.CancelJobResponse:
        """Cancels one job."""
        job_id = canonical("job_id", request.job_id)
        job = await self._cancelling.job(current_caller(), job_id)
        return pb.CancelJobResponse(job=job_message(job))

    async def CancelJobs(
        self, request: pb.CancelJobsRequest, context: Context
    ) -> pb.CancelJobsResponse:
        """Cancels the matching jobs of a batch."""
        batch_id = canonical("batch_id", request.batch_id)
        cancelled = await self._cancelling.jobs(current_caller(), batch_id, request.filter)
        return pb.CancelJobsResponse(jobs=map(job_message, cancelled.jobs), errors=cancelled.errors)

    async def GetResultLink(
        self, request: pb.GetResultLinkRequest, context: Context
    ) -> pb.GetResultLinkResponse:
        """Makes a link to the result of a job; an empty answer while there is none."""
        job_id = canonical("job_id", request.job_id)
        place = await self._reading.result_place(current_caller(), job_id)
        if place.removed:
            raise NotFound(_no_longer_stored(job_id))
        if place.key is None:
            return pb.GetResultLinkResponse()
        link = await self._results.link(place.key)
        if link is not None:
            return pb.GetResultLinkResponse(url=link.url, expire_time=to_timestamp(link.expires_at))
        ticket = self._tickets.issue(job_id)
        return pb.GetResultLinkResponse(
            ticket=ticket.text, expire_time=to_timestamp(ticket.expires_at)
        )

    async def GetResult(
        self, request: pb.GetResultRequest, context: Context
    ) -> AsyncIterator[pb.GetResultResponse]:
        """Sends the result file of a job."""
        job_id = canonical("job_id", request.job_id)
        place = await self._reading.result_place(current_caller(), job_id)
        async with self._streams.one():
            async for chunk in await self._open(job_id, place):
                yield pb.GetResultResponse(chunk=chunk)

    async def DownloadResult(
        self, request: pb.DownloadResultRequest, context: Context
    ) -> AsyncIterator[pb.DownloadResultResponse]:
        """Sends the result file that a link names."""
        job_id = self._tickets.job_of(request.ticket)
        place = await self._reading.ticketed_result_place(job_id)
        async with self._streams.one():
            async for chunk in await self._open(job_id, place):
                yield pb.DownloadResultResponse(chunk=chunk)

    async def _open(self, job_id: str, place: ResultPlace) -> AsyncIterator[bytes]:
        if place.removed:
            raise NotFound(_no_longer_stored(job_id))
        if place.key is None:
            raise NotFound(f"job {job_id} has no result")
        try:
            return await self._results.open(place.key)
        except ResultGone:
            log.error("a result is no longer in the store", job_id=job_id, key=place.key)
            raise NotFound(_no_longer_stored(job_id)) from None


def _no_longer_stored(job_id: str) -> str:
    return f"the result of job {job_id} is no longer stored"
