"""What is taken from a provider's claims."""

import pytest

from tweezer.rpc.claims import is_operator, projects_of, user_of
from tweezer.rpc.errors import Unauthenticated
from tweezer.rpc.oidc_settings import OidcSettings

KEYCLOAK = {
    "sub": "u-1",
    "realm_access": {"roles": ["member", "tweezer-operator"]},
    "https://lab.example/projects": ["p1", "p2"],
    "ext": {"uid": "ada"},
}


def settings(**changed):
    return OidcSettings(oidc_issuer="https://id.example", oidc_audience="tweezer", **changed)


def test_nested_claims_and_names_with_dots_are_found():
    found = settings(
        oidc_user_claim="ext.uid",
        oidc_projects_claim="https://lab.example/projects",
        oidc_operator_claim="realm_access.roles",
    )
    assert user_of(KEYCLOAK, found) == "ada"
    assert projects_of(KEYCLOAK, found) == {"p1", "p2"}
    assert is_operator(KEYCLOAK, found)
    assert not is_operator({"realm_access": {"roles": ["member"]}}, found)
    assert not is_operator({"realm_access": "tweezer-operators"}, found)


def test_nobody_is_an_operator_by_a_claim_that_is_not_named():
    assert not is_operator({"operator": True, "tweezer-operator": True}, settings())


def test_a_token_may_be_silent_about_projects_or_name_one():
    assert projects_of({}, settings()) is None
    assert projects_of({"projects": []}, settings()) == frozenset()
    assert projects_of({"projects": "p1"}, settings()) == {"p1"}


@pytest.mark.parametrize("projects", [1, {"p": 1}, [1], [""], ["x" * 256], ["a\n"], ["p"] * 1001])
def test_projects_that_are_none_make_the_token_invalid(projects):
    with pytest.raises(Unauthenticated):
        projects_of({"projects": projects}, settings())


@pytest.mark.parametrize("user", [None, 1, "", "x" * 256, ["u"]])
def test_a_token_must_name_a_user(user):
    with pytest.raises(Unauthenticated):
        user_of({"sub": user}, settings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_issuer": "https://id.example"},
        {"oidc_issuer": "http://id.example", "oidc_audience": "a"},
        {"oidc_issuer": "id.example", "oidc_audience": "a"},
        {
            "oidc_issuer": "https://id.example",
            "oidc_audience": "a",
            "oidc_jwks_url": "http://id.example/keys",
        },
        {"builtin_logins": False},
    ],
)
def test_settings_that_would_open_a_door_are_refused(wrong):
    with pytest.raises(ValueError, match=r"oidc_audience|https|builtin_logins"):
        OidcSettings(**wrong)


def test_a_provider_on_this_machine_needs_no_tls():
    for host in ("localhost", "127.0.0.1", "[::1]"):
        OidcSettings(oidc_issuer=f"http://{host}:1234", oidc_audience="a")
