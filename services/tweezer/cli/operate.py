"""`tweezer batches` and `tweezer devices`: hold work back and let it go on, as the first user."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tweezer.cli import endpoints
from tweezer.cli.facts import ConnectionFacts, connection_facts, read_account
from tweezer.cli.failure import Failure
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers, fail

if TYPE_CHECKING:
    from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

    Operation = Callable[["Operator"], Awaitable[str]]

BatchId = Annotated[str, typer.Argument(help="Identifier of the batch.")]
DeviceType = Annotated[str, typer.Argument(help="Type of the device, as in EMU_FREE.")]

batches = typer.Typer(help="Hold batches back and let them go on.", no_args_is_help=True)
devices = typer.Typer(help="Hold devices back and let them go on.", no_args_is_help=True)


class OperationFailed(Failure):
    """The service refused; the text is its reason."""


class Operator:
    """OperatorService, with the token of an operator."""

    def __init__(self, stub: "OperatorServiceStub", token: str) -> None:
        self.stub = stub
        self.metadata = (("authorization", f"Bearer {token}"),)


@batches.command("pause")
def pause_batch(batch_id: BatchId, data_dir: DataDir = None) -> None:
    """Start no more jobs of a batch; those that run go on."""

    async def pause(operator: Operator) -> str:
        from tweezer.v1.operator_service_pb2 import PauseBatchRequest

        request = PauseBatchRequest(batch_id=batch_id)
        await operator.stub.PauseBatch(request, metadata=operator.metadata)
        return f"batch {batch_id} is paused"

    _operate(pause, resolve_data_dir(data_dir))


@batches.command("resume")
def resume_batch(batch_id: BatchId, data_dir: DataDir = None) -> None:
    """Let a paused batch go on."""

    async def resume(operator: Operator) -> str:
        from tweezer.v1.operator_service_pb2 import ResumeBatchRequest

        request = ResumeBatchRequest(batch_id=batch_id)
        await operator.stub.ResumeBatch(request, metadata=operator.metadata)
        return f"batch {batch_id} goes on"

    _operate(resume, resolve_data_dir(data_dir))


@devices.command("pause")
def pause_device(device_type: DeviceType, data_dir: DataDir = None) -> None:
    """Start no more jobs on a device; those that run go on."""

    async def pause(operator: Operator) -> str:
        from tweezer.v1.operator_service_pb2 import PauseDeviceRequest

        request = PauseDeviceRequest(device_type=device_type)
        await operator.stub.PauseDevice(request, metadata=operator.metadata)
        return f"{device_type} is paused"

    _operate(pause, resolve_data_dir(data_dir))


@devices.command("resume")
def resume_device(device_type: DeviceType, data_dir: DataDir = None) -> None:
    """Let a paused device go on."""

    async def resume(operator: Operator) -> str:
        from tweezer.v1.operator_service_pb2 import ResumeDeviceRequest

        request = ResumeDeviceRequest(device_type=device_type)
        await operator.stub.ResumeDevice(request, metadata=operator.metadata)
        return f"{device_type} goes on"

    _operate(resume, resolve_data_dir(data_dir))


def _operate(operation: "Operation", data_dir: Path) -> None:
    try:
        said = asyncio.run(_perform(operation, _facts(data_dir)))
    except Failure as error:
        fail(str(error))
    answers().print(said, markup=False, soft_wrap=True)


def _facts(data_dir: Path) -> ConnectionFacts:
    where, account = endpoints.read(data_dir), read_account(data_dir)
    if where is None or account is None:
        raise OperationFailed(f"nothing runs on {data_dir}: start it with `tweezer up`")
    return connection_facts(account, where)


async def _perform(operation: "Operation", facts: ConnectionFacts) -> str:
    import grpc

    try:
        async with _logged_in(facts) as operator:
            return await operation(operator)
    except grpc.aio.AioRpcError as error:
        raise OperationFailed(error.details() or error.code().name) from None


@asynccontextmanager
async def _logged_in(facts: ConnectionFacts) -> AsyncIterator[Operator]:
    import grpc

    from tweezer.v1.account_service_pb2 import IssueTokenRequest
    from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
    from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

    async with grpc.aio.insecure_channel(facts.grpc["batch"]) as channel:
        request = IssueTokenRequest(username=facts.username, password=facts.password)
        issued = await AccountServiceStub(channel).IssueToken(request)
        yield Operator(OperatorServiceStub(channel), issued.access_token)
