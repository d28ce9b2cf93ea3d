"""`tweezer ready`: whether a process of this machine serves, for whoever watches over it."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tweezer.cli.failure import Failure
from tweezer.cli.ports import local_address
from tweezer.cli.serve import Process
from tweezer.cli.terminal import fail

if TYPE_CHECKING:
    from tweezer.process.settings import ProcessSettings

Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How long the answer may take.")
]


class NotReady(Failure):
    """A process does not serve; the text says what it answers."""


def ready(
    process: Annotated[Process, typer.Argument(help="What to ask.", show_default=False)],
    timeout: Timeout = 5.0,
) -> None:
    """Fail unless a process serves; it is found by the same TWEEZER_* variables that it has."""
    settings, where = _settings(process)
    tls = settings.tls
    if tls.own is not None and tls.authority is None:
        fail("it serves by TLS, and no TWEEZER_TLS_CA_FILE says whom to trust")
    trusted = None if tls.own is None else tls.authority
    try:
        if process is Process.GATEWAY:
            ask_http(where, trusted, timeout)
        else:
            ask_grpc(where, trusted, timeout)
    except NotReady as error:
        fail(f"{process} at {where} does not serve: {error}")


def ask_http(where: str, authority: Path | None, timeout: float) -> None:
    """Raises NotReady unless a gateway says that the system can serve."""
    import httpx

    scheme = "http" if authority is None else "https"
    verify = True if authority is None else ssl.create_default_context(cafile=authority)
    try:
        answer = httpx.get(
            f"{scheme}://{where}/ready", timeout=timeout, verify=verify, trust_env=False
        )
    except httpx.TransportError as error:
        raise NotReady(str(error) or type(error).__name__) from None
    if not answer.is_success:
        raise NotReady(answer.text)


def ask_grpc(where: str, authority: Path | None, timeout: float) -> None:
    """Raises NotReady unless a service says that it serves."""
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    if authority is None:
        channel = grpc.insecure_channel(where)
    else:
        channel = grpc.secure_channel(where, grpc.ssl_channel_credentials(authority.read_bytes()))
    with channel:
        stub: Any = HealthStub(channel)  # its published type does not know the call
        try:
            answer = stub.Check(HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            raise NotReady(error.code().name) from None
    if answer.status != HealthCheckResponse.SERVING:
        raise NotReady(HealthCheckResponse.ServingStatus.Name(answer.status))


def _settings(process: Process) -> "tuple[ProcessSettings, str]":
    """Returns the settings of a process and where it listens, as seen from this machine."""
    if process is Process.GATEWAY:
        from tweezer.gateway.settings import GatewaySettings

        gateway = GatewaySettings()
        return gateway, local_address(gateway.gateway_host, gateway.gateway_port)
    if process is Process.BATCH:
        from tweezer.batch.settings import BatchSettings

        batch = BatchSettings()
        return batch, _local(batch.batch_listen)
    if process is Process.JOB:
        from tweezer.job.settings import JobSettings

        job = JobSettings()
        return job, _local(job.job_listen)
    from tweezer.execution.settings import ExecutionSettings

    execution = ExecutionSettings()
    return execution, _local(execution.execution_listen)


def _local(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return local_address(host.strip("[]"), int(port)) if port.isdigit() else listen
