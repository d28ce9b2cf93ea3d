"""Settings of whose tokens are accepted."""

from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tweezer.process.settings import ProcessSettings


class OidcSettings(ProcessSettings):
    """How an OIDC provider is known and what its tokens say."""

    oidc_issuer: str | None = None
    """Issuer URL of an OIDC provider, exactly as its tokens have it in `iss`; https, or http on
    this machine. Absent accepts tokens of the built-in issuer only."""
    oidc_audience: str | None = None
    """`aud` that the provider puts into tokens for Tweezer; needed with an issuer."""
    oidc_jwks_url: str | None = None
    """Where the provider's public keys are; absent asks its /.well-known/openid-configuration."""
    oidc_user_claim: str = "sub"
    """Claim that names the user. A dotted path, as in `ext.id`, finds nested claims."""
    oidc_projects_claim: str = "projects"
    """Claim with the identifiers of the user's projects: a list, or one text. The projects of users
    whose tokens lack it are those given with `tweezer projects add-member`."""
    oidc_operator_claim: str | None = None
    """Claim that makes an operator, as in `realm_access.roles`; absent makes none by token."""
    oidc_operator_value: str = "tweezer-operator"
    """What that claim must be, or contain if it is a list."""
    oidc_keys_lifetime_s: float = Field(default=3600.0, gt=0)
    """How long the provider's keys are used before they are fetched again, in seconds. A token with
    an unknown key has them fetched at once, though not more than twice a minute."""
    membership_cache_s: float = Field(default=30.0, gt=0)
    """How long is remembered where a user belongs whose token does not say so, in seconds."""
    builtin_logins: bool = True
    """Whether users can log in with a password kept here. Switch it off where everybody comes from
    the OIDC provider."""

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if self.oidc_issuer is None:
            if not self.builtin_logins:
                raise ValueError("builtin_logins is off and there is no oidc_issuer")
            return self
        if not self.oidc_audience:
            raise ValueError("oidc_audience is needed with oidc_issuer")
        for url in (self.oidc_issuer, self.oidc_jwks_url):
            if url is not None and not is_safe_url(url):
                raise ValueError(f"{url} must be an https URL, or an http one on this machine")
        return self


def is_safe_url(url: str) -> bool:
    """Says whether keys from this address cannot be replaced on their way."""
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
