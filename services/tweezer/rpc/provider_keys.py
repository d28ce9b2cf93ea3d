"""The public keys of an OIDC provider: fetched, kept for a while, and fetched again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
import structlog

from tweezer.rpc.errors import Unavailable
from tweezer.rpc.oidc_settings import is_safe_url
from tweezer.rpc.token_keys import TokenKeys, usable_keys

log = structlog.get_logger(__name__)

#: Least time between two looks at the provider, in seconds: strangers can name unknown keys at
#: will.
PAUSE: Final = 30.0
#: The same after a look that failed.
PAUSE_AFTER_FAILURE: Final = 5.0
#: How long keys are used of a provider that does not answer any more, in seconds.
LONGEST_USE: Final = 86_400.0

_TIMEOUT: Final = 5.0
_MOST_BYTES: Final = 1024 * 1024

Fetch = Callable[[str], Awaitable[Any]]


class ProviderFailed(Exception):
    """The provider did not answer, or not what it should."""


class ProviderKeys:
    """Fetches the keys of a provider once for all who wait for them."""

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None,
        lifetime_s: float,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._jwks_url, self._lifetime_s = issuer, jwks_url, lifetime_s
        self._fetch, self._clock = fetch or fetch_json, clock
        self._keys: TokenKeys = {}
        self._published: Any = None
        self._fetched_at: float | None = None
        self._next_look = -float("inf")
        self._look: asyncio.Task[None] | None = None

    async def keys(self, wanted: str | None) -> TokenKeys:
        """Returns the keys; waits for fresh ones only if those that are there do not do."""
        if self._is_due(wanted):
            self._next_look = self._clock() + PAUSE
            self._look = asyncio.create_task(self._look_now(), name="keys of the OIDC provider")
        missing = self._fetched_at is None or (wanted is not None and wanted not in self._keys)
        if missing and self._look is not None:
            await asyncio.shield(self._look)
        if self._fetched_at is None or self._clock() - self._fetched_at > LONGEST_USE:
            raise Unavailable("the keys of the OIDC provider cannot be had at present")
        return self._keys

    def _is_due(self, wanted: str | None) -> bool:
        now = self._clock()
        under_way = self._look is not None and not self._look.done()
        if under_way or now < self._next_look:
            return False
        outdated = self._fetched_at is None or now - self._fetched_at >= self._lifetime_s
        return outdated or (wanted is not None and wanted not in self._keys)

    async def _look_now(self) -> None:
        try:
            published = await self._published_keys()
        except ProviderFailed as failure:
            log.warning("the keys of the OIDC provider cannot be had", reason=str(failure))
            self._next_look = self._clock() + PAUSE_AFTER_FAILURE
            return
        if published != self._published:
            self._published, self._keys = published, usable_keys(published)
            log.info("keys of the OIDC provider", key_ids=sorted(self._keys))
        self._fetched_at = self._clock()

    async def _published_keys(self) -> list[Any]:
        url = self._jwks_url or await self._discover()
        document = await self._fetch(url)
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list):
            raise ProviderFailed(f"{url} is no set of keys")
        return keys

    async def _discover(self) -> str:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await self._fetch(url)
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ProviderFailed(f"{url} is not about {self._issuer}")
        jwks_url = document.get("jwks_uri")
        if not isinstance(jwks_url, str) or not is_safe_url(jwks_url):
            raise ProviderFailed(f"{url} names no https address of keys")
        return jwks_url


async def fetch_json(url: str) -> Any:
    """Gets a JSON document of bounded size; follows nothing."""
    import httpx  # not at the top: few have a provider, and every process imports this module

    try:
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client,
            asyncio.timeout(_TIMEOUT),  # the one of httpx is for each part of the answer
            client.stream("GET", url) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise ProviderFailed(f"{url} answered {answer.status_code}")
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise ProviderFailed(f"{url} is too large")
        return orjson.loads(body)
    except (httpx.HTTPError, TimeoutError, orjson.JSONDecodeError) as error:
        raise ProviderFailed(f"{url}: {error or type(error).__name__}") from error
