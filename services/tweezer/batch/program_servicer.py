"""ProgramService: hands out sequences."""

from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.programs import Programs
from tweezer.batch.store.programs import find_program
from tweezer.database.database import Database
from tweezer.internal.v1.program_service_pb2 import (
    BuildProgramRequest,
    BuildProgramResponse,
    GetProgramRequest,
    GetProgramResponse,
)
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceServicer
from tweezer.rpc.context import Context
from tweezer.rpc.errors import NotFound


class ProgramServicer(ProgramServiceServicer):
    """Serves ProgramService."""

    def __init__(self, database: Database, programs: Programs) -> None:
        self._database, self._programs = database, programs

    async def GetProgram(self, request: GetProgramRequest, context: Context) -> GetProgramResponse:
        """Gets the text of a sequence."""
        return GetProgramResponse(sequence=await self._text(request.program_hash))

    async def BuildProgram(
        self, request: BuildProgramRequest, context: Context
    ) -> BuildProgramResponse:
        """Builds a sequence with the values of its variables."""
        text = await self._text(request.program_hash)
        try:
            facts = await self._programs.check_sequence(text, request.program_hash)
            if not facts.needs_values:
                return BuildProgramResponse(sequence=text)
            if not request.HasField("variables_json"):
                return BuildProgramResponse()
            built = await self._programs.build(text, request.variables_json)
            return BuildProgramResponse(sequence=built)
        except Refused:  # the values are of the right shape, but for example out of range
            return BuildProgramResponse()

    async def _text(self, program_hash: str) -> str:
        text = await self._database.read(lambda c: find_program(c, program_hash))
        if text is None:
            raise NotFound(f"program {program_hash[:64]} not found")
        return text
