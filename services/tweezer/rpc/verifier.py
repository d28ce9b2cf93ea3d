"""Checks bearer tokens; every service does so for itself."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from tweezer.rpc.errors import Unauthenticated
from tweezer.rpc.identity import Caller
from tweezer.rpc.issuers import Issuer
from tweezer.rpc.token_keys import TokenKey, TokenKeys

_CACHE_SIZE: Final = 4096


@dataclass(frozen=True, slots=True)
class _Verified:
    """What was found out about a token, for as long as the keys are the same."""

    caller: Caller
    until: float
    issuer: Issuer
    keys: TokenKeys


class TokenVerifier:
    """Checks signature, expiry, issuer and audience of bearer tokens.

    Verified tokens are remembered until they expire or the keys of their issuer change.
    """

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Returns the caller that a token speaks for, or raises Unauthenticated."""
        known = self._verified.get(token)
        if (
            known is not None
            and known.until > time.time()
            and known.keys is await known.issuer.source.keys(None)
        ):
            return known.caller
        try:
            verified = await self._verify(token)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired") from None
        except jwt.PyJWTError:
            raise Unauthenticated("the token is not valid") from None
        self._verified[token] = verified
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return verified.caller

    async def _verify(self, token: str) -> _Verified:
        # Which issuer's keys and rules hold is what the token itself says; then it is checked
        # against these alone, so that no issuer can speak for another.
        unchecked = jwt.decode_complete(token, options={"verify_signature": False})
        claimed = unchecked["payload"].get("iss")
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise jwt.InvalidIssuerError("unknown issuer")
        key_id = str(unchecked["header"].get("kid", ""))
        keys = await issuer.source.keys(key_id)
        key = keys.get(key_id)
        if key is None or key.expires_at <= time.time():
            raise jwt.InvalidKeyError("unknown key")
        claims = _decode(token, key, issuer)
        caller, good_for = await issuer.caller_of(claims)
        until = min(float(claims["exp"]), key.expires_at, time.time() + good_for)
        return _Verified(caller, until, issuer, keys)


def _decode(token: str, key: TokenKey, issuer: Issuer) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key.key,
        # The algorithm is the key's: what the token says must agree with it.
        algorithms=[key.key.algorithm_name],
        audience=issuer.audience,
        issuer=issuer.name,
        leeway=issuer.leeway_s,
        options={"require": ["exp", "iat", "sub", "aud", "iss"]},
    )
    return claims
