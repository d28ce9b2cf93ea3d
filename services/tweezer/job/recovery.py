"""Puts right what crashes, lost workers and outages leave behind: at the start and ever after.

| left behind | put right by |
| --- | --- |
| held jobs whose batch was never committed | `AdditionLoop`: they are dropped |
| progress that BatchService has not acknowledged | `ProgressLoop`: it is sent again |
| leases of workers that are gone | `ExpiryLoop`: the jobs wait again, or fail for good |
| results that no row names, rows without their result | `ResultSweep`: removed, told |
| results older than wanted | `ResultRetention`: removed |

Each begins by looking at what is stored, and every step may be done twice. So a loop that is ended
by an outage of the database or of the result store just begins again after a wait.
"""

from collections.abc import Callable, Coroutine
from typing import Final

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock
from tweezer.internal.v1.progress_service_pb2_grpc import ProgressServiceStub
from tweezer.job.addition_loop import AdditionLoop
from tweezer.job.expiry_loop import ExpiryLoop
from tweezer.job.leasing import Leasing
from tweezer.job.metrics import JobMetrics
from tweezer.job.progress_loop import ProgressLoop
from tweezer.job.result_retention import ResultRetention
from tweezer.job.result_sweep import ResultSweep
from tweezer.job.results import ResultStore
from tweezer.job.settings import JobSettings
from tweezer.job.signals import Signals
from tweezer.process.keep_going import keep_going
from tweezer.rpc.errors import Unavailable

_Run = Callable[[], Coroutine[None, None, None]]

_HOUR_S: Final = 3600.0


class Recovery:
    """The loops of the job service."""

    def __init__(
        self,
        settings: JobSettings,
        database: Database,
        results: ResultStore,
        leasing: Leasing,
        service: ProgressServiceStub,
        signals: Signals,
        clock: Clock,
        metrics: JobMetrics,
    ) -> None:
        progress = ProgressLoop(database, service, signals.progress, settings.progress_interval_s)
        expiry = ExpiryLoop(database, leasing, signals.lease_end, metrics, settings.lease_grace_s)
        additions = AdditionLoop(
            database,
            service,
            signals.addition_check,
            signals.jobs_ready,
            clock,
            settings.addition_grace_s,
            metrics,
        )
        sweep = ResultSweep(
            database,
            results,
            clock,
            metrics,
            delay_s=settings.result_sweep_delay_s,
            interval_s=settings.result_sweep_interval_h * _HOUR_S,
            grace_s=settings.result_sweep_grace_s,
        )
        retention = ResultRetention(database, results, clock, settings.result_retention_days)
        self._loops: dict[str, _Run] = {
            "progress": progress.run,
            "expiry": expiry.run,
            "additions": additions.run,
            "result_sweep": sweep.run,
            "result_retention": retention.run,
        }

    def loops(self) -> dict[str, Coroutine[None, None, None]]:
        """Returns the loops by name, to be run beside the service."""
        return {name: keep_going(name, run, Unavailable) for name, run in self._loops.items()}
