"""A small client of the REST API: what the demo and the examples need of it."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from tweezer.cli.facts import ConnectionFacts
from tweezer.cli.failure import Failure

_PAGE: Final = 100
_TIMEOUT: Final = 30.0


class RequestRefused(Failure):
    """The API answered with an error; the text is its reason."""


class NoAnswer(Failure):
    """The API did not answer."""


class RestApi:
    """The REST API of a stack, for one user."""

    def __init__(self, client: httpx.AsyncClient, trusted: ssl.SSLContext | bool) -> None:
        self._client, self._trusted = client, trusted

    @classmethod
    @asynccontextmanager
    async def connect(cls, facts: ConnectionFacts) -> AsyncIterator["RestApi"]:
        """Logs in and closes the connections after the body."""
        trusted = ssl.create_default_context(cafile=facts.ca_file) if facts.ca_file else True
        # The stack is on this machine: proxies of the environment have no part in it.
        async with httpx.AsyncClient(
            base_url=facts.core, timeout=_TIMEOUT, trust_env=False, verify=trusted
        ) as client:
            answer = await _send(
                client,
                "POST",
                facts.token_endpoint,
                data={
                    "client_id": "tweezer-cli",
                    "grant_type": "password",
                    "username": facts.username,
                    "password": facts.password,
                },
            )
            client.headers["Authorization"] = f"Bearer {answer['access_token']}"
            yield cls(client, trusted)

    async def create_batch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a batch and returns it with its jobs."""
        answer = await _send(self._client, "POST", "/api/v1/batches", json=body)
        return dict(answer["data"])

    async def jobs(self, batch_id: str) -> list[dict[str, Any]]:
        """Returns all jobs of a batch in creation order."""
        jobs: list[dict[str, Any]] = []
        while True:
            page = await _send(
                self._client,
                "GET",
                "/api/v2/jobs",
                params={
                    "batch_id": batch_id,
                    "order_by": "creation_order",
                    "order_by_direction": "ASC",
                    "offset": len(jobs),
                    "limit": _PAGE,
                },
            )
            jobs += page["data"]
            if not page["data"] or len(jobs) >= page["pagination"]["total"]:
                return jobs

    async def counter(self, job_id: str) -> dict[str, int]:
        """Returns how often each bitstring was measured in a finished job."""
        answer = await _send(self._client, "GET", f"/api/v1/jobs/{job_id}/results_link")
        link = answer["data"]["results_link"]
        if link is None:
            raise RequestRefused(f"job {job_id} has no result")
        # The link carries its own right: the token stays with the API.
        async with httpx.AsyncClient(
            timeout=_TIMEOUT, trust_env=False, verify=self._trusted
        ) as client:
            result = await _send(client, "GET", link, named=f"the result of job {job_id}")
        return dict(result["counter"])


async def _send(
    client: httpx.AsyncClient, method: str, url: str, *, named: str | None = None, **content: Any
) -> Any:
    """Sends a request; `named` stands for the URL in errors, where that is a credential."""
    try:
        answer = await client.request(method, url, **content)
    except httpx.HTTPError as error:
        raise NoAnswer(f"{method} {named or url}: {error or type(error).__name__}") from error
    if answer.is_success:
        return answer.json()
    raise RequestRefused(f"{method} {named or answer.request.url.path}: {_reason(answer)}")


def _reason(answer: httpx.Response) -> str:
    status = f"{answer.status_code} {answer.reason_phrase}"
    try:
        body = answer.json()
    except ValueError:
        return status
    if not isinstance(body, dict):
        return status
    data = body.get("data")
    told = _in_words(data.get("description")) if isinstance(data, dict) else None
    return f"{status}: {told or body.get('error_description') or body.get('message') or body}"


def _in_words(description: Any) -> str | None:
    """Returns a sentence as it is, and a list of problems as `field: what is wrong`."""
    if not isinstance(description, list):
        return None if description is None else str(description)
    return "; ".join(
        f"{'.'.join(str(step) for step in problem['loc'][1:])}: {problem['msg']}"
        for problem in description
    )
