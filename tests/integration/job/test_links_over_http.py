"""Links to results as browsers follow them: through the gateway, without any other credential."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from tweezer.database.timestamps import now_micros
from tweezer.gateway.server import serve
from tweezer.gateway.settings import GatewaySettings
from tweezer.job.tickets import TicketOffice
from tweezer.rpc.service_key import read_service_key

REFUSED = "this link is not valid or has expired"


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
async def http(process, member, batch_server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway in front of the job service."""
    settings = GatewaySettings(
        gateway_port=0,
        job_address=f"127.0.0.1:{process.port}",
        batch_address=batch_server.address,
    )
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, stop, listening))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{await listening}", trust_env=False
    ) as client:
        client.headers["Authorization"] = dict(member)["authorization"]
        yield client
    stop.set()
    await serving


async def finished_job(process) -> str:
    await process.add(1)
    (lease,) = await process.lease()
    assert await process.finish(lease.token, result=b'{"counter": {"01": 2}}')
    return str(lease.job_id)


async def link_of(http: httpx.AsyncClient, job_id: str) -> str:
    answer = await http.get(f"/api/v1/jobs/{job_id}/results_link")
    return str(answer.raise_for_status().json()["data"]["results_link"])


def changed(text: str, position: int) -> str:
    return text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]


async def test_expired_tampered_and_foreign_links_are_refused(process, http) -> None:
    job_id = await finished_job(process)
    link = await link_of(http, job_id)
    where, _, ticket = link.rpartition("/")
    key = read_service_key(process.settings.result_ticket_key_file)
    head, body, signature = ticket.split(".")
    of_another_job = TicketOffice(key, 60).issue(await finished_job(process)).text.split(".")[1]
    wrong = {
        "expired": TicketOffice(key, 60, clock=lambda: now_micros() - 61_000_000)
        .issue(job_id)
        .text,
        "of another installation": TicketOffice("f" * 43, 60).issue(job_id).text,
        "signed with another key of ours": TicketOffice(
            read_service_key(process.settings.service_key_file), 60
        )
        .issue(job_id)
        .text,
        "with another signature": f"{head}.{body}.{changed(signature, 5)}",
        "for another job": f"{head}.{of_another_job}.{signature}",
        "with another head": f"{changed(head, 8)}.{body}.{signature}",
        "without a signature": f"{head}.{body}.",
        "cut": ticket[:-1],
        "longer": f"{ticket}x",
        "nonsense": "x" * 200,
    }
    with capture_logs() as logs:
        del http.headers["Authorization"]
        right = await http.get(link)
        answers = {name: await http.get(f"{where}/{text}") for name, text in wrong.items()}
    assert right.json() == {"counter": {"01": 2}}
    for name, answer in answers.items():
        assert (name, answer.status_code) == (name, 404)
        assert answer.json()["data"]["description"] == REFUSED, name
    said = repr(logs)
    assert said.count("DownloadResult") == len(wrong) + 1
    for secret in (ticket, signature, body, *wrong.values()):
        assert secret not in said


async def test_no_token_turns_a_wrong_link_into_a_right_one(process, http) -> None:
    link = await link_of(http, await finished_job(process))
    answer = await http.get(changed(link, len(link) - 10))
    assert answer.status_code == 404


async def test_nothing_of_a_link_is_in_a_metric(process, http) -> None:
    link = await link_of(http, await finished_job(process))
    assert (await http.get(link)).status_code == 200
    metrics = (await http.get("/metrics")).text
    assert re.search(r'route="/api/v1/results/\{ticket:path\}"', metrics)
    assert urlsplit(link).path.rpartition("/")[2] not in metrics
