"""Links to results and their download."""

import grpc
import pytest
import requests
import structlog

from tweezer.gateway.app import create_app
from tweezer.gateway.settings import GatewaySettings
from tweezer.rpc.errors import NotFound
from tweezer.v1 import job_service_pb2 as job

JOB = "00000000-0000-0000-0000-000000000003"
LINK = f"/api/v1/jobs/{JOB}/results_link"


@pytest.mark.parametrize("prefix", ["", "/core-fast"])
async def test_a_link_leads_back_to_where_the_caller_came_from(client, services, prefix):
    body = (await client.get(prefix + LINK, headers={"Host": "cloud.example:81"})).json()

    link = body["data"]["results_link"]
    assert link == f"http://cloud.example:81{prefix}/api/v1/results/t%2Fi%2Bc.k-et"
    response = await client.get(link)
    assert services.last.request == job.DownloadResultRequest(ticket="t/i+c.k-et")
    assert response.json() == {"counter": {"01": 7}}


async def test_there_is_no_link_while_there_is_no_result(client, services, required_keys):
    services.answers["GetResultLink"] = job.GetResultLinkResponse()

    response = await client.get(LINK)

    assert response.status_code == 200
    assert response.json()["data"].keys() == required_keys("ResultsLink")
    assert response.json()["data"] == {"results_link": None}


async def test_a_link_to_an_object_store_is_handed_out_as_it_is(client, services):
    services.answers["GetResultLink"] = job.GetResultLinkResponse(url="https://s3/x?sig=1")

    assert (await client.get(LINK)).json()["data"] == {"results_link": "https://s3/x?sig=1"}


@pytest.mark.parametrize("host", ["evil.example/path?", "a b", "", "[::1", "user@host"])
async def test_a_host_that_is_none_does_not_get_into_a_link(server_port, in_thread, host):
    base = f"http://127.0.0.1:{server_port}"

    headers = {"Host": host, "Authorization": "Bearer x"}
    response = await in_thread(requests.get, base + LINK, headers=headers)

    assert response.json()["data"]["results_link"].startswith(f"{base}/api/v1/results/")


@pytest.mark.parametrize("host", ["localhost", "[::1]:8000", "10.0.0.1:80", "cloud.example"])
async def test_a_proper_host_gets_into_a_link(client, host):
    link = (await client.get(LINK, headers={"Host": host})).json()["data"]["results_link"]

    assert link.startswith(f"http://{host}/api/v1/results/")


class TestPublicUrl:
    @pytest.fixture
    def more_settings(self):
        return {"public_url": "https://cloud.example/tweezer/"}

    async def test_links_start_with_it(self, client):
        link = (await client.get(f"/core-fast{LINK}")).json()["data"]["results_link"]

        assert link == "https://cloud.example/tweezer/api/v1/results/t%2Fi%2Bc.k-et"


async def test_a_download_needs_no_token_and_sends_none(client, services):
    del client.headers["Authorization"]

    response = await client.get("/api/v1/results/ticket")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert "authorization" not in services.last.metadata


async def test_a_dead_ticket_is_not_found(client, services):
    services.answers["DownloadResult"] = NotFound("the link is not valid or has expired")

    response = await client.get("/api/v1/results/ticket")

    assert response.status_code == 404
    assert response.json()["data"]["description"] == "the link is not valid or has expired"


async def test_a_result_without_content_is_an_error(client, services):
    services.answers["DownloadResult"] = []

    with structlog.testing.capture_logs() as logs:
        response = await client.get("/api/v1/results/ticket")

    assert response.status_code == 500
    assert response.json()["status"] == "error"
    told = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
    assert told == ["unexpected error"]


async def test_a_download_that_breaks_off_does_not_look_complete(
    server_port, services, fails, in_thread
):
    services.answers["DownloadResult"] = [
        job.DownloadResultResponse(chunk=b'{"counter":'),
        fails(grpc.StatusCode.INTERNAL, "disk"),
    ]
    url = f"http://127.0.0.1:{server_port}/api/v1/results/ticket"

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        await in_thread(requests.get, url)


async def test_a_large_result_is_streamed_over_the_network(server_port, services, in_thread):
    parts = [b'{"raw":"'] + [b"0" * 1_000_000] * 8 + [b'"}']
    services.answers["DownloadResult"] = [job.DownloadResultResponse(chunk=part) for part in parts]
    url = f"http://127.0.0.1:{server_port}/api/v1/results/ticket"

    response = await in_thread(requests.get, url)

    assert response.content == b"".join(parts)
    assert response.headers["content-type"] == "application/json"


def test_the_application_needs_no_running_loop():
    assert create_app(GatewaySettings(), None).state.backend.settings.gateway_port == 8000
