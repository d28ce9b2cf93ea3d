"""WebhookService: what became of messages, and another attempt. The guard admits operators only."""

from typing import Final

from tweezer.database.database import Database
from tweezer.database.timestamps import Clock, now_micros, to_timestamp
from tweezer.rpc.context import Context
from tweezer.rpc.errors import InvalidInput
from tweezer.v1.webhook_service_pb2 import (
    ListWebhookMessagesRequest,
    ListWebhookMessagesResponse,
    ResendWebhookMessagesRequest,
    ResendWebhookMessagesResponse,
    WebhookMessage,
    WebhookMessageStatus,
)
from tweezer.v1.webhook_service_pb2_grpc import WebhookServiceServicer
from tweezer.webhooks.delivery_loop import DeliveryLoop
from tweezer.webhooks.models import DELIVERED, FAILED, WAITING
from tweezer.webhooks.store import Deliveries, Message

_STATUSES: Final = {
    WAITING: WebhookMessageStatus.WEBHOOK_MESSAGE_STATUS_WAITING,
    DELIVERED: WebhookMessageStatus.WEBHOOK_MESSAGE_STATUS_DELIVERED,
    FAILED: WebhookMessageStatus.WEBHOOK_MESSAGE_STATUS_FAILED,
}
_WORDS: Final = {number: word for word, number in _STATUSES.items()}

#: The most messages of a list, and how many there are when nothing is asked for.
_LARGEST: Final = 1000
_USUAL: Final = 100


class WebhookServicer(WebhookServiceServicer):
    """Serves WebhookService for the messages of one service."""

    def __init__(
        self,
        database: Database,
        deliveries: Deliveries,
        loop: DeliveryLoop,
        clock: Clock = now_micros,
    ) -> None:
        self._database, self._deliveries = database, deliveries
        self._loop, self._clock = loop, clock

    async def ListWebhookMessages(
        self, request: ListWebhookMessagesRequest, context: Context
    ) -> ListWebhookMessagesResponse:
        """Lists messages, the newest first."""
        if not 0 <= request.size <= _LARGEST:
            raise InvalidInput("size", f"must be 0 to {_LARGEST}, not {request.size}")
        status = None
        if request.status:
            status = _WORDS.get(request.status)
            if status is None:
                raise InvalidInput("status", "is not a status of a message")
        found = await self._database.scan(
            lambda c: self._deliveries.messages(c, status, request.size or _USUAL)
        )
        return ListWebhookMessagesResponse(messages=[_message(each) for each in found])

    async def ResendWebhookMessages(
        self, request: ResendWebhookMessagesRequest, context: Context
    ) -> ResendWebhookMessagesResponse:
        """Sends failed messages again."""
        now = self._clock()
        if request.all_failed == bool(request.message_id):
            raise InvalidInput("message_id", "give either an identifier or all_failed")
        if request.all_failed:
            number = await self._database.write(lambda c: self._deliveries.send_all_again(c, now))
        else:
            await self._database.write(
                lambda c: self._deliveries.send_again(c, request.message_id, now)
            )
            number = 1
        self._loop.wake()
        return ResendWebhookMessagesResponse(messages_count=number)


def _message(found: Message) -> WebhookMessage:
    message = WebhookMessage(
        id=found.id,
        event=found.event,
        project_id=found.project_id,
        batch_id=found.batch_id,
        url=found.url,
        status=_STATUSES[found.status],
        attempts=found.attempts,
        error=found.error,
        create_time=to_timestamp(found.created_at),
    )
    if found.next_attempt_at is not None:
        message.next_attempt_time.CopyFrom(to_timestamp(found.next_attempt_at))
    if found.ended_at is not None:
        message.end_time.CopyFrom(to_timestamp(found.ended_at))
    return message
