"""`tweezer webhooks`: what became of messages to web servers of users, and another attempt."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tweezer.cli.operators import OperationFailed, Operator, operate
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers

if TYPE_CHECKING:
    from tweezer.v1.webhook_service_pb2 import ResendWebhookMessagesRequest, WebhookMessage

webhooks = typer.Typer(
    help="Show messages to web servers of users and send them again.", no_args_is_help=True
)


class Status(StrEnum):
    """What became of a message."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@webhooks.command("list")
def list_messages(
    status: Annotated[Status | None, typer.Option(help="Only those with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    data_dir: DataDir = None,
) -> None:
    """Show messages, the newest first."""

    async def show(operator: Operator) -> None:
        from tweezer.v1.webhook_service_pb2 import (
            ListWebhookMessagesRequest,
            WebhookMessageStatus,
        )
        from tweezer.v1.webhook_service_pb2_grpc import WebhookServiceStub

        request = ListWebhookMessagesRequest(size=limit)
        if status is not None:
            request.status = WebhookMessageStatus.Value(f"WEBHOOK_MESSAGE_STATUS_{status.name}")
        found: list[WebhookMessage] = []
        for channel in (operator.batch, operator.job):
            stub = WebhookServiceStub(channel)
            response = await stub.ListWebhookMessages(request, metadata=operator.metadata)
            found.extend(response.messages)
        found.sort(key=lambda message: message.create_time.ToNanoseconds(), reverse=True)
        for message in found[:limit]:
            answers().print(_line(message), markup=False, soft_wrap=True)

    operate(show, resolve_data_dir(data_dir))


@webhooks.command("resend")
def resend(
    message_id: Annotated[
        str | None, typer.Argument(help="Identifier of a failed message.", show_default=False)
    ] = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Every message that failed.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Send failed messages again."""
    if all_failed == (message_id is not None):
        raise typer.BadParameter("give either an identifier or --all-failed")

    async def send(operator: Operator) -> None:
        from tweezer.v1.webhook_service_pb2 import ResendWebhookMessagesRequest

        request = ResendWebhookMessagesRequest(message_id=message_id or "", all_failed=all_failed)
        number = await _resend(operator, request)
        answers().print(f"{number} sent again", markup=False)

    operate(send, resolve_data_dir(data_dir))


@webhooks.command("secret")
def secret(
    project_id: Annotated[str, typer.Argument(help="Identifier of the project.")],
    data_dir: DataDir = None,
) -> None:
    """Print the secret with which a project's servers check the signature of messages."""
    from tweezer.webhooks.settings import WebhookSettings
    from tweezer.webhooks.signing import Signer

    settings = WebhookSettings(data_dir=resolve_data_dir(data_dir))
    signer = Signer.with_keys(settings.webhook_keys)
    answers().print(signer.secret(project_id), markup=False, soft_wrap=True)


async def _resend(operator: Operator, request: "ResendWebhookMessagesRequest") -> int:
    """Asks both services: each knows its own messages."""
    import grpc

    from tweezer.v1.webhook_service_pb2_grpc import WebhookServiceStub

    number, unknown = 0, 0
    for channel in (operator.batch, operator.job):
        try:
            response = await WebhookServiceStub(channel).ResendWebhookMessages(
                request, metadata=operator.metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            unknown, reason = unknown + 1, error.details()
        else:
            number += response.messages_count
    if unknown == 2:
        raise OperationFailed(reason)
    return number


def _line(message: "WebhookMessage") -> str:
    from tweezer.v1.webhook_service_pb2 import WebhookMessageStatus

    status = WebhookMessageStatus.Name(message.status).removeprefix("WEBHOOK_MESSAGE_STATUS_")
    facts = [
        message.create_time.ToJsonString()[:19] + "Z",
        message.id,
        f"{status.lower():<9}",
        f"{message.event:<14}",
        f"attempts={message.attempts}",
        message.url,
    ]
    if message.error:
        facts.append(message.error)
    return "  ".join(facts)
