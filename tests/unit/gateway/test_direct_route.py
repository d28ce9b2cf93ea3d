import httpx
from fastapi import APIRouter, FastAPI, Response
from starlette.requests import Request

from tweezer.gateway.direct_route import DirectRoute
from tweezer.gateway.routes import batches, jobs
from tweezer.gateway.routes.batches import BatchId

CANONICAL = "0b9d5a0e-0b9d-4a0e-9b9d-5a0e0b9d5a0e"

router = APIRouter(route_class=DirectRoute)


@router.get("/things/{batch_id}")
async def get_thing(request: Request, batch_id: BatchId) -> Response:
    # Only FastAPI's own way leaves this in the scope.
    way = "long" if "fastapi_function_astack" in request.scope else "short"
    return Response(f"{way} {batch_id}")


@router.get("/sums")
async def get_sum(request: Request, more: int = 0) -> Response:
    return Response(f"{1 + more}")


class Teapot(Exception):
    pass


@router.get("/failures")
async def fail(request: Request) -> Response:
    raise Teapot


async def on_teapot(request: Request, error: Exception) -> Response:
    return Response(status_code=418)


async def get(path: str) -> httpx.Response:
    app = FastAPI(routes=list(router.routes))
    app.add_exception_handler(Teapot, on_teapot)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.get(path)


async def test_a_canonical_identifier_goes_straight_to_the_function() -> None:
    assert (await get(f"/things/{CANONICAL}")).text == f"short {CANONICAL}"


async def test_another_spelling_of_it_is_made_canonical() -> None:
    assert (await get(f"/things/{CANONICAL.upper()}")).text == f"long {CANONICAL}"


async def test_what_is_no_identifier_is_refused() -> None:
    assert (await get("/things/nothing")).status_code == 422


async def test_a_function_that_takes_more_is_called_as_usual() -> None:
    assert (await get("/sums?more=2")).text == "3"


async def test_what_a_function_raises_reaches_the_handlers_of_the_app() -> None:
    assert (await get("/failures")).status_code == 418


def test_all_routes_of_batches_and_jobs_are_direct() -> None:
    routes = [*batches.router.routes, *jobs.router.routes]
    assert routes
    assert all(type(route.app).__name__ == "_Direct" for route in routes)
