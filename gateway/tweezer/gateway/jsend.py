"""The JSend envelope of every answer.

`code` is text and `data` of a failure is an object: the public client prints
`data.description` and breaks on a list.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.responses import Response

_JSON: Final = "application/json"

#: Times are printed as 2025-01-15T10:30:00.123456Z.
_OPTIONS: Final = orjson.OPT_UTC_Z


def success(data: object) -> Response:
    """Returns the answer that carries one item."""
    body = {"status": "success", "message": "OK.", "code": "200", "data": data}
    return Response(orjson.dumps(body, option=_OPTIONS), media_type=_JSON)


def page(rows: Sequence[object], offset: int, total: int) -> Response:
    """Returns the answer that carries one page of a list.

    `pagination.end` is the offset of the next page. Content-Range counts from 1 and includes both
    ends, as the client's own recorded answer `1-1/1` does for a single row; a page without rows
    has the form that RFC 9110 gives to an unsatisfied range.
    """
    end = offset + len(rows)
    body = {
        "status": "success",
        "message": "OK.",
        "code": "200",
        "data": rows,
        "pagination": {"total": total, "start": offset, "end": end},
    }
    rows_shown = f"{offset + 1}-{end}" if rows else "*"
    headers = {
        "Content-Range": f"{rows_shown}/{total}",
        "Access-Control-Expose-Headers": "Content-Range",
    }
    return Response(orjson.dumps(body, option=_OPTIONS), media_type=_JSON, headers=headers)


def failure(
    status: int,
    description: object,
    *,
    headers: Mapping[str, str] | None = None,
    **details: object,
) -> Response:
    """Returns an error answer; `details` stand beside the description."""
    body: dict[str, Any] = {
        "status": "fail" if status < 500 else "error",
        "message": HTTPStatus(status).phrase,
        "code": str(status),
        "data": {"description": description, **details},
    }
    return Response(orjson.dumps(body, option=_OPTIONS), status, headers=headers, media_type=_JSON)
