"""Everything that can go wrong is JSON in an envelope that the public client can print."""

import grpc
import pytest
import structlog

from tweezer.gateway.errors import HTTP_STATUS
from tweezer.gateway.schemas.envelopes import Failure, Invalid
from tweezer.rpc.errors import InvalidInput, NotAllowedNow, NotFound, TooMuch

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
GET = f"/api/v2/batches/{BATCH}"


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic eDp5"])
async def test_without_a_bearer_token_no_service_is_asked(client, services, authorization):
    del client.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}

    response = await client.get(GET, headers=headers)

    assert services.calls == []
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json() == {
        "status": "fail",
        "message": "Unauthorized",
        "code": "401",
        "data": {"description": "a bearer token is needed"},
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound(f"batch {BATCH} not found"), 404),
        (NotAllowedNow("the batch is closed"), 409),
        (TooMuch("too many batches"), 429),
    ],
)
async def test_what_a_service_says_reaches_the_caller(client, services, error, status):
    services.answers["GetBatch"] = error

    response = await client.get(GET)

    assert response.status_code == status
    Failure.model_validate(response.json())
    assert response.json()["data"] == {"description": str(error)}
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
async def test_every_grpc_code_has_an_answer(client, services, fails, code):
    services.answers["GetJobStatus"] = fails(code, "db at 10.0.0.1 says no")

    response = await client.get(f"/api/v1/jobs/{BATCH}/status")

    status = HTTP_STATUS.get(code, 500)
    assert response.status_code == status
    body = response.json()
    (Invalid if status == 422 else Failure).model_validate(body)
    assert body["status"] == ("fail" if status < 500 else "error")
    # The caller hears what it can do something about, and nothing about the inside.
    assert ("10.0.0.1" in response.text) is (status < 500)
    assert response.headers.get("retry-after") == ("1" if status in (429, 503) else None)


async def test_a_crash_of_a_service_is_500_without_details(client, services):
    services.answers["GetBatch"] = ValueError("secret")

    response = await client.get(GET)

    assert response.status_code == 500
    assert "secret" not in response.text


async def test_a_crash_of_the_gateway_is_500_and_logged_once(client, services, make_batch):
    # A status that this gateway does not know.
    services.answers["GetBatch"].batch.status = 99

    with structlog.testing.capture_logs() as logs:
        response = await client.get(GET, headers={"X-Request-ID": "abc.1"})

    assert response.status_code == 500
    Failure.model_validate(response.json())
    assert response.json()["data"] == {"description": "internal error", "request_id": "abc.1"}
    (entry,) = (entry for entry in logs if entry["log_level"] != "debug")
    assert (entry["event"], entry["request_id"]) == ("unexpected error", "abc.1")
    assert isinstance(entry["exc_info"], KeyError)


async def test_invalid_input_found_by_a_service_names_the_field_in_the_body(client, services):
    services.answers["CreateBatch"] = InvalidInput("jobs[3].variables.omega", "a value is missing")

    response = await client.post("/api/v1/batches", json={"project_id": PROJECT})

    Invalid.model_validate(response.json())
    assert response.json()["data"]["description"] == [
        {
            "loc": ["body", "jobs", 3, "variables", "omega"],
            "msg": "a value is missing",
            "type": "value_error",
        }
    ]


async def test_invalid_input_found_by_a_service_names_the_query_parameter(client, services):
    services.answers["ListJobs"] = InvalidInput("order_by", "'x' is not one of created_at")

    response = await client.get("/api/v2/jobs?order_by=x")

    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == ["query", "order_by"]


async def test_invalid_input_found_by_a_service_names_the_path_parameter(client, services):
    services.answers["DownloadResult"] = InvalidInput("ticket", "is malformed")

    (problem,) = (await client.get("/api/v1/results/x")).json()["data"]["description"]

    assert problem["loc"] == ["path", "ticket"]


async def test_a_service_that_does_not_answer_in_time(client, services, fails):
    services.answers["GetBatch"] = fails(grpc.StatusCode.DEADLINE_EXCEEDED, "")

    response = await client.get(GET)

    assert response.status_code == 504


async def test_a_service_that_is_away_is_503_in_json(client, batch_server):
    await batch_server.stop()

    response = await client.post("/api/v1/batches", json={"project_id": PROJECT})

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    Failure.model_validate(response.json())
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_reads_outlast_a_short_absence_of_a_service(client, services, fails, code):
    answers = iter([fails(code, "restarting"), services.answers["GetBatch"]])
    services.answers["GetBatch"] = lambda _: next(answers)

    assert (await client.get(GET)).status_code == 200
    assert [call.method for call in services.calls] == ["GetBatch", "GetBatch"]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_writes_are_never_repeated(client, services, fails, code):
    services.answers["CreateBatch"] = fails(code, "restarting")

    response = await client.post("/api/v1/batches", json={"project_id": PROJECT})

    assert response.status_code == 503
    assert [call.method for call in services.calls] == ["CreateBatch"]


async def test_a_restarted_service_is_found_again(client, batch_server):
    assert (await client.get(GET)).status_code == 200
    await batch_server.stop()
    await batch_server.start()

    assert (await client.get(GET)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v9/batches", 404),
        ("GET", "/core-fast", 404),
        ("GET", "/core-fast/", 404),
        ("GET", "/api/v1/batches/", 404),
        ("GET", "//api/v1/batches", 404),
        ("GET", "/docs/", 404),
        ("GET", "/docs/consts.py", 404),
        ("GET", "/docs/..%2Fcore.py", 404),
        ("GET", "/redoc", 404),
        ("PUT", "/api/v1/batches", 405),
        ("GET", "/oauth/token", 405),
        ("POST", "/health", 405),
        ("DELETE", GET, 405),
        ("OPTIONS", GET, 405),
    ],
)
async def test_unknown_paths_and_methods(client, method, path, status):
    response = await client.request(method, path)

    assert response.status_code == status
    Failure.model_validate(response.json())
    if status == 405:
        assert response.headers["allow"]


async def test_each_answer_carries_an_identifier(client):
    first, second = await client.get(GET), await client.get("/nowhere")

    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(
    ("given", "kept"), [("my-id_1.2", True), ("a b", False), ("x" * 129, False)]
)
async def test_harmless_identifiers_of_callers_are_kept(client, given, kept):
    response = await client.get(GET, headers={"X-Request-ID": given})

    assert (response.headers["x-request-id"] == given) is kept


async def test_a_failed_call_is_logged_with_what_the_caller_does_not_see(client, services, fails):
    services.answers["GetBatch"] = fails(grpc.StatusCode.INTERNAL, "db at 10.0.0.1")

    with structlog.testing.capture_logs() as logs:
        response = await client.get(GET)

    (entry,) = (entry for entry in logs if entry["log_level"] != "debug")
    assert entry["details"] == "db at 10.0.0.1"
    assert entry["grpc_code"] == "INTERNAL"
    assert entry["request_id"] == response.headers["x-request-id"]
