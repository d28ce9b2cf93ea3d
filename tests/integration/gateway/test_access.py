"""The table of who may call which HTTP operation, and that it holds."""

import re

import pytest
from fastapi import APIRouter

from tweezer.gateway.access import ACCESS, Access, Undeclared
from tweezer.gateway.app import create_app
from tweezer.gateway.routes import account

ID = "00000000-0000-0000-0000-000000000001"

CLOSED = [key for key, access in ACCESS.items() if access is not Access.ANYBODY]


def operations(app):
    return {
        (method, route.path): route for route in app.routes for method in route.methods - {"HEAD"}
    }


def test_the_table_names_exactly_the_operations_that_are_served(settings, stubs):
    assert set(operations(create_app(settings, stubs))) == set(ACCESS)


def test_the_page_says_the_same_about_tokens(settings, stubs):
    page = create_app(settings, stubs).openapi()
    shown = {
        (method.upper(), path): "security" in operation
        for path, item in page["paths"].items()
        for method, operation in item.items()
    }
    assert len(shown) > 30
    for (method, path), needs_token in shown.items():
        access = ACCESS.get((method, path)) or ACCESS[method, path.replace("}", ":path}")]
        assert needs_token == (access is not Access.ANYBODY), (method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, prefix + path)
        for method, path in CLOSED
        for prefix in ("", "/core-fast")
        if not (prefix and path.startswith("/account"))  # which has no second prefix
    ],
)
async def test_without_a_token_nothing_is_asked(client, services, method, path):
    """Before the path or the body is looked at: nothing is learnt from the refusal."""
    del client.headers["Authorization"]
    for ids in (ID, "x"):
        answer = await client.request(method, re.sub(r"{\w+}", ids, path), content=b"{")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["data"] == {"description": "a bearer token is needed"}
    assert services.calls == []


@pytest.mark.parametrize("more", [{"/new": ["GET"]}, {"/api/v1/batches": ["GET", "DELETE"]}])
async def test_an_undeclared_route_keeps_the_gateway_from_starting(
    settings, stubs, monkeypatch, more
):
    async def answer():
        return {}

    router = APIRouter()
    for path, methods in more.items():
        router.add_api_route(path, answer, methods=methods)
    monkeypatch.setattr(account, "router", router)
    with pytest.raises(Undeclared, match="is not in the table"):
        create_app(settings, stubs)


def test_a_route_for_two_kinds_of_caller_is_refused(settings, stubs, monkeypatch):
    async def answer():
        return {}

    router = APIRouter()
    router.add_api_route("/health", answer, methods=["GET", "POST"])
    monkeypatch.setattr(account, "router", router)
    monkeypatch.setattr(
        "tweezer.gateway.access.ACCESS", {**ACCESS, ("POST", "/health"): Access.USER}
    )
    with pytest.raises(Undeclared, match="each kind of caller"):
        create_app(settings, stubs)


@pytest.mark.parametrize("path", ["/", "/api/v1/secrets", "/core-fast/openapi.yaml", "/admin"])
async def test_what_does_not_exist_does_not_exist_with_a_token_either(client, services, path):
    assert (await client.get(path)).status_code == 404
    assert services.calls == []


@pytest.mark.parametrize("path", ["/health", "/api/v1/devices", "/api/v1/batches", "/nowhere"])
async def test_no_answer_is_for_a_cache_or_for_guessing(client, services, path):
    headers = (await client.get(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
