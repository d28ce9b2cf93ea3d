"""What the claims of an OIDC provider's token say, by the settings."""

from collections.abc import Mapping
from typing import Any, Final

from tweezer.rpc.errors import Unauthenticated
from tweezer.rpc.oidc_settings import OidcSettings

_LONGEST: Final = 255
_MOST_PROJECTS: Final = 1000


def user_of(claims: Mapping[str, Any], settings: OidcSettings) -> str:
    """Returns who the token is for."""
    user = find(claims, settings.oidc_user_claim)
    if not _is_identifier(user):
        raise Unauthenticated("the token is not valid")
    return str(user)


def projects_of(claims: Mapping[str, Any], settings: OidcSettings) -> frozenset[str] | None:
    """Returns the projects that the token names, or None when it is silent about them."""
    named = find(claims, settings.oidc_projects_claim)
    if named is None:
        return None
    projects = [named] if isinstance(named, str) else named
    if (
        not isinstance(projects, list)
        or len(projects) > _MOST_PROJECTS
        or not all(_is_identifier(project) for project in projects)
    ):
        raise Unauthenticated("the token is not valid")
    return frozenset(projects)


def is_operator(claims: Mapping[str, Any], settings: OidcSettings) -> bool:
    """Says whether the token makes an operator."""
    if settings.oidc_operator_claim is None:
        return False
    said = find(claims, settings.oidc_operator_claim)
    wanted = settings.oidc_operator_value
    return wanted in said if isinstance(said, list) else said == wanted


def find(claims: Mapping[str, Any], path: str) -> Any:
    """Returns the claim of this name, or the one at this dotted path; None when there is none.

    The whole name comes first: names that are URLs have dots of their own.
    """
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= _LONGEST and value.isprintable()
