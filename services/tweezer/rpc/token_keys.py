"""The public keys that tokens are checked with."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tweezer.process.run import StartFailed
from tweezer.rpc.errors import Unavailable

log = structlog.get_logger(__name__)

#: Signature algorithms that are accepted: asymmetric ones only, never `none` or HMAC.
ALGORITHMS: Final = frozenset({"EdDSA", "ES256", "RS256"})

_LEAST_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A public key, good for one algorithm."""

    key: jwt.PyJWK
    expires_at: float = math.inf
    """When what it has signed is not accepted any more, in seconds since 1970."""


#: Keys by their names. Another mapping says that the keys have changed.
TokenKeys = Mapping[str, TokenKey]


class KeySource(Protocol):
    """Where the keys of an issuer come from."""

    async def keys(self, wanted: str | None) -> TokenKeys:
        """Returns the keys, the same mapping as before unless they have changed.

        Looks for news when the one that is wanted is not among them.
        """


class FileKeys:
    """Keys from a file of this machine, read again whenever it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_state: tuple[int, int] | None = None
        self._keys: TokenKeys = {}

    async def keys(self, wanted: str | None) -> TokenKeys:
        """Returns the keys of the file."""
        try:
            found = self._path.stat()
            state = (found.st_mtime_ns, found.st_ino)  # the file is replaced, never rewritten
            if state != self._read_state:
                self._read_state = state
                self._keys = published_keys(self._path.read_bytes())
        except FileNotFoundError:
            raise Unavailable("the keys that tokens are checked with are not there yet") from None
        except (OSError, ValueError) as error:
            log.error("new public keys cannot be used", file=str(self._path), error=str(error))
        if not self._keys:
            raise Unavailable("there are no keys to check tokens with")
        return self._keys


class GivenKeys:
    """Keys that a setting holds."""

    def __init__(self, text: str, setting: str) -> None:
        try:
            self._keys = published_keys(text)
        except ValueError as error:
            raise StartFailed(f"cannot use {setting}: {error}") from None

    async def keys(self, wanted: str | None) -> TokenKeys:
        """Returns the keys."""
        return self._keys


def published_keys(text: str | bytes) -> TokenKeys:
    """Returns what can be used of the text of a JWKS; raises ValueError if it is none."""
    document = orjson.loads(text)
    published = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(published, list):
        raise ValueError("this is no JWKS, an object with a list of `keys`")
    return usable_keys(published)


def usable_keys(published: Iterable[Any]) -> TokenKeys:
    """Returns those of an issuer's keys that can check a signature of an accepted kind.

    The others are none of our business: providers also publish keys for encryption.
    """
    keys: dict[str, TokenKey] = {}
    for jwk in published:
        key = _usable(jwk)
        if key is not None:
            keys[jwk["kid"]] = key
    return keys


def _usable(jwk: Any) -> TokenKey | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
        return None
    if jwk.get("use", "sig") != "sig" or jwk.get("kty") == "oct":
        return None
    try:
        key = jwt.PyJWK(jwk)
    except (jwt.PyJWTError, ValueError):
        return None
    if key.algorithm_name not in ALGORITHMS or _is_weak(key):
        return None
    expires_at = jwk.get("exp", math.inf)
    return TokenKey(key, float(expires_at)) if isinstance(expires_at, int | float) else None


def _is_weak(key: jwt.PyJWK) -> bool:
    return isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS
