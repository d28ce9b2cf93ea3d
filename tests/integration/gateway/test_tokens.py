"""The token operation, in the form of OAuth 2."""

import grpc
import httpx
import pytest

from tweezer.gateway.routes.auth import GRANT_TYPES
from tweezer.gateway.schemas.answers import TokenError, TokenResponse
from tweezer.rpc.errors import InvalidInput, NotAllowedNow, TooMuch, Unauthenticated
from tweezer.v1 import account_service_pb2 as account

PATHS = ["/oauth/token", "/realms/pasqal-cloud/protocol/openid-connect/token"]
CREDENTIALS = {"grant_type": "password", "username": "ada@example.org", "password": "p&w=ü %"}


@pytest.fixture
async def anonymous(client):
    del client.headers["Authorization"]
    return client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("grant_type", GRANT_TYPES)
@pytest.mark.parametrize("how", ["data", "json"])
async def test_credentials_become_a_token(
    anonymous, services, required_keys, path, grant_type, how
):
    fields = {
        "client_id": "public",
        "realm": "pcs-users",
        "audience": "https://apis.pasqal.cloud/account/api/v1",
        **CREDENTIALS,
        "grant_type": grant_type,
    }

    response = await anonymous.post(path, **{how: fields})

    assert response.status_code == 200
    assert response.json() == {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 3600}
    TokenResponse.model_validate(response.json())
    assert response.json().keys() >= required_keys("TokenResponse")
    assert response.headers["cache-control"] == "no-store"
    assert services.last.request == account.IssueTokenRequest(
        username="ada@example.org", password="p&w=ü %"
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["data", "json"])
@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"grant_type": None}, "invalid_request", "grant_type"),
        ({"username": None}, "invalid_request", "username"),
        ({"password": ""}, "invalid_request", "password"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type", "grant_type"),
    ],
)
async def test_fields_that_are_missing_or_not_understood(
    anonymous, services, path, how, change, error, word
):
    fields = {key: value for key, value in {**CREDENTIALS, **change}.items() if value is not None}

    response = await anonymous.post(path, **{how: fields})

    assert response.status_code == 400
    TokenError.model_validate(response.json())
    assert response.json()["error"] == error
    assert word in response.json()["error_description"]
    assert services.calls == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"grant_type": 1}', b"\xff\xfe=1", b"&".join([b"a=1"] * 51), b"[]", b"%ff"],
)
async def test_bodies_that_are_neither_form_nor_json_object(anonymous, services, body):
    response = await anonymous.post("/oauth/token", content=body)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"
    assert services.calls == []


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        (Unauthenticated("no such user"), 403, "invalid_grant"),
        (TooMuch("try again later"), 429, "too_many_attempts"),
        (InvalidInput("username", "is too long"), 400, "invalid_request"),
    ],
)
async def test_refusals(anonymous, services, failure, status, error):
    services.answers["IssueToken"] = failure

    response = await anonymous.post("/oauth/token", data=CREDENTIALS)

    assert response.status_code == status
    TokenError.model_validate(response.json())
    assert response.json()["error"] == error
    # Which of the two was wrong is nobody's business.
    assert "no such user" not in response.text
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503, "temporarily_unavailable"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "server_error"),
        (grpc.StatusCode.INTERNAL, 500, "server_error"),
    ],
)
async def test_failures(anonymous, services, fails, code, status, error):
    services.answers["IssueToken"] = fails(code, "db at 10.0.0.1")

    response = await anonymous.post("/oauth/token", data=CREDENTIALS)

    assert response.status_code == status
    assert response.json()["error"] == error
    assert "10.0.0.1" not in response.text


async def test_the_token_call_sends_no_credential_of_the_caller(client, services):
    await client.post("/oauth/token", data=CREDENTIALS)

    assert "authorization" not in services.last.metadata


async def test_a_form_may_be_compressed(anonymous, services):
    import gzip

    body = gzip.compress(str(httpx.QueryParams(CREDENTIALS)).encode())

    response = await anonymous.post(
        "/oauth/token", content=body, headers={"Content-Encoding": "gzip"}
    )

    assert response.status_code == 200
    assert services.last.request.username == "ada@example.org"


async def test_the_client_is_told_how_long_to_wait(anonymous, services):
    services.answers["IssueToken"] = TooMuch("too many failed log-ins: try again later", 12.3)

    response = await anonymous.post("/oauth/token", data=CREDENTIALS)

    assert response.status_code == 429
    assert response.headers["retry-after"] == "13"


async def test_where_nobody_logs_in_the_answer_says_whom_to_ask(anonymous, services):
    services.answers["IssueToken"] = NotAllowedNow("tokens come from https://id.example")

    response = await anonymous.post("/oauth/token", data=CREDENTIALS)

    assert response.status_code == 400
    TokenError.model_validate(response.json())
    assert response.json() == {
        "error": "unsupported_grant_type",
        "error_description": "tokens come from https://id.example",
    }


async def test_the_issuer_hears_who_asks(anonymous, services):
    await anonymous.post("/oauth/token", data=CREDENTIALS)

    assert services.last.metadata["x-tweezer-client-address"] == "127.0.0.1"
