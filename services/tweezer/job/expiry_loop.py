"""Ends leases whose time has run out, when it runs out."""

from tweezer.database.database import Database
from tweezer.job.leasing import Leasing
from tweezer.job.signals import Alarm
from tweezer.job.store import leases


class ExpiryLoop:
    """Sleeps until the earliest end of a lease and takes the jobs back that are overdue."""

    def __init__(self, database: Database, leasing: Leasing, alarm: Alarm) -> None:
        self._database, self._leasing, self._alarm = database, leasing, alarm

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            self._alarm.clear()
            self._alarm.set(await self._database.read(leases.earliest_expiry))
            await self._alarm.ring()
            await self._leasing.expire()
