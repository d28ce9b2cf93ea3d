"""Creating batches: what is answered, what is held, what is stored, what is released."""

import asyncio
import hashlib
import json
import uuid

import grpc
import pulser
import pytest
from pulser.backend import BitStrings, EmulationConfig

from tweezer.batch.identifiers import job_ids
from tweezer.database.opening import create_engine_of
from tweezer.identity import store as identity_store
from tweezer.identity.models import QueuePriority as ProjectPriority
from tweezer.internal.v1.progress_service_pb2 import ResolveAdditionsRequest
from tweezer.v1.batch_pb2 import BatchStatus, NewJob, QueuePriority
from tweezer.v1.batch_service_pb2 import GetBatchRequest
from tweezer.v1.job_pb2 import JobOrigin, JobStatus

PROJECT = "11111111-1111-4111-8111-111111111111"


async def test_the_answer_shows_the_batch_and_its_jobs(create, sequences, user):
    response = await create(
        jobs=2,
        tags=["sweep", "night", "sweep"],
        webhook="https://example.org/hook",
        configuration_json='{"with_noise": false}',
    )
    batch = response.batch
    assert str(uuid.UUID(batch.id)) == batch.id
    assert batch.status == BatchStatus.BATCH_STATUS_PENDING
    assert (batch.jobs_count, batch.job_counts.pending) == (2, 2)
    assert batch.tags == ["sweep", "night"]
    assert (batch.project_id, batch.user_id) == (PROJECT, user.user_id)
    assert (batch.device_type, batch.open) == ("EMU_FREE", False)
    assert batch.webhook == "https://example.org/hook"
    assert batch.configuration_json == '{"with_noise": false}'
    assert batch.queue_priority == QueuePriority.QUEUE_PRIORITY_MEDIUM
    assert batch.sequence == sequences.plain
    assert batch.create_time == batch.update_time
    assert not batch.HasField("start_time")
    assert not batch.HasField("end_time")
    assert not batch.HasField("parent_id")
    first, second = response.jobs
    assert [first.id, second.id] == list(batch.job_ids)
    assert [first.id, second.id] == job_ids(batch.id, 0, 2)
    assert (first.creation_order, second.creation_order) == (0, 1)
    assert first.status == JobStatus.JOB_STATUS_PENDING
    assert (first.runs, first.batch_id, first.project_id) == (10, batch.id, PROJECT)
    assert first.create_time == batch.create_time
    assert first.origin == JobOrigin.JOB_ORIGIN_CLIENT


async def test_reading_it_gives_what_was_answered(create, stubs, user):
    created = (await create(jobs=3, tags=["a"])).batch
    read = await stubs.batches.GetBatch(
        GetBatchRequest(batch_id=created.id.upper()), metadata=user.metadata
    )
    assert read.batch == created


async def test_jobs_are_held_then_stored_then_released(place, create, sequences, user):
    response = await create(
        jobs=2, device_type=None, configuration_json="{}", backend_configuration=None
    )
    (held,) = place.queue.enqueued
    program_hash = hashlib.sha256(sequences.plain.encode()).hexdigest()
    assert held.batch.id == response.batch.id
    assert (held.batch.project_id, held.batch.user_id) == (PROJECT, user.user_id)
    assert held.batch.device_type == "EMU_FREE"
    assert held.batch.program_hash == program_hash
    assert held.batch.configuration_json == "{}"
    assert not held.batch.HasField("backend_configuration")
    assert held.batch.origin == JobOrigin.JOB_ORIGIN_CLIENT
    assert held.create_time == response.batch.create_time
    assert [(j.id, j.creation_order, j.runs) for j in held.jobs] == [
        (j.id, j.creation_order, j.runs) for j in response.jobs
    ]
    intent = await place.queue.next_intent()
    assert intent.batch_id == response.batch.id
    assert intent.released_addition_ids == [held.addition_id]
    assert (intent.cancelled, intent.paused) == (False, False)
    assert intent.version > 0
    assert place.rows("SELECT hash, sequence FROM program") == [(program_hash, sequences.plain)]


async def test_a_sequence_is_stored_once_for_each_content(place, create, sequences):
    await create()
    await create(sequence=None, jobs=[NewJob(sequence=sequences.plain)])
    await create(jobs=[NewJob(), NewJob(sequence=sequences.unmeasured)])
    assert {row[0] for row in place.rows("SELECT sequence FROM program")} == {
        sequences.plain,
        sequences.unmeasured,
    }
    assert place.rows("SELECT count(*) FROM program") == [(2,)]


async def test_each_job_can_have_a_sequence_of_its_own(place, create, sequences, stubs, user):
    response = await create(
        sequence=None,
        device_type=None,
        jobs=[
            NewJob(sequence=sequences.plain, runs=5, variables_json="{}"),
            NewJob(sequence=sequences.unmeasured, variables_json="null"),
        ],
    )
    (held,) = place.queue.enqueued
    assert not held.batch.HasField("program_hash")
    assert [job.program_hash for job in held.jobs] == [
        hashlib.sha256(text.encode()).hexdigest()
        for text in (sequences.plain, sequences.unmeasured)
    ]
    assert not any(job.HasField("variables_json") for job in held.jobs)
    assert not response.batch.HasField("sequence")
    read = await stubs.batches.GetBatch(
        GetBatchRequest(batch_id=response.batch.id), metadata=user.metadata
    )
    assert not read.batch.HasField("sequence")


async def test_variables_are_passed_on_as_they_were_sent(place, create, sequences):
    texts = [
        '{"omega": 3.5, "steps": [0, 1, 2], "duration": 1000}',
        '{"omega": [3], "steps": [0.5, 1, 2], "duration": [1000.0]}',
    ]
    response = await create(
        sequence=sequences.parametrised, jobs=[NewJob(variables_json=text) for text in texts]
    )
    assert [job.variables_json for job in response.jobs] == texts
    (held,) = place.queue.enqueued
    assert [job.variables_json for job in held.jobs] == texts


async def test_a_mappable_register_takes_its_qubits_from_the_variables(create, sequences):
    response = await create(
        sequence=sequences.mappable,
        jobs=[NewJob(variables_json=json.dumps({"qubits": {"q1": 0, "q0": 4}}))],
    )
    assert json.loads(response.jobs[0].variables_json) == {"qubits": {"q1": 0, "q0": 4}}


async def test_an_open_batch_can_start_without_jobs(place, create):
    response = await create(jobs=0, open=True)
    assert response.batch.open
    assert response.batch.status == BatchStatus.BATCH_STATUS_PENDING
    assert (response.batch.jobs_count, len(response.jobs)) == (0, 0)
    (held,) = place.queue.enqueued
    assert len(held.jobs) == 0
    assert (await place.queue.next_intent()).released_addition_ids == [held.addition_id]


async def test_the_device_comes_from_the_sequence_when_it_is_not_named(create, sequences):
    assert (await create(device_type=None)).batch.device_type == "EMU_FREE"


async def test_a_named_emulator_takes_sequences_for_any_device(create, sequences):
    text = sequences.of_square(2, device=pulser.AnalogDevice)
    assert (await create(sequence=text)).batch.device_type == "EMU_FREE"


async def test_the_queue_priority_is_that_of_the_project(place, create):
    engine = create_engine_of(place.settings.identity_database)
    with engine.connect() as connection, connection.begin():
        identity_store.add_project(
            connection, "urgent", 0, ProjectPriority.CRITICAL, project_id=PROJECT
        )
    engine.dispose()
    response = await create()
    assert response.batch.queue_priority == QueuePriority.QUEUE_PRIORITY_CRITICAL
    assert place.queue.enqueued[0].batch.queue_priority == QueuePriority.QUEUE_PRIORITY_CRITICAL


async def test_the_origin_is_passed_on(place, create):
    response = await create(origin=JobOrigin.JOB_ORIGIN_OVH)
    assert response.jobs[0].origin == JobOrigin.JOB_ORIGIN_OVH
    assert place.queue.enqueued[0].batch.origin == JobOrigin.JOB_ORIGIN_OVH


async def test_a_configuration_with_the_token_infinity_is_accepted(create):
    text = EmulationConfig(observables=[BitStrings()], autosave_dt=float("inf")).to_abstract_repr()
    assert "Infinity" in text
    assert (await create(backend_configuration=text)).batch.backend_configuration == text


async def test_nothing_is_stored_when_job_service_is_away(place, create):
    place.queue.refuse_enqueue = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await create(tags=["x"])
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    for table in ("batch", "addition", "program", "batch_tag"):
        assert place.rows(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_caller_who_goes_away_before_the_commit_leaves_nothing(place, stubs, create):
    place.queue.may_answer.clear()
    call = asyncio.ensure_future(create())
    await asyncio.wait_for(place.queue.entered.wait(), 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    place.queue.may_answer.set()
    (held,) = place.queue.enqueued
    resolved = await stubs.progress.ResolveAdditions(
        ResolveAdditionsRequest(addition_ids=[held.addition_id])
    )
    assert resolved.unknown_addition_ids == [held.addition_id]
    assert place.rows("SELECT count(*) FROM batch") == [(0,)]


async def test_an_addition_that_was_given_up_cannot_be_committed(place, stubs, create):
    """JobService has dropped the jobs, so the batch would lack them for ever."""
    place.queue.may_answer.clear()
    call = asyncio.ensure_future(create())
    await asyncio.wait_for(place.queue.entered.wait(), 60)
    (held,) = place.queue.enqueued
    for _ in range(2):  # it may be asked again
        resolved = await stubs.progress.ResolveAdditions(
            ResolveAdditionsRequest(addition_ids=[held.addition_id])
        )
        assert resolved.unknown_addition_ids == [held.addition_id]
    place.queue.may_answer.set()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert place.rows("SELECT count(*) FROM batch") == [(0,)]
    assert place.rows("SELECT count(*) FROM program") == [(0,)]


async def test_committed_additions_are_known(place, stubs, create):
    await create()
    (held,) = place.queue.enqueued
    resolved = await stubs.progress.ResolveAdditions(
        ResolveAdditionsRequest(addition_ids=[held.addition_id, "nobody", held.addition_id])
    )
    assert resolved.unknown_addition_ids == ["nobody"]


async def test_fifty_at_once_are_all_stored_and_released(place, create):
    responses = await asyncio.gather(*(create(jobs=2, tags=[f"t{i}"]) for i in range(50)))
    ids = {response.batch.id for response in responses}
    assert len(ids) == 50
    assert {row[0] for row in place.rows("SELECT id FROM batch")} == ids
    assert {request.batch.id for request in place.queue.enqueued} == ids
    released = [await place.queue.next_intent() for _ in range(50)]
    assert {intent.batch_id for intent in released} == ids
    assert place.rows("SELECT count(*) FROM program") == [(1,)]
    jobs = [job.id for response in responses for job in response.jobs]
    assert len(set(jobs)) == 100
