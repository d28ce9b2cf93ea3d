"""Whose tokens are accepted, and how they are read."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from tweezer.rpc import claims as provider_claims
from tweezer.rpc.errors import Unauthenticated
from tweezer.rpc.identity import OPERATOR_CLAIM, PROJECTS_CLAIM, Caller
from tweezer.rpc.memberships import Memberships
from tweezer.rpc.provider_keys import ProviderKeys
from tweezer.rpc.settings import RpcSettings
from tweezer.rpc.token_keys import FileKeys, GivenKeys, KeySource

#: How far a provider's clock may be off, in seconds.
_CLOCKS_APART: Final = 10.0


class Issuer(ABC):
    """One whose tokens are accepted."""

    def __init__(self, name: str, audience: str, source: KeySource, leeway_s: float = 0.0) -> None:
        self.name, self.audience, self.source, self.leeway_s = name, audience, source, leeway_s

    @abstractmethod
    async def caller_of(self, claims: Mapping[str, Any]) -> tuple[Caller, float]:
        """Returns whom the claims of a checked token are about, and how long that is so at least,
        in seconds.
        """


class BuiltinIssuer(Issuer):
    """Our own: its tokens say everything."""

    def __init__(self, settings: RpcSettings) -> None:
        given = settings.jwks
        source = FileKeys(settings.jwks_file) if given is None else GivenKeys(given, "TWEEZER_JWKS")
        super().__init__(settings.token_issuer, settings.token_audience, source)

    async def caller_of(self, claims: Mapping[str, Any]) -> tuple[Caller, float]:
        """Returns the user with the projects of the token."""
        projects = claims.get(PROJECTS_CLAIM, [])
        if not isinstance(projects, list) or not all(isinstance(p, str) for p in projects):
            raise Unauthenticated("the token is not valid")
        operator = claims.get(OPERATOR_CLAIM) is True
        return Caller(str(claims["sub"]), frozenset(projects), operator), math.inf


class OidcProvider(Issuer):
    """A provider: its tokens say what the settings take from them, and we know the rest."""

    def __init__(self, settings: RpcSettings, source: KeySource, memberships: Memberships) -> None:
        assert settings.oidc_issuer is not None
        assert settings.oidc_audience is not None
        super().__init__(settings.oidc_issuer, settings.oidc_audience, source, _CLOCKS_APART)
        self._settings, self._memberships = settings, memberships

    async def caller_of(self, claims: Mapping[str, Any]) -> tuple[Caller, float]:
        """Returns the user with the projects of the token, or with those that we know of."""
        user = provider_claims.user_of(claims, self._settings)
        projects = provider_claims.projects_of(claims, self._settings)
        operator = provider_claims.is_operator(claims, self._settings)
        if projects is not None:
            return Caller(user, projects, operator), math.inf
        known = await self._memberships.of_user(user)
        caller = Caller(user, known.project_ids, operator or known.operator)
        return caller, self._settings.membership_cache_s


def issuers_of(settings: RpcSettings, memberships: Memberships) -> list[Issuer]:
    """Returns the issuers that the settings name."""
    issuers: list[Issuer] = []
    if settings.builtin_logins:
        issuers.append(BuiltinIssuer(settings))
    if settings.oidc_issuer is not None:
        keys = ProviderKeys(
            settings.oidc_issuer, settings.oidc_jwks_url, settings.oidc_keys_lifetime_s
        )
        issuers.append(OidcProvider(settings, keys, memberships))
    return issuers
