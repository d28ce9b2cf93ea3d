"""A whole stack that keeps its results in S3, used by the public client."""

import json
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from s3_server import CREDENTIALS

from tweezer.cli.programs import max_independent_set

pytestmark = pytest.mark.slow

JOBS = 5
LIFETIME_S = 1234


@pytest.fixture(scope="module")
def bucket(s3_server):
    return s3_server.bucket()


@pytest.fixture(scope="module")
def stack(start_stack, bucket, tmp_path_factory):
    return start_stack(
        tmp_path_factory.mktemp("s3") / "data",
        "--workers",
        "1",
        TWEEZER_RESULT_STORE_URL=bucket.url,
        TWEEZER_RESULT_LINK_LIFETIME_S=str(LIFETIME_S),
        TWEEZER_LOG_LEVEL="debug",
        **CREDENTIALS,
    )


@pytest.fixture(scope="module")
def finished(stack):
    """A batch that the public client has created and waited for."""
    client = PasqalCloudClient(**stack.credentials())
    program = max_independent_set.program().as_request(stack.facts["project_id"])
    return client.create_batch(
        program["sequence_builder"],
        [{"runs": 100, "variables": program["jobs"][0].get("variables")} for _ in range(JOBS)],
        device_type="EMU_FREE",
        wait=True,
    )


def test_the_public_client_gets_its_results_from_s3(stack, bucket, finished):
    assert Counter(job.status for job in finished.ordered_jobs) == {"DONE": JOBS}
    for job in finished.ordered_jobs:
        assert job.full_result is not None
        assert sum(job.full_result["counter"].values()) == 100
    names = {key.rpartition("/")[2].partition(".")[0] for key in bucket.results()}
    assert names == {job.id for job in finished.ordered_jobs}
    assert not (stack.data_dir / "results").exists()


def test_links_are_those_of_the_store_and_need_no_token(stack, api, bucket, finished):
    job_id = finished.ordered_jobs[0].id
    link = api.get(f"/api/v1/jobs/{job_id}/results_link").json()["data"]["results_link"]
    links = api.get(f"/api/v1/batches/{finished.id}/results_link").json()["data"]["results_links"]
    whole = api.get(f"/api/v1/batches/{finished.id}/full_results").json()["data"]
    assert set(links) == set(whole) == {job.id for job in finished.ordered_jobs}
    for each in (link, *links.values()):
        assert each.startswith(f"{urlsplit(bucket.url).query.removeprefix('endpoint=')}/")
        assert parse_qs(urlsplit(each).query)["X-Amz-Expires"] == [str(LIFETIME_S)]
    with httpx.Client(trust_env=False) as nobody:
        answer = nobody.get(link).raise_for_status()
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == whole[job_id]
        assert nobody.get(link.partition("?")[0]).status_code == 403
    said = stack.messages.read_text()
    said += "".join(file.read_text() for file in stack.data_dir.rglob("*.log"))
    assert "GetResultLink" in said
    for shown in (link, *links.values()):
        assert parse_qs(urlsplit(shown).query)["X-Amz-Signature"][0] not in said
    for secret in ("X-Amz-", *CREDENTIALS.values()):
        assert secret not in said


def test_credentials_are_in_no_command_and_in_no_worker(stack, finished):
    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    with_it = set()
    for pid, name in stack.members().items():
        folder = Path(f"/proc/{pid}")
        assert secret not in (folder / "cmdline").read_text()
        command = (folder / "cmdline").read_text()
        if secret in (folder / "environ").read_text():
            with_it.add(command.split("\0")[2] if "tweezer." in command else name)
    assert with_it == {f"tweezer.{name}" for name in ("batch", "job", "execution", "gateway")}


def test_deleted_batches_leave_nothing_in_the_bucket(stack, bucket, finished, run_command):
    assert bucket.results()
    done = run_command("tweezer", "vacuum", "--older-than", "0", "--data-dir", str(stack.data_dir))
    assert done.returncode == 0, done.stderr
    assert bucket.results() == []


def test_a_bucket_that_is_not_there_ends_the_start_with_a_sentence(
    run_command, s3_server, tmp_path
):
    url = f"s3://nowhere?endpoint={s3_server.endpoint}"
    done = run_command(
        "tweezer", "serve", "job", "--data-dir", str(tmp_path),
        TWEEZER_RESULT_STORE_URL=url, TWEEZER_JOB_LISTEN="127.0.0.1:0", **CREDENTIALS,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot keep results in s3://nowhere: " in done.stderr
    assert "Traceback" not in done.stderr
    assert json.dumps(CREDENTIALS["AWS_SECRET_ACCESS_KEY"]) not in done.stderr
