"""Intents reach JobService in the end, whatever fails or dies on the way."""

import grpc

from tweezer.v1.batch_service_pb2 import CreateBatchRequest, GetBatchRequest


def unacknowledged(place):
    return place.rows("SELECT count(*) FROM batch WHERE acknowledged_version < intent_version")[0][
        0
    ]


async def only_the_next_is_told(place, stubs, user, new_batch):
    """What was told before is written down as acknowledged before the next call."""
    created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
    call = await place.queue.next_call_of_intents()
    assert [intent.batch_id for intent in call.intents] == [created.batch.id]


async def test_an_acknowledged_intent_is_not_repeated(place, stubs, user, new_batch):
    for _ in range(3):
        await only_the_next_is_told(place, stubs, user, new_batch)


async def test_it_is_told_again_until_it_is_acknowledged(place, stubs, user, new_batch):
    failures = iter([grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL])
    place.queue.refuse_intents = lambda _: next(failures, None)
    created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
    calls = [await place.queue.next_call_of_intents() for _ in range(3)]
    assert calls[0] == calls[1] == calls[2]
    assert (await place.queue.next_intent()).batch_id == created.batch.id
    await only_the_next_is_told(place, stubs, user, new_batch)


async def test_a_restart_resumes_what_was_committed_and_not_told(place, user, new_batch):
    """The process dies after the commit: the caller has its answer, JobService holds the jobs."""
    place.queue.refuse_intents = lambda _: grpc.StatusCode.UNAVAILABLE
    async with place.running() as stubs:
        created = await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
        await place.queue.next_call_of_intents()
    assert unacknowledged(place) == 1
    place.queue.refuse_intents = lambda _: None
    async with place.running() as stubs:
        intent = await place.queue.next_intent()
        assert intent.batch_id == created.batch.id
        assert intent.released_addition_ids == [place.queue.enqueued[0].addition_id]
        read = await stubs.batches.GetBatch(
            GetBatchRequest(batch_id=created.batch.id), metadata=user.metadata
        )
        assert read.batch == created.batch
        place.queue.forget_calls()
        await only_the_next_is_told(place, stubs, user, new_batch)


async def test_one_that_is_refused_does_not_hold_up_the_others(place, user, new_batch):
    place.queue.refuse_intents = lambda _: grpc.StatusCode.UNAVAILABLE
    async with place.running() as stubs:

        async def create(request: CreateBatchRequest) -> str:
            created = await stubs.batches.CreateBatch(request, metadata=user.metadata)
            return created.batch.id

        wrong, good, better = [await create(new_batch()) for _ in range(3)]
    place.queue.refuse_intents = lambda request: (
        grpc.StatusCode.INVALID_ARGUMENT
        if wrong in [intent.batch_id for intent in request.intents]
        else None
    )
    async with place.running() as stubs:
        told = {(await place.queue.next_intent()).batch_id for _ in range(2)}
        assert told == {good, better}
        place.queue.refuse_intents = lambda _: None
        assert (await place.queue.next_intent()).batch_id == wrong
        place.queue.forget_calls()
        await only_the_next_is_told(place, stubs, user, new_batch)


async def test_many_are_told_in_chunks(place, user, new_batch):
    place.queue.refuse_intents = lambda _: grpc.StatusCode.UNAVAILABLE
    async with place.running() as stubs:
        for _ in range(5):
            await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
    place.queue.refuse_intents = lambda _: None
    place.queue.forget_calls()
    async with place.running(intents_per_call=2) as stubs:
        sizes = [len((await place.queue.next_call_of_intents()).intents) for _ in range(3)]
        assert sizes == [2, 2, 1]
        await only_the_next_is_told(place, stubs, user, new_batch)
