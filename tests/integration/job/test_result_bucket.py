"""Results in S3: what is wrong is told at the start, outages pass, links are the store's own."""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3_server import CREDENTIALS, S3Server
from structlog.testing import capture_logs

from tweezer.database.timestamps import now_micros
from tweezer.job.metrics import JobMetrics
from tweezer.job.result_sweep import ResultSweep
from tweezer.job.result_url import open_results
from tweezer.job.results import ResultGone
from tweezer.job.settings import JobSettings
from tweezer.process.metrics import Metrics
from tweezer.process.run import StartFailed
from tweezer.rpc.errors import Unavailable
from tweezer.v1 import job_service_pb2 as pb

HOUR_US = 3600 * 1_000_000


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
def result_place() -> str:
    return "s3"


def settings(stored: Any, tmp_path: Path, **changed: Any) -> JobSettings:
    return JobSettings(**{"data_dir": tmp_path, **stored.settings, **changed})


async def content(results: Any, key: str) -> bytes:
    return b"".join([part async for part in await results.open(key)])


# --- the start ------------------------------------------------------------------------------


async def refusal(stored: Any, tmp_path: Path, **changed: Any) -> str:
    with pytest.raises(StartFailed) as refused:
        await open_results(settings(stored, tmp_path, **changed))
    said = str(refused.value)
    assert "Debug source" not in said
    assert len(said) < 600
    return said


async def test_a_bucket_that_does_not_exist_is_told(stored, tmp_path, s3_server) -> None:
    url = f"s3://no-such-bucket?endpoint={s3_server.endpoint}"
    said = await refusal(stored, tmp_path, result_store_url=url)
    assert said.startswith("cannot keep results in s3://no-such-bucket: ")
    assert said.endswith("NoSuchBucket: The specified bucket does not exist")


async def test_wrong_credentials_are_told_and_not_shown(stored, tmp_path, monkeypatch) -> None:
    # This one checks who comes, after the first request; it knows nobody.
    strict = S3Server(tmp_path / "log", INITIAL_NO_AUTH_ACTION_COUNT="1")
    try:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-shown")
        said = await refusal(stored, tmp_path, result_store_url=strict.bucket().url)
    finally:
        strict.close()
    assert "403 Forbidden: InvalidAccessKeyId" in said
    assert "not-to-be-shown" not in said


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://s3.example/bucket", "must look like s3://BUCKET/PREFIX"),
        ("s3:///prefix", "must look like s3://BUCKET/PREFIX"),
        ("s3://key:hidden@bucket", "AWS_SECRET_ACCESS_KEY"),
        ("file://host/folder", "must look like"),
        ("s3://bucket?secret_access_key=hidden", "cannot have the options secret_access_key"),
        ("s3://bucket?endpoint=s3.example", "must look like https://HOST"),
        ("s3://bucket?request_payer=perhaps", "cannot use TWEEZER_RESULT_STORE_URL"),
    ],
)
async def test_an_address_that_is_none_is_told(stored, tmp_path, url, reason) -> None:
    said = await refusal(stored, tmp_path, result_store_url=url)
    assert reason in said
    assert "hidden" not in said


async def test_an_authority_that_cannot_be_read_is_told(stored, tmp_path) -> None:
    missing = tmp_path / "no.pem"
    assert "no.pem: No such file" in await refusal(stored, tmp_path, result_store_ca_file=missing)


def test_s3_signs_links_for_a_week_at_most(stored, tmp_path) -> None:
    week = 7 * 24 * 3600
    assert settings(stored, tmp_path, result_link_lifetime_s=week)
    with pytest.raises(ValueError, match="result_link_lifetime_s"):
        settings(stored, tmp_path, result_link_lifetime_s=week + 1)


async def test_a_folder_that_several_machines_share(tmp_path) -> None:
    folder = tmp_path / "a folder"
    url = folder.as_uri()
    results = await open_results(JobSettings(data_dir=tmp_path, result_store_url=url))
    await results.put({"p/b/1.json": b"{}"})
    assert (folder / "p/b/1.json").read_bytes() == b"{}"
    assert await results.link("p/b/1.json") is None


async def test_the_endpoint_may_come_from_the_variables_of_the_library(
    stored, tmp_path, s3_server, monkeypatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    results = await open_results(
        settings(stored, tmp_path, result_store_url=f"s3://{stored.bucket.name}/some/place")
    )
    await results.put({"p/b/1.json": b"{}"})
    assert stored.results() == ["p/b/1.json"]


# --- outages --------------------------------------------------------------------------------


async def test_a_bucket_that_goes_is_an_outage_and_not_a_lost_result(
    stored, tmp_path, monkeypatch
) -> None:
    """One by one, the objects of a bucket that is gone look like objects that are not there."""
    results = await open_results(settings(stored, tmp_path))
    await results.put({"p/b/1.json": b"{}"})
    with pytest.raises(ResultGone):
        await results.open("p/b/2.json")
    assert await results.missing(["p/b/1.json", "p/b/2.json"]) == ["p/b/2.json"]
    stored.bucket.vanish()
    for call in (
        results.open("p/b/1.json"),
        results.missing(["p/b/1.json"]),
        results.put({"p/b/3.json": b"{}"}),
        anext(results.objects()),
        results.remove_all("p/b"),
    ):
        with pytest.raises(Unavailable):
            await call
    await results.remove(["p/b/1.json"])  # nobody owns it: that it stays is no error


@pytest.fixture
def away(s3_server) -> Iterator[S3Server]:
    """The store takes connections and answers nothing."""
    s3_server.stand_still()
    yield s3_server
    s3_server.go_on()


async def test_it_starts_while_the_store_is_away_and_goes_on_when_that_is_back(
    stored, away, run_jobs, member
) -> None:
    with capture_logs() as logs:
        async with run_jobs(result_store_patience_s=0.2, max_attempts=1) as process:
            added = await process.add(1)
            (lease,) = await process.lease()
            assert await unavailable(process.finish(lease.token, result=b"{}"))
            # The result was not taken, so the job is not done; the worker comes again.
            assert process.rows("SELECT status FROM job") == [("RUNNING",)]
            away.go_on()
            while await unavailable(process.finish(lease.token, result=b"{}")):
                pass
            assert process.rows("SELECT status FROM job") == [("DONE",)]
            request = pb.GetResultRequest(job_id=added.jobs[0].id)
            parts = [part.chunk async for part in process.jobs.GetResult(request, metadata=member)]
            assert parts == [b"{}"]
    assert any(line["event"] == "the result store does not answer yet" for line in logs)


async def unavailable(call: Awaitable[bool]) -> bool:
    """Says whether a call has to come again; otherwise it was accepted."""
    try:
        assert await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return True
        raise
    return False


async def test_a_result_is_sent_as_slowly_as_its_reader_likes(stored, tmp_path) -> None:
    """The patience is for silence of the store, not for the whole of a download."""
    results = await open_results(settings(stored, tmp_path, result_store_patience_s=0.3))
    whole = bytes(3_000_000)
    await results.put({"p/b/1.json": whole})
    parts = []
    async for part in await results.open("p/b/1.json"):
        parts.append(part)
        await asyncio.sleep(0.05)  # twelve parts: twice the patience
    assert b"".join(parts) == whole


# --- the sweep and what is deleted ----------------------------------------------------------


async def test_the_sweep_removes_what_is_nobodys_and_tells_what_is_missing(
    process, database, stored
) -> None:
    await process.add(2)
    for lease in await process.lease(2):
        assert await process.finish(lease.token, result=b"{}")
    lost, _ = stored.results()
    stored.remove(lost)
    results = await open_results(process.settings)
    orphan = f"p/b/{uuid.uuid4()}.{'0' * 16}.json"
    await results.put({orphan: b"{}", "p/b/notes.json": b"of somebody else"})

    def sweep(later_us: int, metrics: Metrics) -> ResultSweep:
        clock = lambda: now_micros() + later_us  # noqa: E731
        counts = JobMetrics(metrics)
        return ResultSweep(database, results, clock, counts, delay_s=0, interval_s=1, grace_s=3600)

    await sweep(0, Metrics()).sweep()
    assert orphan in stored.results()  # young
    with capture_logs() as logs:
        await sweep(HOUR_US + 5_000_000, Metrics()).sweep()
    assert sorted(key == "p/b/notes.json" for key in stored.results()) == [False, True]
    (summary,) = (line for line in logs if line["event"] == "results compared with the jobs")
    assert (summary["orphans"], summary["missing"]) == (1, 1)


async def test_what_is_under_a_batch_goes_at_once_and_the_mark_of_the_place_stays(
    stored, tmp_path
) -> None:
    results = await open_results(settings(stored, tmp_path))
    await results.put({f"p/b/{n}.json": b"{}" for n in range(20)} | {"p/bb/1.json": b"{}"})
    assert await results.remove_all("p/b") == 20
    assert stored.results() == ["p/bb/1.json"]
    assert stored.bucket.has("tweezer-results")
    assert await results.remove_unfinished(now_micros() + HOUR_US) == 0


# --- links ----------------------------------------------------------------------------------


async def test_a_link_is_signed_as_s3_wants_it_and_for_the_set_time(stored, tmp_path) -> None:
    """Checked with botocore: moto serves a link whatever its signature and its time are."""
    results = await open_results(settings(stored, tmp_path, result_link_lifetime_s=600))
    await results.put({"p/b/1.json": b"{}"})
    before = now_micros() // 1_000_000
    link = await results.link("p/b/1.json")
    assert link is not None
    assert before + 600 <= link.expires_at // 1_000_000 <= now_micros() // 1_000_000 + 600
    query = {name: value for name, (value,) in parse_qs(urlsplit(link.url).query).items()}
    assert query["X-Amz-Expires"] == "600"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["X-Amz-Signature"] == signature(link.url)
    other = link.url.replace("/1.json", "/2.json")
    longer = link.url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000")
    assert len({query["X-Amz-Signature"], signature(other), signature(longer)}) == 3


def signature(url: str) -> str:
    """Returns the signature that a link must have."""
    parts = urlsplit(url)
    query = parts.query.rpartition("&X-Amz-Signature=")[0]
    fields = parse_qs(query)
    signer = S3SigV4QueryAuth(
        Credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]),
        "s3",
        "us-east-1",
    )
    request = AWSRequest("GET", f"{parts.scheme}://{parts.netloc}{parts.path}?{query}")
    request.headers["host"] = parts.netloc
    request.context["timestamp"] = fields["X-Amz-Date"][0]
    signed = signer.string_to_sign(request, signer.canonical_request(request))
    return signer.signature(signed, request)


async def test_a_link_without_its_signature_opens_nothing(stored, tmp_path) -> None:
    results = await open_results(settings(stored, tmp_path))
    await results.put({"p/b/1.json": b"{}"})
    link = await results.link("p/b/1.json")
    assert link is not None
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(link.url)).content == b"{}"
        assert (await http.get(link.url.partition("?")[0])).status_code == 403


async def test_links_lead_where_clients_reach_the_store(stored, tmp_path, monkeypatch) -> None:
    # Whatever else says where the store is, for our own requests.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    public = "https://s3.example.org"
    results = await open_results(settings(stored, tmp_path, result_store_public_endpoint=public))
    await results.put({"p/b/1.json": b"{}"})
    assert await content(results, "p/b/1.json") == b"{}"
    link = await results.link("p/b/1.json")
    assert link is not None
    assert link.url.startswith(f"{public}/{stored.bucket.name}/some/place/p/b/1.json?")


async def test_links_are_not_in_the_messages(run_jobs, member, stored) -> None:
    with capture_logs() as logs:
        async with run_jobs() as process:
            added = await process.add(1)
            (lease,) = await process.lease()
            assert await process.finish(lease.token, result=b"{}")
            request = pb.GetResultLinkRequest(job_id=added.jobs[0].id)
            found = await process.jobs.GetResultLink(request, metadata=member)
            stored.bucket.vanish()
            download = pb.GetResultRequest(job_id=added.jobs[0].id)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await process.jobs.GetResult(download, metadata=member).read()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    said = repr(logs)
    assert "GetResultLink" in said
    secret = parse_qs(urlsplit(found.url).query)["X-Amz-Signature"][0]
    assert re.fullmatch("[0-9a-f]{64}", secret)
    for hidden in (secret, "X-Amz", *CREDENTIALS.values()):
        assert hidden not in said
