"""Ends leases whose time has run out, when it runs out."""

import structlog

from tweezer.database.database import Database
from tweezer.job.leasing import Leasing
from tweezer.job.metrics import JobMetrics
from tweezer.job.signals import Alarm
from tweezer.job.store import leases

log = structlog.get_logger(__name__)


class ExpiryLoop:
    """Sleeps until the earliest end of a lease and takes the jobs back that are overdue."""

    def __init__(
        self,
        database: Database,
        leasing: Leasing,
        alarm: Alarm,
        metrics: JobMetrics,
        grace_s: float,
    ) -> None:
        self._database, self._leasing, self._alarm = database, leasing, alarm
        self._metrics = metrics
        self._grace = round(grace_s * 1_000_000)

    async def run(self) -> None:
        """Sweeps for ever."""
        spared = False
        while True:
            self._alarm.clear()
            self._alarm.set(await self._database.read(leases.earliest_expiry))
            await self._alarm.ring()
            # Not twice in a row: a process that is always late must still take jobs back.
            spared = await self._leasing.expire(0 if spared else self._grace)
            if spared:
                self._metrics.recovered("leases spared", 1)
                log.warning("leases last longer: nobody could renew them for a while")
