"""The account API, as far as clients need it."""

from typing import Any

import jwt
from fastapi import APIRouter, Request, Response

from tweezer.gateway import jsend
from tweezer.gateway.calls import backend_of, call
from tweezer.gateway.convert import accounts
from tweezer.gateway.documentation import bearer, errors, query
from tweezer.gateway.query_string import read_query
from tweezer.gateway.routes.devices import every_device
from tweezer.gateway.schemas.answers import AuthInfo, Project
from tweezer.gateway.schemas.envelopes import Success
from tweezer.gateway.schemas.queries import ProjectQuery
from tweezer.v1.account_service_pb2 import ListProjectsRequest

router = APIRouter(tags=["account"])


@router.get("/api/v1/projects", include_in_schema=False)
@router.get(
    "/account/api/v1/projects",
    summary="List the caller's projects",
    response_model=Success[list[Project]],
    responses=errors(401, 422),
    openapi_extra=bearer(**query(ProjectQuery)),
)
async def list_projects(request: Request) -> Response:
    """Returns the projects that the caller belongs to. All of them are active."""
    wanted = read_query(request, ProjectQuery)
    stub = backend_of(request).stubs.accounts
    response = await call(request, stub.ListProjects, ListProjectsRequest())
    rows = [accounts.project(project) for project in response.projects]
    return jsend.success(
        [row for row in rows if wanted.project_status in (None, row["project_status"])]
    )


@router.get(
    "/account/api/v1/auth/info",
    summary="Get whom the token speaks for",
    response_model=Success[AuthInfo],
    responses=errors(401),
    openapi_extra=bearer(),
)
async def get_auth_info(request: Request) -> Response:
    """Returns the caller with the projects and the devices that the token opens."""
    stubs = backend_of(request).stubs
    response = await call(request, stubs.accounts.ListProjects, ListProjectsRequest())
    found = await every_device(request)
    return jsend.success(accounts.auth_info(_claims(request), response.projects, found))


def _claims(request: Request) -> dict[str, Any]:
    """Returns what a token says that a service has just accepted."""
    token = request.headers["authorization"].partition(" ")[2]
    claims: dict[str, Any] = jwt.decode(token.strip(), options={"verify_signature": False})
    return claims
