"""Users of the REST API who send work during a storm and insist on it."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from breaking import programs
from breaking.service import PATIENCE_S

#: What a client may send again.
_PASSING: Final = {429, 502, 503, 504}

_FINAL: Final = {"DONE", "CANCELED", "TIMED_OUT", "ERROR"}


@dataclass
class Order:
    """What one customer does with one batch."""

    project_id: str
    begin_s: float
    runs: list[list[int]]  #: of the jobs of each call: the first creates the batch
    pauses_s: list[float]  #: between the calls
    then: str  #: nothing, close, leave, cancel or repeat
    noisy: bool = False


@dataclass
class Account:
    """What a customer was told."""

    runs: list[int] = field(default_factory=list)
    statuses: set[str] = field(default_factory=set)  #: in which the batch may end
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)  #: as they were when it ended


class Customers:
    """Sends all orders, and keeps what was acknowledged."""

    def __init__(self, api: httpx.AsyncClient, token: str) -> None:
        self._api = api
        self.accounts: dict[str, Account] = {}
        self.complaints: list[str] = []

    async def send(self, orders: list[Order]) -> None:
        """Returns when all batches are final."""
        async with asyncio.TaskGroup() as group:
            for order in orders:
                group.create_task(self._send(order))

    async def _send(self, order: Order) -> None:
        await asyncio.sleep(order.begin_s)
        first, *others = order.runs
        is_open = bool(others) or order.then in ("close", "leave")
        body = {
            "project_id": order.project_id,
            "sequence_builder": programs.program(),
            "device_type": "EMU_FREE",
            "jobs": _jobs(first),
            "open": is_open,
            "configuration": programs.NOISY if order.noisy else None,
        }
        created = await self._insist("POST", "/api/v1/batches", body)
        assert created is not None, "a batch was refused"
        batch_id = created["id"]
        account = self.accounts[batch_id] = Account(list(first), {"DONE"})
        for runs, pause_s in zip(others, order.pauses_s, strict=True):
            await asyncio.sleep(pause_s)
            if await self._insist("POST", f"/api/v2/batches/{batch_id}/jobs", _jobs(runs)):
                account.runs += runs
            else:
                account.statuses.add("TIMED_OUT")  # it took too long
        await self._finish(order, batch_id, account)
        if order.then == "repeat":
            await self._repeat(batch_id, account)

    async def _finish(self, order: Order, batch_id: str, account: Account) -> None:
        if order.then == "close":
            if not await self._insist("PATCH", f"/api/v2/batches/{batch_id}/complete"):
                account.statuses.add("TIMED_OUT")
        elif order.then == "leave":
            account.statuses = {"TIMED_OUT"}
        elif order.then == "cancel":
            account.statuses = {"CANCELED"}
            if not await self._insist("PATCH", f"/api/v2/batches/{batch_id}/cancel"):
                account.statuses |= {"DONE", "TIMED_OUT"}
        await self._await_end(batch_id, account)

    async def _repeat(self, batch_id: str, account: Account) -> None:
        repeated = await self._insist("POST", f"/api/v1/batches/{batch_id}/rebatch", {})
        assert repeated is not None, "a repetition was refused"
        again = self.accounts[repeated["id"]] = Account(list(account.runs), {"DONE"})
        await self._await_end(repeated["id"], again)

    async def _await_end(self, batch_id: str, account: Account) -> None:
        status = None
        deadline = time.monotonic() + 2 * PATIENCE_S
        while status not in _FINAL:
            assert time.monotonic() < deadline, f"{batch_id} does not end: {status}"
            try:
                async for each in self._statuses(batch_id):
                    status = each
            except httpx.HTTPError:
                await asyncio.sleep(0.3)  # the client's pause between attempts
        if status not in account.statuses:
            self.complaints.append(f"{batch_id} ended as {status}, not {account.statuses}")
        account.jobs = await self._final_jobs(batch_id)

    async def _final_jobs(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """Returns the jobs of a batch that has ended, as soon as JobService knows of the end.

        Until then it may list jobs of a call that was interrupted.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            jobs = await self.jobs(batch_id)
            if all(job["status"] in _FINAL for job in jobs.values()):
                return jobs
            assert time.monotonic() < deadline, f"{batch_id} has ended, and a job of it has not"
            await asyncio.sleep(0.3)  # the client's pause between attempts

    async def _statuses(self, batch_id: str) -> AsyncIterator[str]:
        async with self._api.stream("GET", f"/api/v1/batches/{batch_id}/events") as events:
            self._check(events, f"events of {batch_id}")
            events.raise_for_status()
            async for line in events.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))["status"]

    async def jobs(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """Returns all jobs of a batch."""
        query = "order_by=creation_order&order_by_direction=ASC"
        found = await self._insist("GET", f"/api/v2/jobs?batch_id={batch_id}&{query}")
        return {job["id"]: job for job in found}

    async def batch(self, batch_id: str) -> dict[str, Any]:
        """Returns a batch."""
        found: dict[str, Any] = await self._insist("GET", f"/api/v2/batches/{batch_id}")
        return found

    async def shots(self, job_id: str) -> int:
        """Returns how many shots the result of a job has."""
        link = await self._insist("GET", f"/api/v1/jobs/{job_id}/results_link")
        answer = await self._api.get(link["results_link"])
        return sum(answer.raise_for_status().json()["counter"].values())

    async def _insist(self, method: str, path: str, body: Any = None) -> Any:
        """Makes a call until it is answered; returns None when it is refused."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline, f"{method} {path} is not answered"
            try:
                answer = await self._api.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.3)  # the client's pause between attempts
                continue
            if answer.status_code in _PASSING:
                await asyncio.sleep(float(answer.headers.get("Retry-After", 0.3)))
            elif answer.is_client_error:
                return None
            else:
                self._check(answer, f"{method} {path}")
                return answer.raise_for_status().json()["data"]

    def _check(self, answer: httpx.Response, what: str) -> None:
        if answer.status_code == 500:
            self.complaints.append(f"{what}: internal error")


def orders(seed: int, projects: list[str], jobs: int, within_s: float) -> list[Order]:
    """Returns what to send: jobs in batches of all kinds, begun at random moments."""
    chance = random.Random(seed)
    made: list[Order] = []
    while sum(len(runs) for order in made for runs in order.runs) < jobs:
        then = ("nothing", "close", "cancel", "repeat", "close", "leave")[len(made) % 6]
        noisy = len(made) % 7 == 0
        calls = 1 if then in ("nothing", "repeat") else chance.randint(2, 3)
        most = 2 if noisy else 9
        runs = [
            [chance.randint(20, 60) for _ in range(chance.randint(1, most))] for _ in range(calls)
        ]
        made.append(
            Order(
                project_id=chance.choice(projects),
                begin_s=chance.uniform(0, within_s),
                runs=runs,
                pauses_s=[chance.uniform(0, 4) for _ in runs[1:]],
                then=then,
                noisy=noisy,
            )
        )
    return made


def _jobs(runs: list[int]) -> list[dict[str, int]]:
    return [{"runs": number} for number in runs]
