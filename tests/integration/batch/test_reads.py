"""Reading batches of one's own projects, and never those of others."""

import grpc
import pytest

from tweezer.v1.batch_service_pb2 import (
    GetBatchRequest,
    GetBatchStatusRequest,
    ListBatchesRequest,
)

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


async def test_projects_do_not_see_each_other(create, stubs, user, place):
    stranger = place.user(OTHER_PROJECT)
    mine = (await create()).batch.id
    theirs = (await create(by=stranger, project_id=OTHER_PROJECT)).batch.id
    both = place.user(PROJECT, OTHER_PROJECT)
    nobody = place.user("33333333-3333-4333-8333-333333333333")

    async def listed(who):
        response = await stubs.batches.ListBatches(ListBatchesRequest(), metadata=who.metadata)
        return [batch.id for batch in response.batches]

    seen = {
        name: await listed(who)
        for name, who in {"me": user, "them": stranger, "both": both, "nobody": nobody}.items()
    }
    assert seen == {"me": [mine], "them": [theirs], "both": [theirs, mine], "nobody": []}
    for get in (
        lambda i: stubs.batches.GetBatch(GetBatchRequest(batch_id=i), metadata=user.metadata),
        lambda i: stubs.batches.GetBatchStatus(
            GetBatchStatusRequest(batch_id=i), metadata=user.metadata
        ),
    ):
        await get(mine)
        for batch_id in (theirs, "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "no uuid"):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await get(batch_id)
            assert failed.value.code() == grpc.StatusCode.NOT_FOUND
            assert failed.value.details() == f"batch {batch_id} not found"
