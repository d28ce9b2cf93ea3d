"""Builds the ASGI application."""

import asyncio
from collections.abc import Iterator
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import BaseRoute

from tweezer.gateway.access import access_to, guarded
from tweezer.gateway.asgi.body import BoundedBody
from tweezer.gateway.asgi.crash_guard import CrashGuard
from tweezer.gateway.asgi.load_limit import LoadLimit, is_short, is_stream
from tweezer.gateway.asgi.observed import Observed
from tweezer.gateway.asgi.prefix import Prefix
from tweezer.gateway.asgi.private_answers import PrivateAnswers
from tweezer.gateway.asgi.request_id import RequestId
from tweezer.gateway.calls import Backend
from tweezer.gateway.documentation import describe
from tweezer.gateway.errors import add_error_handlers
from tweezer.gateway.routes import (
    account,
    auth,
    batch_changes,
    batches,
    devices,
    docs,
    events,
    health,
    jobs,
    legacy,
    metrics,
    not_offered,
    ovh,
    results,
)
from tweezer.gateway.settings import GatewaySettings
from tweezer.gateway.stubs import Stubs
from tweezer.process.telemetry import Telemetry

_DESCRIPTION = """\
The Pasqal Cloud batch API on your own machines. Core paths are served at the root and under
`/core-fast`, the account API under `/account`.

What is being stopped (`CANCELING`) is shown as `RUNNING`, in statuses and in counts: today's
clients do not know the other word. A filter for `RUNNING` finds both, one for `CANCELING` what is
being stopped.
"""


def create_app(
    settings: GatewaySettings,
    stubs: Stubs,
    telemetry: Telemetry | None = None,
    stopping: asyncio.Event | None = None,
) -> FastAPI:
    """Returns the application; it makes no call before the first request.

    `stopping` ends streams.
    """
    telemetry = telemetry or Telemetry()
    app = FastAPI(
        title="Tweezer",
        description=_DESCRIPTION,
        version=version("tweezer"),
        routes=list(guarded(_routes())),
        # Their pages load scripts from elsewhere; routes.docs does without.
        docs_url=None,
        redoc_url=None,
        # A redirect has no JSON body, and some clients drop the token on the way.
        redirect_slashes=False,
        # Requests are traced and measured by asgi.observed; this one would look up its libraries
        # at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.backend = Backend(settings, stubs, telemetry, stopping or asyncio.Event())
    add_error_handlers(app)
    describe(app)
    for route in app.routes:
        access_to(route)  # those that FastAPI adds by itself, too
    # The last one added sees a request first.
    app.add_middleware(
        BoundedBody,
        max_bytes=settings.gateway_max_body_bytes,
        patience=settings.gateway_body_patience,
    )
    app.add_middleware(Prefix, prefix="/core-fast")
    app.add_middleware(LoadLimit, most=settings.gateway_max_requests, counts=is_short)
    app.add_middleware(LoadLimit, most=settings.gateway_max_streams, counts=is_stream)
    app.add_middleware(CrashGuard)
    app.add_middleware(Observed, telemetry=telemetry)
    app.add_middleware(RequestId)
    app.add_middleware(PrivateAnswers)
    return app


def _routes() -> Iterator[BaseRoute]:
    """Yields the routes, those that are polled first: they are tried one after the other.

    They are handed over as they are, because FastAPI's routers within routers cost each request
    more than the route itself.
    """
    for module in (
        batches,
        jobs,
        results,
        ovh,
        batch_changes,
        events,
        legacy,
        devices,
        auth,
        account,
        health,
        metrics,
        docs,
        not_offered,
    ):
        yield from module.router.routes
