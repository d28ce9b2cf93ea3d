"""Fetches the sequence of a job, which BatchService keeps and builds."""

import grpc

from tweezer.internal.v1 import program_service_pb2 as pb
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub


class Programs:
    """Asks BatchService for sequences."""

    def __init__(self, service: ProgramServiceStub) -> None:
        self._service = service

    async def build(self, program_hash: str, variables_json: str | None) -> str | None:
        """Returns a sequence built with the values of its variables; None if it cannot be built.

        The errors of a BatchService that is away are passed on.
        """
        request = pb.BuildProgramRequest(program_hash=program_hash, variables_json=variables_json)
        try:
            response = await self._service.BuildProgram(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                # The job is seen before its batch is committed, and the sequence with it.
                return None
            raise
        return response.sequence if response.HasField("sequence") else None
