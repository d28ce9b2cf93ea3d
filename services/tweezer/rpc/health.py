"""Health that tells the truth: a service serves while what it needs answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tweezer.process.notify import tell_ready

log = structlog.get_logger(__name__)

#: Returns when what a service needs answers, and raises when it cannot.
Check = Callable[[], Awaitable[object]]


class HealthLoop:
    """Asks again and again whether the services can serve, and publishes it under their names."""

    def __init__(
        self,
        servicer: health.aio.HealthServicer,
        service_names: Sequence[str],
        check: Check,
        interval_s: float,
        patience_s: float,
    ) -> None:
        self._servicer, self._names = servicer, ("", *service_names)
        self._check, self._interval_s, self._patience_s = check, interval_s, patience_s
        self._serving: bool | None = None

    async def run(self) -> None:
        """Checks for ever."""
        while True:
            # Not a wait for anything: it bounds how often is asked.
            await asyncio.sleep(self._interval_s)
            await self.look()

    async def look(self) -> None:
        """Checks once; returns when there is an answer, however late that is."""
        asked = asyncio.ensure_future(self._answers())
        try:
            done, _ = await asyncio.wait({asked}, timeout=self._patience_s)
            if not done:
                await self._publish(False, f"no answer in {self._patience_s:g} s")
            problem = await asked
        finally:
            asked.cancel()
        await self._publish(problem is None, problem)

    async def _answers(self) -> str | None:
        """Returns what is wrong, if anything is."""
        try:
            await self._check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the service cannot serve
            return str(error) or type(error).__name__
        return None

    async def _publish(self, serving: bool, problem: str | None) -> None:
        if serving is self._serving:
            return
        if not serving:
            log.error("cannot serve at present", cause=problem)
        elif self._serving is False:
            log.warning("can serve again")
        self._serving = serving
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._servicer.set(name, status)
        if serving:
            tell_ready()
