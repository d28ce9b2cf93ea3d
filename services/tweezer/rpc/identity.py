"""Who is calling: bearer tokens are verified here, by every service for itself."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
import orjson

from tweezer.rpc.errors import NotFound, Unauthenticated, Unavailable

#: Signature algorithms that are accepted: asymmetric ones only, never `none` or HMAC.
ALGORITHMS: Final = ("EdDSA", "ES256", "RS256")

#: Claim with the identifiers of the caller's projects.
PROJECTS_CLAIM: Final = "projects"

#: Claim that is true in the tokens of those who run the place.
OPERATOR_CLAIM: Final = "operator"

_CACHE_SIZE: Final = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a call."""

    user_id: str
    project_ids: frozenset[str]
    operator: bool = False

    def require_project(self, project_id: str, what: str) -> None:
        """Raises NotFound unless the caller belongs to the project."""
        if project_id not in self.project_ids:
            raise NotFound(what)


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Returns the user behind the call being served."""
    return _caller.get()


def set_caller(caller: Caller) -> None:
    """Records the user behind the call being served."""
    _caller.set(caller)


class TokenVerifier:
    """Checks signature, expiry, issuer and audience of bearer tokens.

    The public keys are read from a JWKS file, again whenever a token names a key that is not
    known, so that keys can be rotated. Verified tokens are remembered until they expire.
    """

    def __init__(self, jwks_file: Path, issuer: str, audience: str) -> None:
        self._jwks_file, self._issuer, self._audience = jwks_file, issuer, audience
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._keys_mtime_ns = 0
        self._verified: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """Returns the caller that a token speaks for, or raises Unauthenticated."""
        known = self._verified.get(token)
        if known is not None and known[0] > time.time():
            return known[1]
        try:
            claims = self._decode(token)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired") from None
        except jwt.PyJWTError:
            raise Unauthenticated("the token is not valid") from None
        caller = _caller_of(claims)
        self._verified[token] = (float(claims["exp"]), caller)
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return caller

    def _decode(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            self._key(str(header.get("kid", ""))),
            algorithms=list(ALGORITHMS),
            audience=self._audience,
            issuer=self._issuer,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
        return claims

    def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            self._read_keys()
        try:
            return self._keys[key_id]
        except KeyError:
            raise jwt.InvalidKeyError("unknown key") from None

    def _read_keys(self) -> None:
        try:
            mtime_ns = self._jwks_file.stat().st_mtime_ns
            if mtime_ns == self._keys_mtime_ns:
                return
            text = self._jwks_file.read_bytes()
        except FileNotFoundError:
            raise Unavailable("the keys that tokens are checked with are not there yet") from None
        keys = jwt.PyJWKSet.from_dict(orjson.loads(text)).keys
        self._keys = {key.key_id: key for key in keys if key.key_id is not None}
        self._keys_mtime_ns = mtime_ns


def _caller_of(claims: Mapping[str, Any]) -> Caller:
    projects = claims.get(PROJECTS_CLAIM, [])
    if not isinstance(projects, list) or not all(isinstance(p, str) for p in projects):
        raise Unauthenticated("the token is not valid")
    return Caller(
        user_id=claims["sub"],
        project_ids=frozenset(projects),
        operator=claims.get(OPERATOR_CLAIM) is True,
    )
