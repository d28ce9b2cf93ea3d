"""Result files read into answers, up to a bound."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Final, TypeVar

import grpc
from starlette.requests import Request

from tweezer.gateway.calls import backend_of, metadata, seconds_left
from tweezer.gateway.problems import Refused
from tweezer.v1.job_pb2 import Job, JobStatus
from tweezer.v1.job_service_pb2 import GetResultRequest

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

#: How many calls a request makes at once.
_AT_ONCE: Final = 8


def has_result(job: Job) -> bool:
    """Tells whether a job has a result."""
    return job.status == JobStatus.JOB_STATUS_DONE


async def read_results(request: Request, jobs: Iterable[Job]) -> dict[str, bytes]:
    """Returns the result files of those of the jobs that have one, by identifier."""
    reader = _BoundedReader(request)
    done = [job for job in jobs if has_result(job)]
    files = await for_each(reader.read, done)
    return {job.id: file for job, file in zip(done, files, strict=True) if file is not None}


async def for_each(
    ask: Callable[[_Item], Awaitable[_Answer]], items: Sequence[_Item]
) -> list[_Answer]:
    """Returns what is answered for each item; a few are asked for at once."""
    answers: list[_Answer] = []
    waiting = iter(items)
    while some := list(islice(waiting, _AT_ONCE)):
        # All are awaited, so that none goes on after the request has failed.
        for answer in await asyncio.gather(*map(ask, some), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
    return answers


class _BoundedReader:
    """Reads result files that are together not larger than the settings allow."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._most = self._left = backend_of(request).settings.gateway_max_results_bytes

    async def read(self, job: Job) -> bytes | None:
        """Returns a result file, or None when it is not there any more."""
        download = backend_of(self._request).stubs.jobs.GetResult(
            GetResultRequest(job_id=job.id),
            timeout=seconds_left(self._request),
            metadata=metadata(self._request),
        )
        parts: list[bytes] = []
        try:
            async for part in download:
                self._left -= len(part.chunk)
                if self._left < 0:
                    raise Refused(
                        413,
                        f"the results are larger than {self._most} bytes together; "
                        "get them one by one, by the results_link of each job",
                    )
                parts.append(part.chunk)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        finally:
            download.cancel()
        return b"".join(parts)
