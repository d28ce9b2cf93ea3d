"""Turns new jobs away while more wait than the queue shall hold."""

from typing import Final

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.job.store import backlog
from tweezer.rpc.errors import TooMuch

#: How old the number of unfinished jobs may be at most, in microseconds.
_FRESH_US: Final = 5_000_000
#: How often it is counted at most, however many ask, in microseconds.
_SPARING_US: Final = 200_000


class Intake:
    """Keeps the number of unfinished jobs below a limit, give or take those of the last seconds.

    The jobs are counted now and then, not at each addition; what this process takes in meanwhile
    is added. The limit keeps the queue from growing for ever, and need not be exact for that.
    """

    def __init__(self, database: Database, max_unfinished: int, clock: Clock) -> None:
        self._database, self._limit, self._clock = database, max_unfinished, clock
        self._number = 0
        self._counted_at: int | None = None

    async def admit(self, jobs: int) -> None:
        """Counts new jobs in, or raises TooMuch."""
        if self._age() > (_FRESH_US if self._fits(jobs) else _SPARING_US):
            self._counted_at = self._clock()
            self._number = await self._database.scan(backlog.unfinished_jobs)
        if not self._fits(jobs):
            raise TooMuch(
                f"{self._number} jobs wait or run already, and the queue takes {self._limit}; "
                "try again when some are finished"
            )
        self._number += jobs

    def _fits(self, jobs: int) -> bool:
        return self._number + jobs <= self._limit

    def _age(self) -> float:
        return float("inf") if self._counted_at is None else self._clock() - self._counted_at
