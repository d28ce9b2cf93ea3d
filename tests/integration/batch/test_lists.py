"""Filters, orders and pages of batch lists."""

import grpc
import pytest
import pytest_asyncio

from tweezer.database.timestamps import to_timestamp
from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import BatchFilter, BatchStatus, JobCounts, QueuePriority
from tweezer.v1.batch_service_pb2 import ListBatchesRequest
from tweezer.v1.paging_pb2 import Page, SortDirection

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"
HOUR = 3600 * 1_000_000
STARTED = 1_700_000_000_000_000

# All tests read the same three batches.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory, backend, open_place):
    async with open_place(tmp_path_factory.mktemp("lists"), backend) as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stubs(place):
    async with place.running() as stubs:
        yield stubs


@pytest.fixture(scope="module")
def user(place):
    return place.user()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three(stubs, user, new_batch):
    created = [
        await stubs.batches.CreateBatch(new_batch(jobs=count, tags=tags), metadata=user.metadata)
        for count, tags in ((1, ["a"]), (3, ["a", "b"]), (2, []))
    ]
    return [response.batch.id for response in created]


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def progressed(stubs, three):
    """The first is done, the second runs, the third waits."""
    first, second, _ = three
    await stubs.progress.ReportProgress(
        ReportProgressRequest(
            reports=[
                BatchProgress(
                    batch_id=first,
                    version=1,
                    job_counts=JobCounts(done=1),
                    start_time=to_timestamp(STARTED),
                    end_time=to_timestamp(STARTED + HOUR),
                ),
                BatchProgress(
                    batch_id=second,
                    version=1,
                    job_counts=JobCounts(running=1, pending=2),
                    start_time=to_timestamp(STARTED + HOUR),
                ),
            ]
        )
    )
    return three


@pytest.fixture
def list_batches(stubs, user):
    async def call(by=user, **changes):
        page = Page(**changes.pop("page", {}))
        request = ListBatchesRequest(filter=BatchFilter(**changes), page=page)
        return await stubs.batches.ListBatches(request, metadata=by.metadata)

    return call


@pytest.fixture
def ids(list_batches):
    async def call(**changes):
        return [batch.id for batch in (await list_batches(**changes)).batches]

    return call


async def test_lists_are_newest_first_and_without_sequences(list_batches, three):
    response = await list_batches()
    assert [batch.id for batch in response.batches] == three[::-1]
    assert response.total_size == 3
    for batch in response.batches:
        assert not batch.HasField("sequence")
        assert batch.job_ids == []
        assert batch.jobs_count > 0


async def test_pages(list_batches, three):
    response = await list_batches(page={"size": 2})
    assert [batch.id for batch in response.batches] == [three[2], three[1]]
    assert response.total_size == 3
    response = await list_batches(page={"size": 2, "skip": 2})
    assert [batch.id for batch in response.batches] == [three[0]]
    assert response.total_size == 3
    response = await list_batches(page={"size": 2, "skip": 10})
    assert (len(response.batches), response.total_size) == (0, 3)


UPWARDS = SortDirection.SORT_DIRECTION_ASC
DOWNWARDS = SortDirection.SORT_DIRECTION_DESC

ORDERS = [
    ("", UPWARDS, [0, 1, 2]),
    ("created_at", DOWNWARDS, [2, 1, 0]),
    ("jobs_count", UPWARDS, [0, 2, 1]),
    ("jobs_count", DOWNWARDS, [1, 2, 0]),
    ("start_datetime", UPWARDS, [2, 0, 1]),
    ("start_datetime", DOWNWARDS, [1, 0, 2]),
    ("end_datetime", UPWARDS, [1, 2, 0]),
    ("end_datetime", DOWNWARDS, [0, 2, 1]),
    ("status", UPWARDS, [0, 2, 1]),
    ("device_type", UPWARDS, [0, 1, 2]),
    ("device_type", DOWNWARDS, [2, 1, 0]),
    ("queue_priority", DOWNWARDS, [2, 1, 0]),
    ("updated_at", UPWARDS, [2, 0, 1]),
]


@pytest.mark.parametrize(("column", "direction", "expected"), ORDERS)
async def test_orders(ids, progressed, column, direction, expected):
    page = {"order_by": column, "direction": direction}
    assert await ids(page=page) == [progressed[index] for index in expected]


async def test_order_by_identifier(ids, three):
    assert await ids(page={"order_by": "id", "direction": UPWARDS}) == sorted(three)


FILTERS = {
    "status": ({"statuses": [BatchStatus.BATCH_STATUS_RUNNING]}, [1]),
    "several statuses": (
        {"statuses": [BatchStatus.BATCH_STATUS_DONE, BatchStatus.BATCH_STATUS_PENDING]},
        [2, 0],
    ),
    "min_jobs": ({"min_jobs": 2}, [2, 1]),
    "max_jobs": ({"max_jobs": 2}, [2, 0]),
    "tag": ({"tag": "a"}, [1, 0]),
    "another tag": ({"tag": "b"}, [1]),
    "unknown tag": ({"tag": "c"}, []),
    "device": ({"device_types": ["EMU_FREE", "EMU_SV"]}, [2, 1, 0]),
    "other device": ({"device_types": ["EMU_SV"]}, []),
    "closed": ({"open": False}, [2, 1, 0]),
    "open": ({"open": True}, []),
    "priority": ({"queue_priorities": [QueuePriority.QUEUE_PRIORITY_MEDIUM]}, [2, 1, 0]),
    "other priority": ({"queue_priorities": [QueuePriority.QUEUE_PRIORITY_LOW]}, []),
    "started since": ({"start_time": to_timestamp(STARTED + 1)}, [1]),
    "ended until": ({"end_time": to_timestamp(STARTED + HOUR)}, [0]),
    "project": ({"project_ids": [PROJECT.upper(), OTHER_PROJECT]}, [2, 1, 0]),
    "other project": ({"project_ids": [OTHER_PROJECT]}, []),
    "together": ({"tag": "a", "min_jobs": 2}, [1]),
}


@pytest.mark.parametrize(("changes", "expected"), FILTERS.values(), ids=FILTERS.keys())
async def test_filters(ids, progressed, changes, expected):
    assert await ids(**changes) == [progressed[index] for index in expected]


async def test_identifiers_in_any_spelling(ids, three):
    spellings = [three[0].upper(), three[1].replace("-", ""), f"{{{three[2]}}}"]
    for batch_id, spelling in zip(three, spellings, strict=True):
        assert await ids(ids=[spelling]) == [batch_id]
    assert await ids(ids=spellings) == three[::-1]
    assert await ids(id_prefix=three[0][:10].upper()) == [three[0]]
    assert await ids(id_prefix=three[0]) == [three[0]]


async def test_users(ids, three, user, place):
    assert await ids(user_ids=[user.user_id.upper()]) == three[::-1]
    assert await ids(user_ids=[place.user().user_id, "somebody else"]) == []


BAD = {
    "id": ({"ids": ["x"]}, "id: 'x' is not a UUID"),
    "prefix": ({"id_prefix": "x%"}, "id__starts_with: must be the first characters of a UUID"),
    "project": ({"project_ids": ["x"]}, "project_id: 'x' is not a UUID"),
    "status": ({"statuses": [0]}, "status: 0 is not known"),
    "priority": ({"queue_priorities": [99]}, "queue_priority: 99 is not known"),
    "many": ({"user_ids": ["u"] * 1001}, "user_id: has 1001 values, and the limit is 1000"),
    "size": ({"page": {"size": 101}}, "limit: must be 1 to 100, not 101"),
    "skip": ({"page": {"skip": -1}}, "offset: must not be negative, and is -1"),
    "order": (
        {"page": {"order_by": "sequence"}},
        "order_by: 'sequence' is not one of created_at, device_type, end_datetime, id, "
        "jobs_count, queue_priority, start_datetime, status, updated_at",
    ),
    "direction": ({"page": {"direction": 7}}, "order_by_direction: must be ASC or DESC"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
async def test_bad_filters(list_batches, changes, message):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await list_batches(**changes)
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details() == message
