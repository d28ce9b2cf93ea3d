"""Mutual TLS in front of a real server: who may call internal RPCs, and what clients see."""

import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from free_ports import free_port

from tweezer.cli.authority import Authority
from tweezer.internal.v1 import program_service_pb2 as program
from tweezer.internal.v1 import program_service_pb2_grpc as program_grpc
from tweezer.process.channels import LOAD_BALANCING, channel_options, open_channel
from tweezer.process.run import StartFailed
from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.internal_callers import CALLERS
from tweezer.rpc.server import build_server, start_server
from tweezer.rpc.service_key import ensure_service_key, read_service_key
from tweezer.rpc.settings import RpcSettings
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import batch_service_pb2_grpc as batch_grpc
from tweezer.v1 import device_service_pb2 as device
from tweezer.v1 import device_service_pb2_grpc as device_grpc


class Programs(program_grpc.ProgramServiceServicer):
    async def GetProgram(self, request: Any, context: Any) -> Any:
        return program.GetProgramResponse(sequence="s")


class Devices(device_grpc.DeviceServiceServicer):
    async def ListPublicDevices(self, request: Any, context: Any) -> Any:
        return device.ListPublicDevicesResponse(total_size=1)


class Batches(batch_grpc.BatchServiceServicer):
    pass


class Counted(device_grpc.DeviceServiceServicer, program_grpc.ProgramServiceServicer):
    """A replica that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def ListPublicDevices(self, request: Any, context: Any) -> Any:
        self.calls += 1
        return device.ListPublicDevicesResponse(total_size=1)

    async def GetProgram(self, request: Any, context: Any) -> Any:
        self.calls += 1
        return program.GetProgramResponse(sequence="s")


@dataclass
class Place:
    """A server with certificates, and the folder they are in."""

    folder: Path
    data_dir: Path
    public: str
    internal: str

    def settings(self, name: str, folder: Path | None = None) -> RpcSettings:
        """Returns the settings of one of our processes."""
        return settings_of(name, folder or self.folder, self.data_dir)


def settings_of(name: str, folder: Path, data_dir: Path) -> RpcSettings:
    pem = folder / f"{name}.pem"
    return RpcSettings(
        data_dir=data_dir,
        tls_cert_file=pem,
        tls_key_file=pem,
        tls_ca_file=folder / "ca.crt",
        mtls_cert_file=pem,
        mtls_key_file=pem,
        mtls_ca_file=folder / "ca.crt",
    )


@asynccontextmanager
async def served(folder: Path, data_dir: Path) -> AsyncIterator[Place]:
    settings = settings_of("batch", folder, data_dir)
    server = build_server(settings)
    program_grpc.add_ProgramServiceServicer_to_server(Programs(), server)
    device_grpc.add_DeviceServiceServicer_to_server(Devices(), server)
    batch_grpc.add_BatchServiceServicer_to_server(Batches(), server)
    internal = f"127.0.0.1:{free_port()}"
    port = await start_server(
        server, "127.0.0.1:0", [], tls=settings.tls, internal_address=internal
    )
    yield Place(folder, data_dir, f"127.0.0.1:{port}", internal)
    await server.stop(None)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    Authority(tmp_path / "tls").certify()
    async with served(tmp_path / "tls", tmp_path / "data") as place:
        yield place


async def get_program(channel: grpc.aio.Channel, **options: Any) -> str:
    stub = program_grpc.ProgramServiceStub(channel)
    return (await stub.GetProgram(program.GetProgramRequest(), timeout=20, **options)).sequence


async def list_devices(channel: grpc.aio.Channel) -> int:
    stub = device_grpc.DeviceServiceStub(channel)
    return (await stub.ListPublicDevices(device.ListPublicDevicesRequest(), timeout=20)).total_size


@asynccontextmanager
async def refused(code: str) -> AsyncIterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code().name == code, caught.value.details()


@pytest.mark.parametrize("name", ["job", "execution"])
async def test_a_process_with_a_certificate_may_call(place: Place, name: str) -> None:
    async with open_service_channel(place.settings(name), place.internal) as channel:
        assert await get_program(channel) == "s"


@pytest.mark.parametrize("name", ["gateway", "batch"])
async def test_a_process_without_a_reason_may_not(place: Place, name: str) -> None:
    async with (
        open_service_channel(place.settings(name), place.internal) as channel,
        refused("NOT_FOUND"),
    ):
        await get_program(channel)


async def test_on_the_port_for_clients_no_certificate_opens_an_internal_rpc(place: Place) -> None:
    async with (
        open_service_channel(place.settings("job"), place.public) as channel,
        refused("NOT_FOUND"),
    ):
        await get_program(channel)


async def test_the_service_key_opens_nothing_where_there_are_certificates(place: Place) -> None:
    ensure_service_key(place.settings("job").service_key_file)
    key = read_service_key(place.settings("job").service_key_file)
    metadata = [("authorization", f"Service {key}")]
    async with open_channel(place.public, place.folder / "ca.crt") as channel, refused("NOT_FOUND"):
        await get_program(channel, metadata=metadata)


async def test_the_internal_port_wants_a_certificate_of_the_authority(
    place: Place, tmp_path: Path
) -> None:
    async with (
        open_channel(place.internal, place.folder / "ca.crt") as channel,
        refused("UNAVAILABLE"),
    ):
        await list_devices(channel)
    foreign = tmp_path / "foreign"
    Authority(foreign).certify()
    shutil.copy(place.folder / "ca.crt", foreign / "ca.crt")  # it trusts ours, ours not it
    async with (
        open_service_channel(place.settings("job", foreign), place.internal) as channel,
        refused("UNAVAILABLE"),
    ):
        await get_program(channel)


async def test_a_certificate_is_no_user(place: Place) -> None:
    async with (
        open_service_channel(place.settings("job"), place.internal) as channel,
        refused("UNAUTHENTICATED"),
    ):
        await batch_grpc.BatchServiceStub(channel).GetBatch(batch.GetBatchRequest(), timeout=20)


async def test_clients_need_no_certificate_but_the_authority(place: Place, tmp_path: Path) -> None:
    async with open_channel(place.public, place.folder / "ca.crt") as channel:
        assert await list_devices(channel) == 1
    Authority(tmp_path / "foreign").certify()
    async with (
        open_channel(place.public, tmp_path / "foreign" / "ca.crt") as channel,
        refused("UNAVAILABLE"),
    ):
        await list_devices(channel)
    async with open_channel(place.public, None) as channel, refused("UNAVAILABLE"):
        await list_devices(channel)


async def test_a_server_by_another_name_is_not_trusted(tmp_path: Path) -> None:
    """Its certificate is genuine, but for another host."""
    authority = Authority(tmp_path / "tls")
    authority.certify(["tweezer.example"])
    async with served(tmp_path / "tls", tmp_path / "data") as place:
        target = ("grpc.ssl_target_name_override", "tweezer.example")
        async with open_channel(place.public, authority.certificate_file, options=[target]) as good:
            assert await list_devices(good) == 1
        target = ("grpc.ssl_target_name_override", "other.example")
        async with (
            open_channel(place.public, authority.certificate_file, options=[target]) as bad,
            refused("UNAVAILABLE"),
        ):
            await list_devices(bad)


async def test_a_renewed_certificate_is_shown_without_a_restart(place: Place) -> None:
    """And files that do not fit each other, half of a renewal, break nothing."""
    authority = Authority(place.folder)
    before = shown(place.public)
    (kept, *_) = authority.certify()
    assert not kept.made
    assert shown(place.public) == before
    authority.certify(anew=True)
    async with open_channel(place.public, authority.certificate_file) as channel:
        assert await list_devices(channel) == 1
    after = shown(place.public)
    assert after != before
    (place.folder / "batch.pem").write_text("half")
    assert shown(place.public) == after
    async with open_channel(place.public, authority.certificate_file) as channel:
        assert await list_devices(channel) == 1


def shown(address: str) -> str:
    """Returns the certificate that a server shows."""
    import ssl

    host, port = address.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=20) as raw,
        context.wrap_socket(raw) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
    assert certificate is not None
    return ssl.DER_cert_to_PEM_cert(certificate)


# --- several replicas behind one address ----------------------------------------------------


@dataclass
class Replica:
    """A server with certificates for names that are not its address."""

    server: grpc.aio.Server
    calls: Counted
    public: str
    internal: str


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[list[Replica]]:
    """Two, each with a certificate of its own for the name that stands for both."""
    authority = Authority(tmp_path / "tls")
    found = []
    for _ in range(2):
        authority.certify(["tweezer.example"], anew=True)
        settings = settings_of("batch", tmp_path / "tls", tmp_path / "data")
        server, calls = build_server(settings), Counted()
        device_grpc.add_DeviceServiceServicer_to_server(calls, server)
        program_grpc.add_ProgramServiceServicer_to_server(calls, server)
        internal = f"127.0.0.1:{free_port()}"
        port = await start_server(
            server, "127.0.0.1:0", [], tls=settings.tls, internal_address=internal
        )
        found.append(Replica(server, calls, f"127.0.0.1:{port}", internal))
    yield found
    for replica in found:
        await replica.server.stop(None)


def caller(tmp_path: Path, server_name: str | None) -> RpcSettings:
    settings = settings_of("job", tmp_path / "tls", tmp_path / "data")
    return settings.model_copy(update={"tls_server_name": server_name})


def open_either(settings: RpcSettings, replicas: list[Replica], kind: str) -> grpc.aio.Channel:
    """Opens a channel to both, as clients do or as our own processes do."""
    if kind == "internal":
        return open_service_channel(settings, ",".join(each.internal for each in replicas))
    options = [
        *channel_options(settings, 1024 * 1024),
        ("grpc.service_config", json.dumps(LOAD_BALANCING)),
    ]
    public = ",".join(each.public for each in replicas)
    return open_channel(public, settings.tls.authority, options=options)


@pytest.mark.parametrize("kind", ["public", "internal"])
async def test_calls_go_to_each_replica_in_turn_and_on_when_one_is_killed(
    tmp_path: Path, replicas: list[Replica], kind: str
) -> None:
    call = {"public": list_devices, "internal": get_program}[kind]
    async with open_either(caller(tmp_path, "tweezer.example"), replicas, kind) as channel:
        while not all(each.calls.calls for each in replicas):  # until both connections are there
            await call(channel)
        before = [each.calls.calls for each in replicas]
        for _ in range(10):
            await call(channel)
        assert [each.calls.calls - had for each, had in zip(replicas, before, strict=True)] == [
            5
        ] * 2
        gone, left = replicas
        await gone.server.stop(None)
        before = [left.calls.calls]
        for _ in range(10):
            await call(channel)
        assert left.calls.calls - before[0] == 10


@pytest.mark.parametrize("kind", ["public", "internal"])
async def test_replicas_without_the_name_get_no_call(
    tmp_path: Path, replicas: list[Replica], kind: str
) -> None:
    call = {"public": list_devices, "internal": get_program}[kind]
    async with (
        open_either(caller(tmp_path, "other.example"), replicas, kind) as channel,
        refused("UNAVAILABLE"),
    ):
        await call(channel)
    assert [each.calls.calls for each in replicas] == [0, 0]


def test_several_replicas_by_tls_need_a_name_for_all(
    tmp_path: Path, replicas: list[Replica]
) -> None:
    for kind in ("public", "internal"):
        with pytest.raises(StartFailed, match="needs TWEEZER_TLS_SERVER_NAME"):
            open_either(caller(tmp_path, None), replicas, kind)


def test_every_internal_service_has_its_callers() -> None:
    internal = {
        method.rpartition("/")[0] for method, who in ACCESS.items() if who is Access.SERVICE
    }
    assert internal == set(CALLERS)


@pytest.mark.parametrize("broken", ["missing", "unfit"])
def test_certificates_that_cannot_be_used_are_named(tmp_path: Path, broken: str) -> None:
    authority = Authority(tmp_path / "tls")
    authority.certify()
    settings = settings_of("batch", tmp_path / "tls", tmp_path)
    if broken == "missing":
        (tmp_path / "tls" / "batch.pem").unlink()
    else:
        key = (tmp_path / "tls" / "job.pem").read_text().partition("-----BEGIN CERTIFICATE")[0]
        certificate = (tmp_path / "tls" / "batch.pem").read_text()
        text = re.sub(r"(?s)^.*?(?=-----BEGIN CERTIFICATE)", key, certificate)
        (tmp_path / "tls" / "batch.pem").write_text(text)
    with pytest.raises(StartFailed, match=r"batch\.pem"):
        open_service_channel(settings, "127.0.0.1:1")
