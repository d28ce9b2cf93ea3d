"""Tells JobService which devices are held back: at the start, and at each change."""

import asyncio
from collections.abc import Iterable

import grpc
import structlog

from tweezer.batch.store.device_pauses import paused_devices
from tweezer.database.database import Database
from tweezer.internal.v1.queue_service_pb2 import ApplyDevicePausesRequest, DevicePause
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.process.backoff import Backoff

log = structlog.get_logger(__name__)


class DevicePauseLoop:
    """Says the whole of it each time, so that only the newest matters."""

    def __init__(
        self, database: Database, queue: QueueServiceStub, device_types: Iterable[str]
    ) -> None:
        self._database, self._queue = database, queue
        self._device_types = frozenset(device_types)
        self._something_new = asyncio.Event()
        # An older word must not overtake a newer one.
        self._one_at_a_time = asyncio.Lock()
        self._backoff = Backoff()

    def wake(self) -> None:
        """Says that a pause or its end has been committed."""
        self._something_new.set()

    async def tell_now(self, at_most_s: float) -> None:
        """Tells of a change at once, for at most so long.

        What takes longer is the loop's: `wake` it afterwards.
        """
        try:
            async with asyncio.timeout(at_most_s):
                await self._tell()
        except (TimeoutError, grpc.aio.AioRpcError):
            log.warning("JobService has not heard yet that a device was paused or resumed")

    async def run(self) -> None:
        """Tells for ever."""
        while True:
            self._something_new.clear()
            try:
                await self._tell()
            except grpc.aio.AioRpcError as error:
                if self._backoff.is_first:
                    log.warning("JobService is away; pauses wait", code=error.code().name)
                await asyncio.sleep(self._backoff.wait_s())
            else:
                self._backoff.reset()
                await self._something_new.wait()

    async def _tell(self) -> None:
        async with self._one_at_a_time:
            paused = await self._database.read(paused_devices)
            await self._queue.ApplyDevicePauses(
                ApplyDevicePausesRequest(
                    pauses=[
                        DevicePause(device_type=device_type, paused=device_type in paused)
                        for device_type in sorted(self._device_types | paused)
                    ]
                )
            )
