"""Tokens for user name and password, in the form of OAuth 2 (RFC 6749) and without JSend."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import grpc
import orjson
from fastapi import APIRouter, Request, Response

from tweezer.gateway.calls import backend_of
from tweezer.gateway.convert import accounts
from tweezer.gateway.errors import description_of, headers_of, http_status
from tweezer.gateway.problems import Refused
from tweezer.gateway.schemas.answers import TokenError, TokenResponse
from tweezer.process import propagation
from tweezer.v1.account_service_pb2 import IssueTokenRequest

router = APIRouter(tags=["tokens"])

#: Auth0's name for the password grant is the one that the public client sends by default.
GRANT_TYPES: Final = ("password", "http://auth0.com/oauth/grant-type/password-realm")

_MOST_FIELDS: Final = 50

_CLIENT_ADDRESS: Final = "x-tweezer-client-address"

_FORM: Final = {
    "type": "object",
    "required": ["grant_type", "username", "password"],
    "properties": {
        "grant_type": {"type": "string", "enum": list(GRANT_TYPES)},
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
        "client_id": {"type": "string", "description": "Ignored."},
        "realm": {"type": "string", "description": "Ignored."},
        "audience": {"type": "string", "description": "Ignored."},
        "scope": {"type": "string", "description": "Ignored."},
    },
}


class _TokenRefused(Exception):
    def __init__(
        self, status: int, error: str, description: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.status, self.error, self.description = status, error, description
        self.headers = headers


@router.post("/realms/{realm}/protocol/openid-connect/token", include_in_schema=False)
@router.post(
    "/oauth/token",
    summary="Get a token",
    response_model=TokenResponse,
    responses={
        400: {"model": TokenError, "description": "A field is missing or not understood."},
        403: {"model": TokenError, "description": "User name and password do not match."},
        429: {"model": TokenError, "description": "Too many attempts."},
        503: {"model": TokenError, "description": "Not available at present."},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": _FORM},
                "application/json": {"schema": _FORM},
            },
        }
    },
)
async def issue_token(request: Request) -> Response:
    """Exchanges user name and password for a bearer token; takes a form or JSON."""
    try:
        answer = await _token(request)
    except _TokenRefused as refused:
        body = {"error": refused.error, "error_description": refused.description}
        return _json(body, refused.status, refused.headers)
    return _json(answer)


async def _token(request: Request) -> Mapping[str, object]:
    try:
        fields = _fields(await request.body())
    except Refused as refused:
        raise _TokenRefused(
            refused.status, "invalid_request", refused.description, refused.headers
        ) from None
    if not fields.get("grant_type"):
        raise _TokenRefused(400, "invalid_request", "grant_type is missing")
    if fields["grant_type"] not in GRANT_TYPES:
        raise _TokenRefused(
            400, "unsupported_grant_type", f"grant_type must be one of {', '.join(GRANT_TYPES)}"
        )
    for name in ("username", "password"):
        if not fields.get(name):
            raise _TokenRefused(400, "invalid_request", f"{name} is missing")
    backend = backend_of(request)
    try:
        response = await backend.stubs.accounts.IssueToken(
            IssueTokenRequest(username=fields["username"], password=fields["password"]),
            timeout=backend.settings.gateway_call_deadline,
            metadata=(*propagation.metadata(), *_client_address(request)),
        )
    except grpc.aio.AioRpcError as error:
        raise _refusal_of(error) from error
    return accounts.token(response)


def _client_address(request: Request) -> tuple[tuple[str, str], ...]:
    """Returns the metadata that says who logs in: failures are counted by address too."""
    return () if request.client is None else ((_CLIENT_ADDRESS, request.client.host),)


def _fields(body: bytes) -> Mapping[str, str]:
    """Returns the fields of a form or of a JSON object, whatever the content type says."""
    try:
        if body.lstrip()[:1] == b"{":
            fields = orjson.loads(body)
            if not all(isinstance(value, str) for value in fields.values()):
                raise _TokenRefused(400, "invalid_request", "every field must be text")
            return fields  # type: ignore[no-any-return]
        return dict(parse_qsl(body.decode("ascii"), max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise _TokenRefused(
            400, "invalid_request", "the body is neither a form nor a JSON object"
        ) from None


def _refusal_of(error: grpc.aio.AioRpcError) -> _TokenRefused:
    status = http_status(error)
    if status == 401:
        # 403 and these words are Auth0's; the client prints both and does not ask again.
        return _TokenRefused(403, "invalid_grant", "Wrong user name or password.")
    if status == 422:
        return _TokenRefused(400, "invalid_request", description_of(error))
    if status == 409:
        # Nobody logs in here: the description names whom to ask for tokens.
        return _TokenRefused(400, "unsupported_grant_type", description_of(error))
    codes = {429: "too_many_attempts", 503: "temporarily_unavailable"}
    return _TokenRefused(
        status, codes.get(status, "server_error"), description_of(error), headers_of(error)
    )


def _json(
    body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(body),
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )
