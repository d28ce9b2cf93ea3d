"""The public client, unmodified, against the gateway over the network."""

from uuid import UUID

import grpc
import pytest
from pasqal_cloud.authentication import TokenProviderError
from pasqal_cloud.endpoints import AUTH0_TOKEN_PROVIDER_GRANT_TYPE, Endpoints, TokenProviderConf
from pasqal_cloud.errors import BatchCreationError, BatchFetchingError, JobFetchingError
from pasqal_cloud.http_client import HTTPClient
from pasqal_cloud.job import CreateJob
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pasqal_cloud.utils.filters import (
    BatchFilters,
    CancelJobFilters,
    JobFilters,
    PaginationParams,
    RebatchFilters,
)

from tweezer.rpc.errors import InvalidInput, NotFound, Unauthenticated
from tweezer.v1 import batch_pb2, job_pb2
from tweezer.v1 import batch_service_pb2 as batch
from tweezer.v1 import job_service_pb2 as job

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
JOB = "00000000-0000-0000-0000-000000000003"


@pytest.fixture(params=["", "/core-fast"])
def core(request, server_port):
    return f"http://127.0.0.1:{server_port}{request.param}"


@pytest.fixture
def connect(server_port, core):
    """Logs in with the public client."""

    def connect():
        return PasqalCloudClient(
            username="ada",
            password="secret",
            project_id=PROJECT,
            endpoints=Endpoints(core=core, account=f"http://127.0.0.1:{server_port}/account"),
            auth_config=TokenProviderConf(
                token_endpoint=f"http://127.0.0.1:{server_port}/oauth/token",
                public_client_id="public",
                audience="any",
                realm="any",
                grant_type=AUTH0_TOKEN_PROVIDER_GRANT_TYPE,
            ),
        )

    return connect


async def test_a_batch_is_created_and_read(connect, services, in_thread):
    def work():
        sdk = connect()
        created = sdk.create_batch(
            "<sequence>", jobs=[CreateJob(runs=100, variables={"omega": 5})], open=True
        )
        return created, sdk.get_batch(BATCH)

    created, read = await in_thread(work)

    (request,) = [call.request for call in services.calls if call.method == "CreateBatch"]
    assert request == batch.CreateBatchRequest(
        project_id=PROJECT,
        sequence="<sequence>",
        jobs=[batch_pb2.NewJob(runs=100, variables_json='{"omega":5}')],
        open=True,
    )
    assert created.open
    assert [(j.id, j.variables) for j in created.ordered_jobs] == [(JOB, {"omega": 5})]
    assert (read.status, read.jobs_count_per_status) == ("DONE", {"DONE": 2, "ERROR": 1})
    assert read.sequence_builder == "<sequence>"
    assert all(
        call.metadata["authorization"] == "Bearer a.b.c"
        for call in services.calls
        if call.method != "IssueToken"
    )


async def test_an_open_batch_is_worked_with_and_ended(connect, services, in_thread):
    def work():
        sdk = connect()
        batch = sdk.get_batch(BATCH)
        batch.add_jobs([CreateJob(runs=7, variables={"omega": 1.5})])
        batch.set_tags(["a", "b"])
        batch.retry(batch.ordered_jobs[0])
        batch.close()
        batch.cancel()
        return batch

    closed = await in_thread(work)

    changes = {
        call.method: call.request
        for call in services.calls
        if call.method not in ("IssueToken", "GetBatch", "ListJobs")
    }
    assert list(changes) == ["AddJobs", "SetBatchTags", "CloseBatch", "CancelBatch"]
    # The client names all keys of a job that it repeats.
    assert changes["AddJobs"].jobs[0].variables_json == '{"omega":5}'
    assert list(changes["SetBatchTags"].tags) == ["a", "b"]
    assert [j.id for j in closed.ordered_jobs] == [JOB]


async def test_batches_and_jobs_are_cancelled_and_repeated(connect, services, in_thread):
    def work():
        sdk = connect()
        return (
            sdk.cancel_job(JOB),
            sdk.cancel_jobs(BATCH, CancelJobFilters(min_runs=3)),
            sdk.cancel_batch(BATCH),
            sdk.cancel_batches([BATCH, JOB]),
            sdk.rebatch(BATCH, RebatchFilters(id=[JOB], status=["ERROR"])),
        )

    job_, jobs, batch_, batches, repeated = await in_thread(work)

    assert job_.status == "CANCELED"
    assert ([j.id for j in jobs.jobs], jobs.errors) == ([JOB], {UUID(BATCH): "the job is DONE"})
    assert batch_.status == "RUNNING"  # it is being stopped
    assert [b.id for b in batches.batches] == [BATCH]
    assert batches.errors == {UUID(JOB): "batch not found"}
    assert (repeated.id, repeated.parent_id) == (JOB, BATCH)
    requests = {call.method: call.request for call in services.calls}
    assert requests["CancelJobs"].filter == job_pb2.JobFilter(min_runs=3)
    assert requests["RepeatBatch"].filter == job_pb2.JobFilter(
        ids=[JOB], statuses=[job_pb2.JOB_STATUS_ERROR]
    )


async def test_lists_and_their_filters(connect, services, in_thread):
    def work():
        sdk = connect()
        batches = sdk.get_batches(
            filters=BatchFilters(status=["DONE"], open=False, id=BATCH),
            pagination_params=PaginationParams(offset=0, limit=10),
        )
        jobs = sdk.get_jobs(filters=JobFilters(batch_id=BATCH, errors=True))
        return batches, jobs

    batches, jobs = await in_thread(work)

    assert (batches.total, batches.offset, len(batches.results)) == (1, 0, 1)
    assert jobs.results[0].runs == 100
    requests = {call.method: call.request for call in services.calls}
    assert requests["ListBatches"].filter.open is False
    assert list(requests["ListBatches"].filter.ids) == [BATCH]
    assert requests["ListJobs"].filter.errors is True


async def test_all_pages_of_jobs_are_found(connect, services, in_thread, make_job):
    every = [make_job(creation_order=rank) for rank in range(250)]
    services.answers["ListJobs"] = lambda request: job.ListJobsResponse(
        jobs=every[request.page.skip : request.page.skip + 100], total_size=250
    )

    rows = await in_thread(lambda: connect()._client.get_batch_jobs(BATCH))

    assert [row["creation_order"] for row in rows] == list(range(250))


async def test_results_are_downloaded(connect, services, in_thread):
    assert await in_thread(lambda: connect()._client.get_job_results(JOB)) == {
        "raw": None,
        "counter": {"01": 7},
        "serialised_results": None,
    }
    services.answers["GetResultLink"] = job.GetResultLinkResponse()
    assert await in_thread(lambda: connect()._client.get_job_results(JOB)) is None


async def test_devices_and_projects(connect, in_thread, core, server_port):
    assert await in_thread(lambda: connect().get_device_specs_dict()) == {
        "EMU_FREE": '{"name":"x"}'
    }
    anonymous = HTTPClient(endpoints=Endpoints(core=core))
    assert await in_thread(anonymous.get_device_specs_dict) == {"EMU_FREE": '{"name":"x"}'}
    (project,) = await in_thread(lambda: connect().get_all_projects())
    assert (project.id, project.name) == (PROJECT, "mine")


async def test_a_wrong_password_is_said(connect, services, in_thread):
    services.answers["IssueToken"] = Unauthenticated("no such user")

    with pytest.raises(TokenProviderError, match=r"403: Wrong user name or password\."):
        await in_thread(connect)


async def _fails(in_thread, error, work):
    """Returns the text of the client's error; its classes derive from BaseException."""

    def caught():
        try:
            work()
        except error as raised:
            return str(raised)
        return None

    return await in_thread(caught)


async def test_the_client_prints_the_reason_of_invalid_input(connect, services, in_thread):
    services.answers["CreateBatch"] = InvalidInput("jobs[0].variables.omega", "a value is missing")

    text = await _fails(
        in_thread,
        BatchCreationError,
        lambda: connect().create_batch("<sequence>", jobs=[CreateJob(runs=1)]),
    )

    assert text.startswith("Batch creation failed: 422: [{")
    assert "'loc': ['body', 'jobs', 0, 'variables', 'omega']" in text
    assert "a value is missing" in text


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (NotFound(f"batch {BATCH} not found"), f"404: batch {BATCH} not found"),
        (Unauthenticated("the token has expired"), "401: the token has expired"),
    ],
)
async def test_the_client_prints_the_reason_of_a_refusal(
    connect, services, in_thread, failure, reason
):
    services.answers["GetBatch"] = failure

    text = await _fails(in_thread, BatchFetchingError, lambda: connect().get_batch(BATCH))

    assert text.startswith(f"Batch fetching failed: {reason}")


async def test_the_client_prints_what_the_gateway_itself_refuses(connect, in_thread):
    text = await _fails(in_thread, JobFetchingError, lambda: connect().get_job("not-an-id"))

    assert text.startswith("Job fetching failed: 422: [{'loc': ['path', 'job_id']")


async def test_the_client_prints_that_a_service_is_away(connect, services, in_thread, fails):
    services.answers["CreateBatch"] = fails(grpc.StatusCode.UNAVAILABLE, "")

    text = await _fails(
        in_thread,
        BatchCreationError,
        lambda: connect().create_batch("<sequence>", jobs=[CreateJob(runs=1)]),
    )

    assert text.startswith("Batch creation failed: 503: a part of the system is not available")
