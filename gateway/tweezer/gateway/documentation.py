"""What OpenAPI says about the operations beyond what FastAPI finds out by itself."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from tweezer.gateway import idempotency
from tweezer.gateway.schemas.bodies import (
    AddJobs,
    CancelBatches,
    CreateBatch,
    CreateJobInBatch,
    CreateOvhBatch,
    SetTags,
)
from tweezer.gateway.schemas.envelopes import Failure, Invalid
from tweezer.gateway.schemas.queries import parameters

#: What routes read from bodies by themselves, so that FastAPI does not see it.
BODIES: Final[tuple[type[BaseModel], ...]] = (
    CreateBatch,
    CreateOvhBatch,
    CreateJobInBatch,
    AddJobs,
    SetTags,
    CancelBatches,
)

_REFERENCE: Final = "#/components/schemas/{model}"

#: Key of `responses=` to description; every operation can fail in these ways.
_ALWAYS: Final[dict[int | str, dict[str, Any]]] = {
    429: {"model": Failure, "description": "A limit is reached, or there is too much to do."},
    500: {"model": Failure, "description": "Unexpected error; nothing is known about its effect."},
    503: {"model": Failure, "description": "A part of the system is not available at present."},
    504: {"model": Failure, "description": "A part of the system did not answer in time."},
}

_ERRORS: Final[dict[int, dict[str, Any]]] = {
    400: {"model": Failure, "description": "The body cannot be decompressed."},
    401: {"model": Failure, "description": "No valid bearer token."},
    403: {"model": Failure, "description": "The caller may not do this."},
    404: {"model": Failure, "description": "It does not exist, or is not the caller's."},
    409: {"model": Failure, "description": "It does not fit the present state."},
    408: {"model": Failure, "description": "The rest of the body did not come."},
    413: {"model": Failure, "description": "The body or the answer is too large."},
    415: {"model": Failure, "description": "The body is compressed with something else than gzip."},
    422: {"model": Invalid, "description": "Invalid input; each problem names its field."},
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the `responses=` of a route that can fail in these ways, and those all can."""
    return {**{status: _ERRORS[status] for status in statuses}, **_ALWAYS}


def bearer(**more: Any) -> dict[str, Any]:
    """Returns the `openapi_extra=` of a route that needs a token."""
    return {"security": [{"bearer": []}], **more}


def query(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the part of `openapi_extra=` that documents a query."""
    return {"parameters": parameters(model)}


def creation(operation: dict[str, Any]) -> dict[str, Any]:
    """Returns the `openapi_extra=` of a route that makes something, which callers may name."""
    return {**operation, "parameters": [*operation.get("parameters", ()), idempotency.PARAMETER]}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the part of `openapi_extra=` that documents a JSON body."""
    if model not in BODIES:
        raise LookupError(f"{model.__name__} is not among the bodies that the page describes")
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Makes the app's OpenAPI page complete."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _page(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _page(app: FastAPI) -> dict[str, Any]:
    page = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = page["components"]
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for model in BODIES:
        schema = model.model_json_schema(ref_template=_REFERENCE)
        components["schemas"].update(schema.pop("$defs", {}))
        components["schemas"][model.__name__] = schema
    return page
