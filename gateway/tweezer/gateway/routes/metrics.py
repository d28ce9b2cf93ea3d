"""The metrics of this process, for Prometheus."""

from fastapi import APIRouter, Request, Response

from tweezer.gateway.calls import backend_of
from tweezer.gateway.problems import Refused
from tweezer.process.metrics import CONTENT_TYPE

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def get_metrics(request: Request) -> Response:
    """Returns all metrics; unless the settings keep them to themselves."""
    backend = backend_of(request)
    if not backend.settings.gateway_metrics:
        raise Refused(404, "there is no such path")
    return Response(await backend.telemetry.metrics.text(), media_type=CONTENT_TYPE)
