"""No call to a service waits for ever."""

import pytest
from fastapi.routing import APIRoute

from tweezer.gateway.app import create_app
from tweezer.gateway.settings import GatewaySettings

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"

NAMES = {
    "batch_id": BATCH,
    "job_id": BATCH,
    "ticket": "ticket",
    "device_type": "EMU_FREE",
    "dt_name": "EMU_FREE",
    "realm": "tweezer",
}

JOBS = [{"runs": 1}]
BATCH_BODY = {"project_id": PROJECT}
LOGIN = {"grant_type": "password", "username": "u", "password": "p"}

BODIES = {
    "/api/v1/batches": BATCH_BODY,
    "/api/v1/third-party-access/ovh/batches": BATCH_BODY,
    "/api/v2/batches/{batch_id}/jobs": JOBS,
    "/api/v1/batches/{batch_id}/jobs": JOBS,
    "/api/v1/jobs": {"batch_id": BATCH, "runs": 1},
    "/api/v1/batches/cancel": {"cancel_all": True},
    "/api/v1/batches/{batch_id}/tags": ["a"],
    "/oauth/token": LOGIN,
    "/realms/{realm}/protocol/openid-connect/token": LOGIN,
}

#: Ask nobody, or only for the gRPC health.
ALONE = ("/health", "/ready", "/metrics", "/docs", "/docs/{name}", "/openapi.json")

ROUTES = [
    (method, route.path)
    for route in create_app(GatewaySettings(), None).routes
    if isinstance(route, APIRoute) and route.path not in ALONE
    if not route.endpoint.__qualname__.startswith("_refusal")  # not offered
    for method in route.methods
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_call_has_a_deadline(client, services, method, path):
    body = BODIES.get(path) if method != "GET" else None

    target = path.replace("{ticket:path}", "{ticket}").format_map(NAMES)
    await client.request(method, target, json=body)

    assert services.calls
    assert all(call.seconds_left is not None for call in services.calls)
