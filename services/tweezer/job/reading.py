"""Reads for clients: limited to what the caller may see."""

from collections.abc import Sequence
from typing import Any

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.far_pages import FarPages
from tweezer.job.listing import Listing
from tweezer.job.paging import Page
from tweezer.job.store import reads
from tweezer.job.store.reads import ResultPlace, StoredJob
from tweezer.rpc.errors import NotFound
from tweezer.rpc.identity import Caller
from tweezer.v1 import job_pb2


class Reading:
    """Answers questions about jobs.

    A job is visible from the moment it is stored, held ones included. A client that was told about
    a batch must see all its jobs at once, although the intent that releases them may still be on
    its way, and nothing here tells a job that is committed from one that is about to be. So a list
    may show a job a moment before its batch is there; if the call that adds it is interrupted, the
    job is dropped soon after, at the latest a moment after its batch was closed. Nobody can name
    such a job: identifiers become known with the answer.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._listing = database, Listing(database, FarPages(clock))

    async def job(self, caller: Caller, job_id: str) -> StoredJob:
        """Returns a job, or raises NotFound."""
        found = await self._database.read(lambda c: reads.job(c, job_id))
        if found is None:
            raise NotFound(job_not_found(job_id))
        caller.require_project(found.project_id, job_not_found(job_id))
        return found

    async def status(self, caller: Caller, job_id: str) -> str:
        """Returns the status of a job, or raises NotFound."""
        found = await self._database.read(lambda c: reads.status(c, job_id))
        if found is None:
            raise NotFound(job_not_found(job_id))
        project_id, status = found
        caller.require_project(project_id, job_not_found(job_id))
        return status

    async def jobs(
        self, caller: Caller, wanted: job_pb2.JobFilter, page: Page
    ) -> tuple[Sequence[Sequence[Any]], int]:
        """Returns a part of the jobs that are wanted, and the number of all of them."""
        return await self._listing.jobs(wanted, caller.project_ids, page)

    async def result_place(self, caller: Caller, job_id: str) -> ResultPlace:
        """Returns where the result of a job is, or raises NotFound for the job."""
        found = await self._database.read(lambda c: reads.result_place(c, job_id))
        if found is None:
            raise NotFound(job_not_found(job_id))
        caller.require_project(found.project_id, job_not_found(job_id))
        return found

    async def ticketed_result_place(self, job_id: str) -> ResultPlace:
        """Returns where the result of a job is, for the holder of a ticket."""
        found = await self._database.read(lambda c: reads.result_place(c, job_id))
        if found is None:  # the batch was deleted since the ticket was issued
            raise NotFound(job_not_found(job_id))
        return found


def job_not_found(job_id: str) -> str:
    """Returns the text for a job that is unknown, foreign or forbidden."""
    return f"job {job_id} not found"
