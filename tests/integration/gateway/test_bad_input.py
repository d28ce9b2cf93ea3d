"""Input that can never succeed: each has its status and names the field; no service is asked."""

import gzip
import json
import zlib

import pytest

PROJECT = "00000000-0000-0000-0000-000000000001"
MIB = 1024 * 1024


@pytest.fixture
def more_settings():
    return {"gateway_max_body_bytes": MIB, "gateway_max_body_values": 1000}


def problems(response):
    """The problems of a 422 answer, whose shape is checked."""
    assert response.status_code == 422
    body = response.json()
    assert body["status"] == "fail"
    assert body["message"] == "Unprocessable Entity"
    assert body["code"] == "422"
    found = body["data"]["description"]
    assert all(problem.keys() == {"loc", "msg", "type"} for problem in found)
    return found


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b"", ["body"]),
        (b"not JSON", ["body"]),
        (b'{"project_id": "', ["body"]),
        (b"\xff\xfe", ["body"]),
        (b"[]", ["body"]),
        (b"null", ["body"]),
        (b'{"jobs": [' + b"[" * 500 + b"]" * 500 + b"]}", ["body"]),
        (b'{"tags": ["\\ud800"]}', ["body"]),
    ],
)
async def test_a_body_that_is_no_json_object(client, services, body, loc):
    (problem,) = problems(await client.post("/api/v1/batches", content=body))

    assert problem["loc"] == loc
    assert services.calls == []


@pytest.mark.parametrize(
    ("given", "loc"),
    [
        ({"project_id": None}, ["body", "project_id"]),
        ({"project_id": 7}, ["body", "project_id"]),
        ({"project_id": "mine"}, ["body", "project_id"]),
        ({"jobs": {}}, ["body", "jobs"]),
        ({"jobs": [{}, {}, {}, {"runs": "many"}]}, ["body", "jobs", 3, "runs"]),
        ({"jobs": [{"runs": "100"}]}, ["body", "jobs", 0, "runs"]),
        ({"jobs": [{"runs": 1.5}]}, ["body", "jobs", 0, "runs"]),
        ({"jobs": [{"runs": True}]}, ["body", "jobs", 0, "runs"]),
        ({"jobs": [{"runs": 2**31}]}, ["body", "jobs", 0, "runs"]),
        ({"jobs": [{"runs": 10**30}]}, ["body", "jobs", 0, "runs"]),
        ({"jobs": [{"variables": [1]}]}, ["body", "jobs", 0, "variables"]),
        ({"jobs": [{"sequence": {}}]}, ["body", "jobs", 0, "sequence"]),
        ({"jobs": ["run"]}, ["body", "jobs", 0]),
        ({"sequence_builder": {"version": "1"}}, ["body", "sequence_builder"]),
        ({"open": "yes"}, ["body", "open"]),
        ({"complete": 1}, ["body", "complete"]),
        ({"open": True, "complete": True}, ["body", "complete"]),
        ({"open": False, "complete": False}, ["body", "complete"]),
        ({"device_type": ["EMU_FREE"]}, ["body", "device_type"]),
        ({"device_type": "EMU_FREE", "emulator": "EMU_MPS"}, ["body", "emulator"]),
        ({"backend_configuration": {}}, ["body", "backend_configuration"]),
        ({"configuration": "{}"}, ["body", "configuration"]),
        ({"tags": "a"}, ["body", "tags"]),
        ({"tags": ["a", 1]}, ["body", "tags", 1]),
        ({"webhook": 1}, ["body", "webhook"]),
    ],
)
async def test_wrong_types_name_their_field(client, services, given, loc):
    body = {"project_id": PROJECT, **given}

    (problem,) = problems(await client.post("/api/v1/batches", json=body))

    assert problem["loc"] == loc
    assert services.calls == []


@pytest.mark.parametrize(
    ("number", "loc"),
    [
        ("NaN", ["body", "jobs", 0, "variables", "x"]),
        ("-Infinity", ["body", "jobs", 0, "variables", "x"]),
        ("1e400", ["body", "jobs", 0, "variables", "x"]),
        ('[0, {"y": [null, Infinity]}]', ["body", "jobs", 0, "variables", "x", 1, "y", 1]),
        ("18446744073709551616", ["body", "jobs", 0, "variables"]),
    ],
)
async def test_numbers_that_cannot_be_carried_exactly(client, services, number, loc):
    body = f'{{"project_id": "{PROJECT}", "jobs": [{{"variables": {{"x": {number}}}}}]}}'

    (problem,) = problems(await client.post("/api/v1/batches", content=body))

    assert problem["loc"] == loc
    assert services.calls == []


async def test_several_problems_are_all_named(client):
    body = {"project_id": "x", "jobs": 1, "open": 2}

    found = problems(await client.post("/api/v1/batches", json=body))

    assert [problem["loc"][1] for problem in found] == ["project_id", "jobs", "open"]


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=-1", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=5&limit=1000", ["limit"]),
        ("offset=-1", ["offset"]),
        ("offset=2147483648", ["offset"]),
        ("order_by_direction=UP", ["order_by_direction"]),
        ("id=xyz", ["id", 0]),
        ("id=00000000-0000-0000-0000-000000000001&id=1", ["id", 1]),
        ("project_id=mine", ["project_id", 0]),
        ("status=DONE&status=FINISHED", ["status", 1]),
        ("status=done", ["status", 0]),
        ("open=maybe", ["open"]),
        ("open=True&complete=True", ["complete"]),
        ("min_jobs=1.5", ["min_jobs"]),
        ("max_jobs=99999999999", ["max_jobs"]),
        ("start_date=yesterday", ["start_date"]),
        ("start_date=1736937000", ["start_date"]),
        ("start_date=0.5", ["start_date"]),
        ("end_date=0001-01-01T00:00:00%2B14:00", ["end_date"]),
        ("queue_priority=URGENT", ["queue_priority", 0]),
    ],
)
async def test_bad_query_parameters_of_batches(client, services, query, loc):
    (problem,) = problems(await client.get(f"/api/v1/batches?{query}"))

    assert problem["loc"] == ["query", *loc]
    assert services.calls == []


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ("limit=101", ["limit"]),
        ("batch_id=1", ["batch_id", 0]),
        ("status=TIMED_OUT", ["status", 0]),
        ("errors=some", ["errors"]),
        ("origin=MARS", ["origin", 0]),
        ("min_runs=x", ["min_runs"]),
        ("start_date=2025-13-01", ["start_date"]),
    ],
)
async def test_bad_query_parameters_of_jobs(client, services, query, loc):
    (problem,) = problems(await client.get(f"/api/v2/jobs?{query}"))

    assert problem["loc"] == ["query", *loc]
    assert services.calls == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v2/batches/mine", "batch_id"),
        ("/api/v1/batches/mine/status", "batch_id"),
        ("/api/v2/jobs/1", "job_id"),
        ("/api/v1/jobs/1/status", "job_id"),
        ("/api/v1/jobs/1/results_link", "job_id"),
        ("/core-fast/api/v2/batches/mine", "batch_id"),
    ],
)
async def test_a_path_with_a_malformed_id(client, services, path, name):
    (problem,) = problems(await client.get(path))

    assert problem["loc"] == ["path", name]
    assert services.calls == []


def _gzip_bomb():
    """A body that inflates to a hundred times the limit."""
    packer = zlib.compressobj(wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(100)), packer.flush()])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b" " * (MIB + 1), {}, 413),
        (gzip.compress(b" " * (MIB + 1)), {"Content-Encoding": "gzip"}, 413),
        (_gzip_bomb(), {"Content-Encoding": "gzip"}, 413),
        (b"{}", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}")[:-1], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}") * 2, {"Content-Encoding": "gzip"}, 400),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (gzip.compress(gzip.compress(b"{}")), {"Content-Encoding": "gzip, gzip"}, 415),
    ],
    ids=["large", "large when inflated", "bomb", "no gzip", "cut", "two members", "br", "twice"],
)
@pytest.mark.parametrize("path", ["/api/v1/batches", "/oauth/token"])
async def test_bodies_that_are_not_taken(client, services, path, body, headers, status):
    response = await client.post(path, content=body, headers=headers)

    assert response.status_code == status
    answer = response.json()
    if path == "/oauth/token":
        assert answer["error"] == "invalid_request"
        assert "body" in answer["error_description"]
    else:
        assert answer["code"] == str(status)
        assert "body" in answer["data"]["description"]
    assert services.calls == []


async def test_a_body_of_exactly_the_limit_is_taken(client):
    body = json.dumps({"project_id": PROJECT}).encode()
    body += b" " * (MIB - len(body))

    for content, headers in (
        (body, {}),
        (gzip.compress(body), {"Content-Encoding": "gzip"}),
    ):
        response = await client.post("/api/v1/batches", content=content, headers=headers)
        assert response.status_code == 200


async def test_a_body_of_very_many_values_is_not_parsed(client, services):
    body = {"project_id": PROJECT, "jobs": [{}] * 1000}

    response = await client.post("/api/v1/batches", json=body)

    assert response.status_code == 413
    assert "more than 1000 values" in response.json()["data"]["description"]
    assert services.calls == []


async def test_a_long_sequence_is_one_value(client, services):
    sequence = json.dumps([{"a": [1, 2, 3]}] * 1000)
    body = {"project_id": PROJECT, "sequence_builder": sequence}

    assert (await client.post("/api/v1/batches", json=body)).status_code == 200
    assert services.last.request.sequence == sequence


@pytest.mark.parametrize("token", ["Bearer " + "x" * 8193, "Bearer \u20ac", "Bearer a\x7fb"])
async def test_a_token_that_is_none_is_refused_here(client, services, token):
    response = await client.get("/api/v2/jobs", headers={"Authorization": token.encode()})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["data"]["description"] == "the token is not valid"
    assert services.calls == []
