"""Whether the gateway is there, and whether the system can serve."""

import asyncio
from typing import Final

import grpc
from fastapi import APIRouter, Request, Response
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of
from tweezer.gateway.errors import HEADERS
from tweezer.gateway.schemas.answers import Alive, Readiness
from tweezer.gateway.schemas.envelopes import Success, Unready

router = APIRouter(tags=["health"])

#: A service that takes longer, in seconds, does not count as serving.
_PATIENCE: Final = 2.0

_SERVING: Final = "SERVING"


@router.get("/health", summary="Get whether the gateway is there", response_model=Success[Alive])
async def get_health() -> Response:
    """Answers, whatever the services behind the gateway do: a restart of it would not help them."""
    return jsend.success({})


@router.get(
    "/ready",
    summary="Get whether the system can serve",
    response_model=Success[Readiness],
    responses={503: {"model": Unready, "description": "Not all services serve at present."}},
)
async def get_ready(request: Request) -> Response:
    """Asks the services whether they serve; 503 unless all do, and while the gateway stops."""
    backend = backend_of(request)
    stubs = backend.stubs
    batch, job = await asyncio.gather(_state(stubs.batch_health), _state(stubs.job_health))
    services = {"batch": batch, "job": job}
    if all(state == _SERVING for state in services.values()) and not backend.stopping.is_set():
        return jsend.success({"services": services})
    return jsend.failure(
        503, "the system cannot serve at present", headers=HEADERS[503], services=services
    )


async def _state(stub: HealthStub) -> str:
    try:
        response = await stub.Check(  # type: ignore[attr-defined]
            HealthCheckRequest(), timeout=_PATIENCE
        )
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return HealthCheckResponse.ServingStatus.Name(response.status)
