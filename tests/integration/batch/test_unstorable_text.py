"""The one character that PostgreSQL cannot store is refused, and never an internal error."""

import grpc
import pytest

from tweezer.v1.account_service_pb2 import IssueTokenRequest
from tweezer.v1.batch_pb2 import BatchFilter
from tweezer.v1.batch_service_pb2 import ListBatchesRequest, SetBatchTagsRequest

CODES = {"sqlite": None, "postgresql": grpc.StatusCode.INVALID_ARGUMENT}


async def code_of(call):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def test_tags(stubs, new_batch, user):
    request = new_batch(tags=["fine", "a\0b"])
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stubs.batches.CreateBatch(request, metadata=user.metadata)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details() == "tags[1]: must not contain the character U+0000"
    batch = (await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)).batch
    tags = SetBatchTagsRequest(batch_id=batch.id, tags=["\0"])
    call = stubs.batches.SetBatchTags(tags, metadata=user.metadata)
    assert await code_of(call) is grpc.StatusCode.INVALID_ARGUMENT


async def test_filters_and_names(stubs, user, backend):
    wanted = BatchFilter(user_ids=["\0"])
    call = stubs.batches.ListBatches(ListBatchesRequest(filter=wanted), metadata=user.metadata)
    assert await code_of(call) == CODES[backend]
    login = IssueTokenRequest(username="a\0b", password="x")
    refused = CODES[backend] or grpc.StatusCode.UNAUTHENTICATED
    assert await code_of(stubs.accounts.IssueToken(login)) is refused
