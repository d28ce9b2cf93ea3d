"""Turns new jobs away while their project has too much stored."""

from tweezer.database.database import Database
from tweezer.job.store import storage
from tweezer.rpc.errors import TooMuch


class StorageLimit:
    """Bounds what results and sequences of a project take together.

    Looked at when jobs come in. What those that were let in still bring is stored: a job that has
    run is not thrown away, so that a project can come to have more than the limit.
    """

    def __init__(self, database: Database, max_bytes: int) -> None:
        self._database, self._max_bytes = database, max_bytes

    async def admit(self, project_id: str, sequence_bytes: int) -> None:
        """Raises TooMuch when a project has too much already; BatchService says of sequences."""
        results = await self._database.read(lambda c: storage.result_bytes(c, project_id))
        if results + sequence_bytes >= self._max_bytes:
            raise TooMuch(
                f"project {project_id} has {results + sequence_bytes} bytes of results and"
                f" sequences stored, and the limit is {self._max_bytes}: an operator can delete"
                " finished batches"
            )
