"""DeviceService: says what batches can run on."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tweezer.batch.conversion import batch_to_message
from tweezer.batch.devices.catalogue import Availability, Catalogue, Device
from tweezer.batch.filters import LARGEST_PAGE, queue_conditions, queue_order
from tweezer.batch.store.device_pauses import paused_devices
from tweezer.batch.store.reads import list_batches, mean_wait_s
from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros
from tweezer.rpc.context import Context
from tweezer.rpc.errors import NotFound
from tweezer.rpc.identity import current_caller
from tweezer.rpc.paging import DEFAULT_ORDER, read_page
from tweezer.v1 import device_pb2
from tweezer.v1.device_pb2 import DeviceAvailability, DeviceFilter
from tweezer.v1.device_service_pb2 import (
    GetDeviceRequest,
    GetDeviceResponse,
    ListDevicesRequest,
    ListDevicesResponse,
    ListPublicDevicesRequest,
    ListPublicDevicesResponse,
    ListQueueRequest,
    ListQueueResponse,
)
from tweezer.v1.device_service_pb2_grpc import DeviceServiceServicer
from tweezer.v1.paging_pb2 import Page

#: Over which time waits are averaged, in microseconds.
_LAST_HOUR: Final = 3600 * 1_000_000

#: Longest name that is repeated in a message, in characters.
_LONGEST_NAME: Final = 64

_AVAILABILITY: Final[Mapping[Availability, DeviceAvailability.ValueType]] = {
    word: DeviceAvailability.Value(f"DEVICE_AVAILABILITY_{word}") for word in Availability
}

#: What lists can be ordered by, as the REST API names it. Devices are as old as the service.
_ORDER: Final[Mapping[str, Callable[[Device], Any]]] = {
    "created_at": lambda _: 0,
    "device_type": lambda device: device.device_type,
    "availability": lambda device: device.availability,
}


class DeviceServicer(DeviceServiceServicer):
    """Serves DeviceService from the catalogue."""

    def __init__(self, database: Database, catalogue: Catalogue, clock: Clock = now_micros) -> None:
        self._database, self._catalogue, self._clock = database, catalogue, clock

    async def ListDevices(
        self, request: ListDevicesRequest, context: Context
    ) -> ListDevicesResponse:
        """Lists the devices."""
        devices, total = self._select(request.filter, request.page, only_public=False)
        return ListDevicesResponse(
            devices=[await self.message(device) for device in devices], total_size=total
        )

    async def GetDevice(self, request: GetDeviceRequest, context: Context) -> GetDeviceResponse:
        """Gets one device by its type name."""
        device = self.existing(request.device_type)
        return GetDeviceResponse(device=await self.message(device))

    async def ListQueue(self, request: ListQueueRequest, context: Context) -> ListQueueResponse:
        """Lists the batches of the caller's projects that wait for or run on a device."""
        device = self.existing(request.device_type)
        paging = read_page(request.page, [DEFAULT_ORDER], LARGEST_PAGE)
        conditions = queue_conditions(device.device_type, current_caller().project_ids)
        rows, total = await self._database.scan(
            lambda c: list_batches(c, conditions, queue_order(), paging.size, paging.skip)
        )
        return ListQueueResponse(batches=[batch_to_message(row) for row in rows], total_size=total)

    async def ListPublicDevices(
        self, request: ListPublicDevicesRequest, context: Context
    ) -> ListPublicDevicesResponse:
        """Lists the devices that anybody may see."""
        devices, total = self._select(request.filter, request.page, only_public=True)
        return ListPublicDevicesResponse(
            devices=[await self.message(device) for device in devices], total_size=total
        )

    def existing(self, device_type: str) -> Device:
        """Returns a device, or raises NotFound."""
        device = self._catalogue.find(device_type)
        if device is None:
            raise NotFound(f"device {device_type[:_LONGEST_NAME]} not found")
        return device

    def _select(
        self, wanted: DeviceFilter, page: Page, *, only_public: bool
    ) -> tuple[list[Device], int]:
        paging = read_page(page, _ORDER, LARGEST_PAGE)
        chosen = [
            device
            for device in self._catalogue
            if (device.public or not only_public) and _matches(device, wanted)
        ]
        chosen.sort(key=_ORDER[paging.column], reverse=not paging.ascending)
        return chosen[paging.skip : paging.skip + paging.size], len(chosen)

    async def message(self, device: Device) -> device_pb2.Device:
        """Returns what is shown of a device."""
        since = self._clock() - _LAST_HOUR
        wait_s = await self._database.scan(lambda c: mean_wait_s(c, device.device_type, since))
        status, status_message = device.status, device.status_message
        paused = await self._database.read(paused_devices)
        if device.device_type in paused and device.availability is Availability.ACTIVE:
            status, status_message = "PAUSED", "held back by an operator"
        return device_pb2.Device(
            id=device.id,
            device_type=device.device_type,
            status=status,
            average_queue_time=wait_s,
            max_atom_num=device.max_atoms,
            is_emulator=device.is_emulator,
            channels=device.channels,
            status_message=status_message,
            allowed_result_types=device.allowed_result_types,
            default_result_types=device.default_result_types,
            description=device.description,
            availability=_AVAILABILITY[device.availability],
            public=device.public,
            specs=device.specs,
        )


def _matches(device: Device, wanted: DeviceFilter) -> bool:
    return (
        (not wanted.device_types or device.device_type in wanted.device_types)
        and (
            not wanted.availabilities or _AVAILABILITY[device.availability] in wanted.availabilities
        )
        and (not wanted.HasField("public") or device.public == wanted.public)
    )
