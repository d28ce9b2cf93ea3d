"""What the public cloud has and this system has not: 501 and one sentence each."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter, Request, Response

from tweezer.gateway import jsend

_WORKLOADS: Final = "workloads are not offered: this system runs batches of Pulser sequences"
_BANNERS: Final = "banners are not offered: this system makes no announcements"
_PACKAGES: Final = "packages are not offered: nothing is sold here"
_CUDAQ: Final = "CUDA-Q programs are not offered: this system runs Pulser sequences"
_USAGE: Final = "usage reports are not offered: nothing is billed here"
_PROJECTS: Final = "projects and their members are not managed over HTTP"

#: Method, path and sentence. They are left out of the OpenAPI page, which lists what is offered.
NOT_OFFERED: Final = (
    ("POST", "/api/v1/workloads", _WORKLOADS),
    ("GET", "/api/v2/workloads/{workload_id}", _WORKLOADS),
    ("GET", "/api/v1/workloads/{workload_id}", _WORKLOADS),
    ("GET", "/api/v2/workloads", _WORKLOADS),
    ("PUT", "/api/v1/workloads/{workload_id}/cancel", _WORKLOADS),
    ("GET", "/api/v1/banners", _BANNERS),
    ("POST", "/api/v1/banners", _BANNERS),
    ("PATCH", "/api/v1/banners/{banner_id}", _BANNERS),
    ("PUT", "/api/v1/banners/{banner_id}", _BANNERS),
    ("DELETE", "/api/v1/banners/{banner_id}", _BANNERS),
    ("GET", "/api/v1/packages", _PACKAGES),
    ("POST", "/api/v1/cudaq/job", _CUDAQ),
    ("GET", "/api/v1/cudaq/job/{job_id}", _CUDAQ),
    ("GET", "/api/v1/third-party-access/ovh/usage", _USAGE),
    ("GET", "/api/v1/third-party-access/ovh/usage/{name}", _USAGE),
    ("POST", "/account/api/v1/projects", _PROJECTS),
    ("GET", "/account/api/v1/projects/{project_id}/members", _PROJECTS),
)

router = APIRouter()


def _refusal(sentence: str) -> Callable[[Request], Awaitable[Response]]:
    async def refuse(_: Request) -> Response:
        return jsend.failure(501, sentence)

    return refuse


for _method, _path, _sentence in NOT_OFFERED:
    router.add_api_route(_path, _refusal(_sentence), methods=[_method], include_in_schema=False)
