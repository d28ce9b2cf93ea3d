"""The OpenAPI page to read and to try in a browser, without anything from elsewhere."""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse

router = APIRouter(include_in_schema=False)

#: Package that brings the files of Swagger UI along.
_PACKAGE: Final = "fastapi_offline"

_SCRIPT: Final = "swagger-ui-bundle.js"
_STYLE: Final = "swagger-ui.css"
_ICON: Final = "favicon.png"

_MEDIA_TYPES: Final = {_SCRIPT: "text/javascript", _STYLE: "text/css", _ICON: "image/png"}

#: Without the badge for which a validator on the internet would read the page.
_UI_PARAMETERS: Final = {"validatorUrl": None}


@router.get("/docs")
async def get_page(request: Request) -> Response:
    """Returns Swagger UI with the OpenAPI page of this gateway."""
    root = request.scope["root_path"]
    return get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{root}/docs/{_SCRIPT}",
        swagger_css_url=f"{root}/docs/{_STYLE}",
        swagger_favicon_url=f"{root}/docs/{_ICON}",
        swagger_ui_parameters=_UI_PARAMETERS,
    )


@router.get("/docs/{name}")
async def get_file(name: str) -> Response:
    """Returns a file of Swagger UI."""
    if name not in _MEDIA_TYPES:
        raise HTTPException(404)
    path = str(files(_PACKAGE).joinpath("static", name))
    return FileResponse(path, media_type=_MEDIA_TYPES[name])
