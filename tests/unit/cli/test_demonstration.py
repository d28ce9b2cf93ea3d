"""The demonstration against a small server that answers as the REST API does."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import StringIO

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from rich.console import Console

from tweezer.cli.demonstration import ProgramFailed, demonstrate
from tweezer.cli.facts import ConnectionFacts
from tweezer.cli.programs import afm_sweep, max_independent_set
from tweezer.cli.rest import NoAnswer, RequestRefused, RestApi

PAGE = 2


class Api:
    """Finishes one job of each batch per request for the jobs."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.base = ""
        self.jobs: dict[str, list[dict]] = {}
        self.counters: dict[str, dict[str, int]] = {}
        self.fail_with: str | None = None
        self.refuse: dict | None = None
        self.app.post("/oauth/token")(self.token)
        self.app.post("/core-fast/api/v1/batches")(self.create)
        self.app.get("/core-fast/api/v2/jobs")(self.list_jobs)
        self.app.get("/core-fast/api/v1/jobs/{job_id}/results_link")(self.link)
        self.app.get("/results/{job_id}")(self.result)

    async def token(self, request: Request):
        assert dict(await request.form())["password"] == "secret"
        return {"access_token": "abc", "expires_in": 3600}

    async def create(self, request: Request):
        if self.refuse is not None:
            return JSONResponse(self.refuse, status_code=422)
        assert request.headers["authorization"] == "Bearer abc"
        body = await request.json()
        name = f"batch{len(self.jobs)}"
        self.jobs[name] = [
            {"id": f"{name}-{n}", "status": "PENDING", "progress": 0, "errors": None}
            for n in range(len(body["jobs"]))
        ]
        return {"data": {"id": name}}

    async def list_jobs(self, batch_id: str, offset: int):
        jobs = self.jobs[batch_id]
        waiting = [job for job in jobs if job["status"] == "PENDING"]
        if offset == 0 and waiting:
            if self.fail_with is None:
                waiting[0] |= {"status": "DONE", "progress": 100}
            else:
                waiting[0] |= {"status": "ERROR", "errors": [self.fail_with]}
        page = jobs[offset : offset + PAGE]
        return {"data": page, "pagination": {"total": len(jobs)}}

    async def link(self, job_id: str):
        return {"data": {"results_link": f"{self.base}/results/{job_id}"}}

    async def result(self, job_id: str, request: Request):
        assert "authorization" not in request.headers
        atoms = 9 if job_id.startswith("batch0") else 8
        answer = afm_sweep.CHECKERBOARD if atoms == 9 else max_independent_set.solutions()[0]
        return {"counter": {answer: 900, "0" * atoms: 100}, "raw": None}


@pytest.fixture
async def api(monkeypatch) -> AsyncIterator[Api]:
    monkeypatch.setattr("tweezer.cli.demonstration._ASK_EVERY", 0.0)
    api = Api()
    server = uvicorn.Server(
        uvicorn.Config(api.app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    )
    listener = server.config.bind_socket()
    api.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    serving = asyncio.create_task(server.serve([listener]))
    yield api
    server.should_exit = True
    await serving
    listener.close()


def facts(base: str) -> ConnectionFacts:
    return ConnectionFacts(
        f"{base}/core-fast", f"{base}/account", f"{base}/oauth/token", "u", "secret", "p", {}
    )


def console(**settings) -> Console:
    return Console(file=StringIO(), width=100, **settings)


async def test_without_a_terminal_it_prints_plain_lines_and_both_histograms(api):
    out = console()
    await demonstrate(facts(api.base), out)
    text = out.file.getvalue()
    assert "\x1b" not in text
    for done in (1, 9):
        assert f"Antiferromagnetic order on a 3x3 square: {done}/9 jobs done" in text
    assert "101010101" in text
    assert "checkerboard" in text
    words = " ".join(text.split())
    assert "+3.0 MHz 0.91" in words  # 0.9 of the shots fully ordered, 0.1 by one ninth
    assert "4000 ns 90%" in words
    assert "101010101 900 90.0%" in words
    assert "maximum independent set" in text


async def test_on_a_terminal_it_draws_a_bar_that_ends_full(api):
    out = console(force_terminal=True)
    await demonstrate(facts(api.base), out)
    assert "9/9 jobs" in out.file.getvalue()
    assert "\x1b[" in out.file.getvalue()


async def test_failed_jobs_are_an_error_that_says_why(api):
    api.fail_with = "The atoms are too close to each other."
    with pytest.raises(ProgramFailed, match=r"9 ERROR\. The atoms are too close"):
        await demonstrate(facts(api.base), console())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"data": {"description": "jobs: too many"}, "message": "Bad"}, "422.*jobs: too many"),
        (
            {"data": {"description": [{"loc": ["body", "jobs", 3, "runs"], "msg": "too many"}]}},
            r"422.*jobs\.3\.runs: too many",
        ),
        ({"message": "not today"}, "422.*not today"),
        (["nonsense"], "422 Unprocessable"),
    ],
)
async def test_a_refusal_is_an_error_that_says_why(api, body, reason):
    api.refuse = body
    with pytest.raises(RequestRefused, match=reason):
        await demonstrate(facts(api.base), console())


async def test_a_server_that_does_not_answer_is_an_error():
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1:1"):
        async with RestApi.connect(facts("http://127.0.0.1:1")):
            pass


async def test_jobs_are_read_over_all_pages_in_order(api):
    async with RestApi.connect(facts(api.base)) as rest:
        batch = await rest.create_batch({"jobs": [{}] * 5})
        jobs = await rest.jobs(batch["id"])
    assert [job["id"] for job in jobs] == [f"batch0-{n}" for n in range(5)]
    assert json.dumps(jobs)
