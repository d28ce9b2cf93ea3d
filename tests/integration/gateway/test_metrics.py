"""The metrics of the gateway."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tweezer.rpc.errors import NotFound

BATCH = "00000000-0000-0000-0000-000000000002"


async def requests_of(client):
    text = (await client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return {
        (s.labels["method"], s.labels["route"], s.labels["status"]): s.value
        for s in families["tweezer_http_requests"].samples
        if s.name.endswith("_total")
    }


async def test_requests_are_counted_by_route_and_not_by_path(client, services):
    for batch_id in (BATCH, BATCH.replace("2", "3")):
        await client.get(f"/api/v1/batches/{batch_id}")
    services.answers["GetBatch"] = NotFound("not found")
    await client.get(f"/api/v1/batches/{BATCH}")
    await client.get("/no/such/path")
    await client.request("NONSENSE", "/no/such/path")

    counted = await requests_of(client)

    assert counted == {
        ("GET", "/api/v1/batches/{batch_id}", "200"): 2,
        ("GET", "/api/v1/batches/{batch_id}", "404"): 1,
        ("GET", "none", "404"): 1,
        ("other", "none", "404"): 1,
    }


async def test_the_page_is_not_part_of_the_documented_api(client):
    assert "/metrics" not in (await client.get("/openapi.json")).json()["paths"]


@pytest.mark.parametrize("more_settings", [{"gateway_metrics": False}])
async def test_an_operator_can_keep_them_private(client):
    assert (await client.get("/metrics")).status_code == 404
