"""Who may call which HTTP operation: one table, compared with the routes when the app is built.

What is not in the table is not served. Whether a token is good, and whether it is an operator's,
the services decide by the same table for RPCs; without any token, a request does not get to them.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from enum import Enum, auto
from typing import Final

from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tweezer.gateway.errors import HEADERS
from tweezer.gateway.problems import Refused
from tweezer.gateway.routes.not_offered import NOT_OFFERED


class Access(Enum):
    """Kinds of caller."""

    ANYBODY = auto()  #: no credential, or one in the request itself
    USER = auto()  #: a user's bearer token
    OPERATOR = auto()  #: the bearer token of a user who runs the place


_OVH: Final = "/api/v1/third-party-access/ovh"

#: By method and path of the route; HEAD goes with GET.
ACCESS: Final[Mapping[tuple[str, str], Access]] = {
    ("GET", "/api/v1/batches"): Access.USER,
    ("POST", "/api/v1/batches"): Access.USER,
    ("GET", "/api/v1/batches/last_activity"): Access.OPERATOR,
    ("PATCH", "/api/v1/batches/cancel"): Access.USER,
    ("GET", "/api/v1/batches/{batch_id}"): Access.USER,
    ("PUT", "/api/v1/batches/{batch_id}/cancel"): Access.USER,
    ("PUT", "/api/v1/batches/{batch_id}/cancel/jobs"): Access.USER,
    ("PUT", "/api/v1/batches/{batch_id}/complete"): Access.USER,
    ("GET", "/api/v1/batches/{batch_id}/events"): Access.USER,
    ("GET", "/api/v1/batches/{batch_id}/full_results"): Access.USER,
    ("POST", "/api/v1/batches/{batch_id}/jobs"): Access.USER,
    ("POST", "/api/v1/batches/{batch_id}/rebatch"): Access.USER,
    ("GET", "/api/v1/batches/{batch_id}/results_link"): Access.USER,
    ("GET", "/api/v1/batches/{batch_id}/status"): Access.USER,
    ("PATCH", "/api/v1/batches/{batch_id}/tags"): Access.USER,
    ("GET", "/api/v2/batches/{batch_id}"): Access.USER,
    ("PATCH", "/api/v2/batches/{batch_id}/cancel"): Access.USER,
    ("PATCH", "/api/v2/batches/{batch_id}/cancel/jobs"): Access.USER,
    ("PATCH", "/api/v2/batches/{batch_id}/complete"): Access.USER,
    ("POST", "/api/v2/batches/{batch_id}/jobs"): Access.USER,
    ("GET", "/api/v1/jobs"): Access.USER,
    ("POST", "/api/v1/jobs"): Access.USER,
    ("GET", "/api/v1/jobs/{job_id}"): Access.USER,
    ("PUT", "/api/v1/jobs/{job_id}/cancel"): Access.USER,
    ("GET", "/api/v1/jobs/{job_id}/results_link"): Access.USER,
    ("GET", "/api/v1/jobs/{job_id}/status"): Access.USER,
    ("GET", "/api/v2/jobs"): Access.USER,
    ("GET", "/api/v2/jobs/{job_id}"): Access.USER,
    ("PATCH", "/api/v2/jobs/{job_id}/cancel"): Access.USER,
    # The ticket in the path is the credential: clients download without a header.
    ("GET", "/api/v1/results/{ticket:path}"): Access.ANYBODY,
    ("GET", f"{_OVH}/batches/{{batch_id}}"): Access.USER,
    ("GET", f"{_OVH}/batches/{{batch_id}}/status"): Access.USER,
    ("POST", f"{_OVH}/batches"): Access.USER,
    ("GET", f"{_OVH}/jobs"): Access.USER,
    ("GET", f"{_OVH}/jobs/{{job_id}}/results_link"): Access.USER,
    ("GET", f"{_OVH}/jobs/{{job_id}}/status"): Access.USER,
    ("GET", "/api/v1/devices"): Access.ANYBODY,
    ("GET", "/api/v1/devices/public-specs"): Access.ANYBODY,
    ("GET", "/api/v1/devices/specs"): Access.USER,
    ("GET", "/api/v1/devices/specs/{device_type}"): Access.USER,
    ("GET", "/api/v1/devices/{dt_name}/queue"): Access.USER,
    ("GET", "/api/v2/devices"): Access.USER,
    # The password in the body is the credential.
    ("POST", "/oauth/token"): Access.ANYBODY,
    ("POST", "/realms/{realm}/protocol/openid-connect/token"): Access.ANYBODY,
    ("GET", "/account/api/v1/auth/info"): Access.USER,
    ("GET", "/account/api/v1/projects"): Access.USER,
    ("GET", "/api/v1/projects"): Access.USER,
    # These say nothing about anybody's work.
    ("GET", "/health"): Access.ANYBODY,
    ("GET", "/ready"): Access.ANYBODY,
    ("GET", "/metrics"): Access.ANYBODY,
    ("GET", "/docs"): Access.ANYBODY,
    ("GET", "/docs/{name}"): Access.ANYBODY,
    ("GET", "/openapi.json"): Access.ANYBODY,
    **{(method, path): Access.ANYBODY for method, path, _ in NOT_OFFERED},
}


class Undeclared(Exception):
    """A route is not in the table, or is there with two kinds of caller."""


def guarded(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yields the routes, those for users so that they refuse requests without a bearer token."""
    for route in routes:
        access = access_to(route)
        assert isinstance(route, Route)
        if access is not Access.ANYBODY:
            route = copy(route)
            route.app = _Bearer(route.app)
        yield route


def access_to(route: BaseRoute) -> Access:
    """Returns who may call a route, or raises Undeclared."""
    if not isinstance(route, Route) or not route.methods:
        raise Undeclared(f"{route!r} is no route of the table")
    try:
        found = {ACCESS[method, route.path] for method in route.methods - {"HEAD"}}
    except KeyError as error:
        raise Undeclared(f"{error} is not in the table of who may call what") from None
    if len(found) != 1:
        raise Undeclared(f"{route.path} needs a route for each kind of caller")
    return found.pop()


class _Bearer:
    """Passes on requests that bring a bearer token, of whatever worth."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        scheme, _, token = Request(scope).headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused(401, "a bearer token is needed", HEADERS[401])
        await self._app(scope, receive, send)
