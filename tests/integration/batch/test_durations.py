"""Sequences that last for too long are refused, where it is known before they run."""

import json

import grpc
import pytest

from tweezer.v1.batch_pb2 import NewJob
from tweezer.v1.batch_service_pb2 import AddJobsRequest

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def backend():
    return "sqlite"  # nothing of it depends on the database


def job(**values):
    return NewJob(
        variables_json=json.dumps({"omega": 1, "steps": [0, 1, 2], "duration": 100} | values)
    )


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT, failed.value.details()
    return failed.value.details()


@pytest.fixture
def create(new_batch, user):
    def call(stubs, **fields):
        return stubs.batches.CreateBatch(new_batch(**fields), metadata=user.metadata)

    return call


async def test_a_sequence_without_variables(place, create, sequences):
    """Shared by the jobs, of a job of its own, and with a register that is still to be chosen."""
    too_long = "the sequence lasts 100 ns, and the limit is 99 ns"
    async with place.running(max_sequence_ns=99) as stubs:
        for text in (sequences.plain, sequences.mappable):
            told = await refusal(create(stubs, sequence=text))
            assert told == f"sequence_builder: {too_long}"
        jobs = [NewJob(sequence=sequences.plain)]
        told = await refusal(create(stubs, sequence=None, jobs=jobs))
        assert told == f"jobs[0].sequence: {too_long}"
    assert place.queue.enqueued == []
    async with place.running(max_sequence_ns=100) as stubs:
        await create(stubs, sequence=sequences.plain)


async def test_the_job_whose_variables_make_it_too_long_is_named(place, create, sequences, user):
    jobs = [job(), job(omega=2), job(duration=1000), job(duration=1001), job(duration=2000)]
    async with place.running(max_sequence_ns=1000) as stubs:
        told = await refusal(create(stubs, sequence=sequences.parametrised, jobs=jobs))
        told_again = await refusal(create(stubs, sequence=sequences.parametrised, jobs=jobs))
        assert place.queue.enqueued == []
        opened = await create(stubs, sequence=sequences.parametrised, jobs=jobs[:3], open=True)
        add = AddJobsRequest(batch_id=opened.batch.id, jobs=jobs[2:4])
        told_of_added = await refusal(stubs.batches.AddJobs(add, metadata=user.metadata))
    too_long = "variables: the sequence lasts 1001 ns, and the limit is 1000 ns"
    assert told == told_again == f"jobs[3].{too_long}"
    assert told_of_added == f"jobs[1].{too_long}"


async def test_values_that_it_cannot_be_built_with_are_left_to_where_it_runs(
    place, create, sequences
):
    async with place.running(max_sequence_ns=1000) as stubs:
        jobs = [job(duration=0), job(duration=5000)]
        told = await refusal(create(stubs, sequence=sequences.parametrised, jobs=jobs))
        assert told.startswith("jobs[1].variables: the sequence lasts 5000 ns")
        await create(stubs, sequence=sequences.parametrised, jobs=jobs[:1])
