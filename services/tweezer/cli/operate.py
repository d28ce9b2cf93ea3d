"""`tweezer batches` and `tweezer devices`: hold work back and let it go on, as the first user."""

from typing import Annotated

import typer

from tweezer.cli.operators import Operator, operate
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers

BatchId = Annotated[str, typer.Argument(help="Identifier of the batch.")]
DeviceType = Annotated[str, typer.Argument(help="Type of the device, as in EMU_FREE.")]

batches = typer.Typer(help="Hold batches back and let them go on.", no_args_is_help=True)
devices = typer.Typer(help="Hold devices back and let them go on.", no_args_is_help=True)


@batches.command("pause")
def pause_batch(batch_id: BatchId, data_dir: DataDir = None) -> None:
    """Start no more jobs of a batch; those that run go on."""

    async def pause(operator: Operator) -> None:
        from tweezer.v1.operator_service_pb2 import PauseBatchRequest
        from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

        request = PauseBatchRequest(batch_id=batch_id)
        stub = OperatorServiceStub(operator.batch)
        await stub.PauseBatch(request, metadata=operator.metadata)
        _say(f"batch {batch_id} is paused")

    operate(pause, resolve_data_dir(data_dir))


@batches.command("resume")
def resume_batch(batch_id: BatchId, data_dir: DataDir = None) -> None:
    """Let a paused batch go on."""

    async def resume(operator: Operator) -> None:
        from tweezer.v1.operator_service_pb2 import ResumeBatchRequest
        from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

        request = ResumeBatchRequest(batch_id=batch_id)
        stub = OperatorServiceStub(operator.batch)
        await stub.ResumeBatch(request, metadata=operator.metadata)
        _say(f"batch {batch_id} goes on")

    operate(resume, resolve_data_dir(data_dir))


@devices.command("pause")
def pause_device(device_type: DeviceType, data_dir: DataDir = None) -> None:
    """Start no more jobs on a device; those that run go on."""

    async def pause(operator: Operator) -> None:
        from tweezer.v1.operator_service_pb2 import PauseDeviceRequest
        from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

        request = PauseDeviceRequest(device_type=device_type)
        stub = OperatorServiceStub(operator.batch)
        await stub.PauseDevice(request, metadata=operator.metadata)
        _say(f"{device_type} is paused")

    operate(pause, resolve_data_dir(data_dir))


@devices.command("resume")
def resume_device(device_type: DeviceType, data_dir: DataDir = None) -> None:
    """Let a paused device go on."""

    async def resume(operator: Operator) -> None:
        from tweezer.v1.operator_service_pb2 import ResumeDeviceRequest
        from tweezer.v1.operator_service_pb2_grpc import OperatorServiceStub

        request = ResumeDeviceRequest(device_type=device_type)
        stub = OperatorServiceStub(operator.batch)
        await stub.ResumeDevice(request, metadata=operator.metadata)
        _say(f"{device_type} goes on")

    operate(resume, resolve_data_dir(data_dir))


def _say(text: str) -> None:
    answers().print(text, markup=False, soft_wrap=True)
