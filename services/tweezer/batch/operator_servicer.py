"""OperatorService: holds back and deletes. The guard admits operators only."""

from collections.abc import Callable

from sqlalchemy import Connection

from tweezer.batch.conversion import batch_to_message
from tweezer.batch.deciding import Deciding
from tweezer.batch.device_pause_loop import DevicePauseLoop
from tweezer.batch.device_servicer import DeviceServicer
from tweezer.batch.store.device_pauses import pause_device, resume_device
from tweezer.batch.store.reads import find_batch
from tweezer.batch.vacuum import Vacuum, oldest_kept
from tweezer.batch.visible import canonical_batch_id, not_found
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, from_timestamp, now_micros
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput, NotFound
from tweezer.rpc.identity import current_caller
from tweezer.v1.batch_pb2 import Batch
from tweezer.v1.device_pb2 import Device
from tweezer.v1.operator_service_pb2 import (
    PauseBatchRequest,
    PauseBatchResponse,
    PauseDeviceRequest,
    PauseDeviceResponse,
    ResumeBatchRequest,
    ResumeBatchResponse,
    ResumeDeviceRequest,
    ResumeDeviceResponse,
    VacuumRequest,
    VacuumResponse,
)
from tweezer.v1.operator_service_pb2_grpc import OperatorServiceServicer


class OperatorServicer(OperatorServiceServicer):
    """Serves OperatorService. Operators reach the batches of all projects."""

    def __init__(
        self,
        database: Database,
        deciding: Deciding,
        devices: DeviceServicer,
        pauses: DevicePauseLoop,
        vacuum: Vacuum,
        retention_days: float | None,
        wait_s: float,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._deciding, self._devices = database, deciding, devices
        self._pauses, self._wait_s, self._clock = pauses, wait_s, clock
        self._vacuum, self._retention_days = vacuum, retention_days

    async def PauseBatch(self, request: PauseBatchRequest, context: Context) -> PauseBatchResponse:
        """Holds a batch back."""
        return PauseBatchResponse(batch=await self._pause(request.batch_id, paused=True))

    async def ResumeBatch(
        self, request: ResumeBatchRequest, context: Context
    ) -> ResumeBatchResponse:
        """Lets a paused batch go on."""
        return ResumeBatchResponse(batch=await self._pause(request.batch_id, paused=False))

    async def PauseDevice(
        self, request: PauseDeviceRequest, context: Context
    ) -> PauseDeviceResponse:
        """Holds a device back."""
        device_type = self._devices.existing(request.device_type).device_type
        user_id, now = current_caller().user_id, self._clock()
        return PauseDeviceResponse(
            device=await self._change(
                device_type, lambda c: pause_device(c, device_type, user_id, now)
            )
        )

    async def ResumeDevice(
        self, request: ResumeDeviceRequest, context: Context
    ) -> ResumeDeviceResponse:
        """Lets a paused device go on."""
        device_type = self._devices.existing(request.device_type).device_type
        return ResumeDeviceResponse(
            device=await self._change(device_type, lambda c: resume_device(c, device_type))
        )

    async def Vacuum(self, request: VacuumRequest, context: Context) -> VacuumResponse:
        """Deletes finished batches that are old enough, and what nothing needs any more."""
        before = self._ended_before(request)
        vacuum = self._vacuum
        done = await (vacuum.preview(before) if request.dry_run else vacuum.delete(before))
        return VacuumResponse(
            batches=done.batches,
            jobs=done.jobs,
            results=done.results,
            programs=done.programs,
            left_batches=done.left_batches,
        )

    def _ended_before(self, request: VacuumRequest) -> int:
        now = self._clock()
        if request.HasField("ended_before"):
            return max(0, min(from_timestamp(request.ended_before), now))
        if self._retention_days is None:
            raise InvalidInput("ended_before", "is needed where batches are kept for ever")
        return oldest_kept(self._retention_days, now)

    async def _change(self, device_type: str, change: Callable[[Connection], None]) -> Device:
        try:
            await self._database.write(change)
            await self._pauses.tell_now(self._wait_s)
        finally:
            # Also when the caller goes away in this moment and the commit succeeds nevertheless.
            self._pauses.wake()
        return await self._devices.message(self._devices.existing(device_type))

    async def _pause(self, text: str, *, paused: bool) -> Batch:
        batch_id = canonical_batch_id(text)
        await self._deciding.pause(batch_id, paused=paused)
        row = await self._database.read(lambda c: find_batch(c, batch_id))
        if row is None:
            raise NotFound(not_found(batch_id))
        return batch_to_message(row)
