"""BatchService's side of the pair, for tests of the job service."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from tweezer.internal.v1 import program_service_pb2 as program_pb
from tweezer.internal.v1 import progress_service_pb2 as progress_pb
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceServicer
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceServicer


class BatchSide(ProgressServiceServicer, ProgramServiceServicer):
    """Plays BatchService: keeps the newest progress, knows additions and programs."""

    def __init__(self) -> None:
        self.progress: dict[str, progress_pb.BatchProgress] = {}
        self.reports = 0
        self.committed: set[str] = set()
        self.asked: list[list[str]] = []
        self.unknown_batches: set[str] = set()
        self.sequences: dict[tuple[str, str | None], str] = {}
        self.failures_left = 0
        self._changed = asyncio.Condition()

    async def until(self, holds: Callable[["BatchSide"], bool]) -> None:
        """Waits until something holds; of what has not come in yet, nothing does."""

        def holds_now() -> bool:
            try:
                return holds(self)
            except KeyError:
                return False

        async with self._changed:
            await self._changed.wait_for(holds_now)

    async def ReportProgress(
        self, request: progress_pb.ReportProgressRequest, context: Any
    ) -> progress_pb.ReportProgressResponse:
        async with self._changed:
            self.reports += 1
            self._changed.notify_all()
            if self.failures_left:
                self.failures_left -= 1
                await context.abort(grpc.StatusCode.INTERNAL, "not now")
            for report in request.reports:
                self.progress[report.batch_id] = report
        named = {report.batch_id for report in request.reports}
        return progress_pb.ReportProgressResponse(
            unknown_batch_ids=sorted(named & self.unknown_batches)
        )

    async def ResolveAdditions(
        self, request: progress_pb.ResolveAdditionsRequest, context: Any
    ) -> progress_pb.ResolveAdditionsResponse:
        async with self._changed:
            self.asked.append(sorted(request.addition_ids))
            self._changed.notify_all()
            if self.failures_left:
                self.failures_left -= 1
                await context.abort(grpc.StatusCode.INTERNAL, "not now")
        return progress_pb.ResolveAdditionsResponse(
            unknown_addition_ids=[a for a in request.addition_ids if a not in self.committed]
        )

    async def GetProgram(
        self, request: program_pb.GetProgramRequest, context: Any
    ) -> program_pb.GetProgramResponse:
        raise AssertionError("JobService builds programs, it does not get them")

    async def BuildProgram(
        self, request: program_pb.BuildProgramRequest, context: Any
    ) -> program_pb.BuildProgramResponse:
        variables = request.variables_json if request.HasField("variables_json") else None
        if request.program_hash == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such program")
        return program_pb.BuildProgramResponse(
            sequence=self.sequences.get((request.program_hash, variables))
        )
