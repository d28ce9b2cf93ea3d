"""How a command calls the services as an operator: logged in as the first user."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tweezer.cli import endpoints
from tweezer.cli.facts import ConnectionFacts, connection_facts, read_account
from tweezer.cli.failure import Failure
from tweezer.cli.terminal import fail

if TYPE_CHECKING:
    import grpc


class OperationFailed(Failure):
    """The service refused; the text is its reason."""


class Operator:
    """The channels to the services, and the token of an operator for calls over them."""

    def __init__(self, batch: "grpc.aio.Channel", job: "grpc.aio.Channel", token: str) -> None:
        self.batch, self.job = batch, job
        self.metadata = (("authorization", f"Bearer {token}"),)


def operate(operation: Callable[[Operator], Awaitable[None]], data_dir: Path) -> None:
    """Runs an operation against what runs on a data folder, or says why it cannot."""
    try:
        asyncio.run(_perform(operation, _facts(data_dir)))
    except Failure as error:
        fail(str(error))


def _facts(data_dir: Path) -> ConnectionFacts:
    where, account = endpoints.read(data_dir), read_account(data_dir)
    if where is None or account is None:
        raise OperationFailed(f"nothing runs on {data_dir}: start it with `tweezer up`")
    return connection_facts(account, where)


async def _perform(
    operation: Callable[[Operator], Awaitable[None]], facts: ConnectionFacts
) -> None:
    import grpc

    try:
        async with _logged_in(facts) as operator:
            await operation(operator)
    except grpc.aio.AioRpcError as error:
        raise OperationFailed(error.details() or error.code().name) from None


@asynccontextmanager
async def _logged_in(facts: ConnectionFacts) -> AsyncIterator[Operator]:
    import grpc

    from tweezer.v1.account_service_pb2 import IssueTokenRequest
    from tweezer.v1.account_service_pb2_grpc import AccountServiceStub

    async with (
        grpc.aio.insecure_channel(facts.grpc["batch"]) as batch,
        grpc.aio.insecure_channel(facts.grpc["job"]) as job,
    ):
        request = IssueTokenRequest(username=facts.username, password=facts.password)
        issued = await AccountServiceStub(batch).IssueToken(request)
        yield Operator(batch, job, issued.access_token)
