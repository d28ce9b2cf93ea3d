"""Sends one message."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpcore
import structlog

from tweezer.webhooks.signing import Signer
from tweezer.webhooks.store import Due
from tweezer.webhooks.targets import CheckedNetwork, TargetRefused, check_url

log = structlog.get_logger(__name__)

#: How much of an answer is read, so that the connection can be used again, in bytes.
_ANSWER_BYTES: Final = 64 * 1024

#: By this answer a server says that it wants no more.
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one attempt."""

    error: str | None = None  #: why it was not taken, in one sentence
    hopeless: bool = False  #: whether there is no use in another attempt


class Sender:
    """Posts messages; redirects are not followed and proxies of the environment not used."""

    def __init__(
        self, signer: Signer, agent: str, *, allow_private: bool, timeout_s: float, connections: int
    ) -> None:
        self._signer, self._agent = signer, agent
        self._allow_private, self._timeout_s = allow_private, timeout_s
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            network_backend=CheckedNetwork(allow_private=allow_private),
        )

    async def __aenter__(self) -> Self:
        """Opens nothing yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    async def send(self, message: Due) -> Sent:
        """Posts a message and says what came of it."""
        try:
            # Again: what was allowed when the batch came in may no longer be.
            check_url(message.url, allow_private=self._allow_private)
            async with asyncio.timeout(self._timeout_s):
                status = await self._post(message)
        except TargetRefused as refused:
            return Sent(f"The target is refused: {refused}.", hopeless=True)
        except TimeoutError:
            return Sent(f"There was no answer within {self._timeout_s:g} s.")
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            return Sent(f"The server could not be reached ({error or type(error).__name__}).")
        except Exception as error:
            # The URL is a user's: whatever the libraries make of it must not end the service.
            log.warning("a webhook message cannot be sent", message=message.id, exc_info=error)
            return Sent("There is no way to send anything to this URL.", hopeless=True)
        if 200 <= status < 300:
            return Sent()
        redirect = ", and redirects are not followed" if 300 <= status < 400 else ""
        return Sent(f"The server answered {status}{redirect}.", hopeless=status == _GONE)

    async def _post(self, message: Due) -> int:
        headers = {
            "content-type": "application/json",
            "user-agent": self._agent,
            **self._signer.headers(message.project_id, message.id, message.body),
        }
        async with self._pool.stream(
            "POST", message.url, headers=list(headers.items()), content=message.body.encode()
        ) as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > _ANSWER_BYTES:
                    break
            return response.status
