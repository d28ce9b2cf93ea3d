"""Results in a bucket of S3, or of whatever else speaks its protocol."""

import asyncio
import re
from datetime import timedelta
from typing import Final

import obstore
import structlog
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, S3Store

from tweezer.database.timestamps import Clock, now_micros
from tweezer.job.result_backing import StoreLink
from tweezer.job.store_errors import summary
from tweezer.process.run import StartFailed

log = structlog.get_logger(__name__)

#: An object that says whose place this is; written at each start.
MARKER: Final = "tweezer-results"

_MARKER_TEXT: Final = b"Results of Tweezer. Its job service removes what it does not need.\n"

#: How long the check at the start may take, in seconds.
_CHECK_S: Final = 20.0

_REFUSALS: Final = (
    FileNotFoundError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)

#: What will not change by itself: any 4xx but "too slow" and "too many", the redirection to another
#: region, an address that no request can be sent to.
_REFUSED: Final = re.compile(r"status code: 4(?!08|29)\d\d|redirect|builder error", re.IGNORECASE)


class Bucket:
    """A bucket, or what is under a prefix in one.

    `signing` signs the links: the same bucket by the address that clients know it by.
    """

    def __init__(
        self,
        store: S3Store,
        signing: S3Store,
        lifetime_s: int,
        clock: Clock = now_micros,
    ) -> None:
        self._store, self._signing = store, signing
        self._lifetime_s, self._clock = lifetime_s, clock

    @property
    def store(self) -> ObjectStore:
        """The objects by key."""
        return self._store

    async def require(self) -> None:
        """Raises an error when the bucket is gone or not ours to see: one by one, objects that are
        not there look the same then.
        """
        async for _ in obstore.list(self._store, MARKER):
            return

    async def link(self, key: str) -> StoreLink:
        """Returns a presigned link; its time runs from now."""
        expires_at = self._clock() // 1_000_000 + self._lifetime_s
        lifetime = timedelta(seconds=self._lifetime_s)
        url = await obstore.sign_async(self._signing, "GET", key, lifetime)
        return StoreLink(url, expires_at * 1_000_000)

    async def remove_drafts(self, before: int) -> int:
        """Does nothing: an object is put by one request and is there whole or not at all."""
        return 0

    async def check(self, name: str) -> None:
        """Tries to write, read and list; raises StartFailed if that is refused.

        A store that does not answer is no reason not to start: it may be back in a moment.
        """
        try:
            async with asyncio.timeout(_CHECK_S):
                await obstore.put_async(self._store, MARKER, _MARKER_TEXT, use_multipart=False)
                await obstore.head_async(self._store, MARKER)
                await self.require()
        except TimeoutError:
            log.warning("the result store does not answer yet", store=name)
        except (BaseError, OSError) as error:
            if _is_refusal(error):
                raise StartFailed(f"cannot keep results in {name}: {summary(error)}") from None
            log.warning("the result store does not answer yet", store=name, error=summary(error))


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, _REFUSALS) or _REFUSED.search(summary(error)) is not None
