"""How a command calls the services as an operator.

It is logged in as the first user, or has the token of the variable TWEEZER_TOKEN: that of another
operator, where the first user is gone or has another password.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tweezer.cli import endpoints
from tweezer.cli.endpoints import Endpoints
from tweezer.cli.facts import Account, ConnectionFacts, connection_facts, read_account
from tweezer.cli.failure import Failure
from tweezer.cli.terminal import fail

if TYPE_CHECKING:
    import grpc

_TOKEN: Final = "TWEEZER_TOKEN"
_BATCH: Final = "TWEEZER_BATCH_ADDRESS"
_JOB: Final = "TWEEZER_JOB_ADDRESS"


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
    where, account = endpoints.read(data_dir) or _named(), read_account(data_dir)
    if where is None:
        raise OperationFailed(f"nothing runs on {data_dir}: start it with `tweezer up`")
    if account is None:
        if _TOKEN not in os.environ:
            raise OperationFailed(
                f"{data_dir} does not hold the password of its first user any more: set {_TOKEN}"
            )
        account = Account("", "", "")
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


def _named() -> Endpoints | None:
    """Returns where processes that were started one by one are, if the settings say so."""
    batch, job = os.environ.get(_BATCH), os.environ.get(_JOB)
    if not batch or not job:
        return None
    from tweezer.process.settings import ProcessSettings

    authority = ProcessSettings().tls.authority
    return Endpoints("", batch, job, None if authority is None else str(authority))


@asynccontextmanager
async def _logged_in(facts: ConnectionFacts) -> AsyncIterator[Operator]:
    from tweezer.process.channels import open_channel
    from tweezer.v1.account_service_pb2 import IssueTokenRequest
    from tweezer.v1.account_service_pb2_grpc import AccountServiceStub

    async with (
        open_channel(facts.grpc["batch"], facts.authority) as batch,
        open_channel(facts.grpc["job"], facts.authority) as job,
    ):
        token = os.environ.get(_TOKEN)
        if token is None:
            request = IssueTokenRequest(username=facts.username, password=facts.password)
            token = (await AccountServiceStub(batch).IssueToken(request)).access_token
        yield Operator(batch, job, token)
