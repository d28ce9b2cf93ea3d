"""How a service of ours delivers messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from tweezer.database.database import Database
from tweezer.process.metrics import Metrics
from tweezer.webhooks.delivery_loop import DeliveryLoop, News
from tweezer.webhooks.metrics import WebhookMetrics
from tweezer.webhooks.sender import Sender
from tweezer.webhooks.settings import WebhookSettings
from tweezer.webhooks.signing import Signer
from tweezer.webhooks.store import Deliveries


@asynccontextmanager
async def delivery_loop(
    settings: WebhookSettings,
    database: Database,
    deliveries: Deliveries,
    news: News,
    metrics: Metrics,
) -> AsyncIterator[DeliveryLoop]:
    """Gives a loop that is ready to run, with its connections."""
    async with Sender(
        Signer.with_keys(settings.webhook_keys),
        f"Tweezer/{version('tweezer')}",
        allow_private=settings.webhook_allow_private,
        timeout_s=settings.webhook_timeout_s,
        connections=settings.webhook_concurrency,
    ) as sender:
        counted = WebhookMetrics(metrics, database, deliveries)
        yield DeliveryLoop(settings, database, deliveries, news, sender, metrics=counted)
