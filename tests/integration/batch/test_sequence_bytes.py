"""How much the sequences of a project take is counted, and JobService is told."""

import asyncio
import json

import grpc
import pytest

from tweezer.batch.service import MIGRATIONS
from tweezer.database.migrations import upgrade
from tweezer.database.opening import create_engine_of
from tweezer.database.timestamps import now_micros, to_timestamp
from tweezer.database.url import sqlite_url
from tweezer.internal.v1.progress_service_pb2 import BatchProgress, ReportProgressRequest
from tweezer.v1.batch_pb2 import JobCounts, NewJob
from tweezer.v1.batch_service_pb2 import AddJobsRequest
from tweezer.v1.operator_service_pb2 import VacuumRequest

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"

COUNTED = "SELECT project_id, sequence_bytes FROM project_load WHERE sequence_bytes <> 0"
RECOUNT = """
    SELECT project_id, sum(size) FROM program WHERE project_id IS NOT NULL GROUP BY project_id
"""


def counted(place) -> dict[str, int]:
    rows = {row[0]: int(row[1]) for row in place.rows(COUNTED)}
    assert rows == {row[0]: int(row[1]) for row in place.rows(RECOUNT)}
    return rows


@pytest.fixture
def texts(sequences):
    """Sequences of one content each, some of whose characters take more than a byte."""

    def text(number: int) -> str:
        content = json.loads(sequences.plain)
        content["name"] = f"sequence {number} µ"
        return json.dumps(content, ensure_ascii=False)

    return [text(number) for number in range(8)]


def size(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)


async def test_each_sequence_counts_once_for_the_project_that_brought_it(
    place, stubs, new_batch, user, texts
):
    other, operator = place.user(OTHER), place.operator()

    async def create(by=user, **fields):
        request = new_batch(**fields)
        return (await stubs.batches.CreateBatch(request, metadata=by.metadata)).batch.id

    def told():
        return place.queue.enqueued[-1].sequence_bytes

    first = await create(sequence=texts[0])
    assert told() == 0  # what is there already, not what comes
    assert counted(place) == {PROJECT: size(texts[0])}
    await create(sequence=texts[0])
    assert (told(), counted(place)) == (size(texts[0]), {PROJECT: size(texts[0])})
    again = await create(other, sequence=texts[0], project_id=OTHER)
    assert counted(place) == {PROJECT: size(texts[0])}
    opened = await create(other, sequence=texts[1], project_id=OTHER, open=True)
    jobs = [NewJob(sequence=texts[n]) for n in (2, 3, 2, 0)]
    add = AddJobsRequest(batch_id=opened, jobs=jobs)
    await stubs.batches.AddJobs(add, metadata=other.metadata)
    assert told() == size(texts[1])
    assert counted(place) == {PROJECT: size(texts[0]), OTHER: size(*texts[1:4])}

    async def delete(*batch_ids):
        for batch_id in batch_ids:
            progress = BatchProgress(batch_id=batch_id, version=1, job_counts=JobCounts(done=1))
            progress.end_time.CopyFrom(to_timestamp(1))
            await stubs.progress.ReportProgress(ReportProgressRequest(reports=[progress]))
        await place.until_all_is_told()
        request = VacuumRequest(ended_before=to_timestamp(now_micros()))
        await stubs.operators.Vacuum(request, metadata=operator.metadata)

    alone = await create(sequence=texts[5])
    assert counted(place)[PROJECT] == size(texts[0], texts[5])
    await delete(alone)
    assert counted(place) == {PROJECT: size(texts[0]), OTHER: size(*texts[1:4])}
    await delete(first, again)  # others use its sequence
    assert counted(place)[PROJECT] == size(texts[0])


async def test_who_brings_it_at_the_same_time(place, stubs, new_batch, user, texts):
    other = place.user(OTHER)
    calls = [
        stubs.batches.CreateBatch(
            new_batch(sequence=text, project_id=project), metadata=by.metadata
        )
        for text in texts
        for by, project in ((user, PROJECT), (other, OTHER))
    ]
    await asyncio.gather(*calls)
    assert sum(counted(place).values()) == size(*texts)


async def test_what_job_service_says_of_the_limit_is_passed_on(place, stubs, new_batch, user):
    place.queue.refuse_enqueue = grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failed.value.details() == "refused by the test"
    assert counted(place) == {}


BATCH = """
    INSERT INTO batch (
        id, project_id, user_id, device_type, queue_priority, origin, tags, open, cancelled,
        timed_out, paused, intent_version, acknowledged_version, next_order, status, jobs_count,
        running, canceling, done, error, canceled, progress_version, created_at, updated_at,
        program_hash
    ) VALUES (
        '{id}', '{project}', 'u', 'EMU_FREE', 'MEDIUM', 'CLIENT', '[]', FALSE, FALSE, FALSE, FALSE,
        1, 1, 1, 'PENDING', 1, 0, 0, 0, 0, 0, 1, 10, 10, {program}
    )
"""


def test_what_is_there_is_counted(tmp_path, backend, request):
    if backend == "postgresql":
        url = request.getfixturevalue("postgres_server").empty()
    else:
        url = sqlite_url(tmp_path / "batch.db")
    engine = create_engine_of(url)
    upgrade(engine, MIGRATIONS, "0003")
    with engine.begin() as connection:
        for hash_, text, tracked in (
            ("shared", "µ1", True),
            ("own", "12345", True),
            ("unused", "1", True),
            ("old", "12", False),
        ):
            connection.exec_driver_sql(
                "INSERT INTO program (hash, sequence, created_at, tracked)"
                f" VALUES ('{hash_}', '{text}', 1, {tracked})"
            )
        for id_, project, program in (
            ("a", "p", "'shared'"),
            ("b", "q", "'shared'"),
            ("c", "q", "NULL"),
            ("d", "q", "'old'"),
        ):
            connection.exec_driver_sql(BATCH.format(id=id_, project=project, program=program))
        connection.exec_driver_sql(
            "INSERT INTO job_program (batch_seq, program_hash)"
            " SELECT seq, 'own' FROM batch WHERE id = 'c'"
        )
        connection.exec_driver_sql(
            "INSERT INTO project_load (project_id, batches, unfinished_jobs, last_activity_at)"
            " VALUES ('p', 1, 1, 1), ('q', 3, 3, 1), ('r', 0, 0, 1)"
        )
    upgrade(engine, MIGRATIONS)
    with engine.connect() as connection:
        loads = connection.exec_driver_sql("SELECT project_id, sequence_bytes FROM project_load")
        assert dict(loads.all()) == {"p": 3, "q": 5, "r": 0}
    engine.dispose()
