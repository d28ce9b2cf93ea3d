"""Requests named by an Idempotency-Key are handed on with their name, and sent again if need be."""

import grpc
import pytest

from tweezer.gateway.schemas.envelopes import Invalid
from tweezer.rpc.errors import AlreadyExists

PROJECT = "00000000-0000-0000-0000-000000000001"
BATCH = "00000000-0000-0000-0000-000000000002"
OVH = "/api/v1/third-party-access/ovh"

#: Path, body and RPC of everything that makes something.
MAKING = [
    ("/api/v1/batches", {"project_id": PROJECT}, "CreateBatch"),
    (f"{OVH}/batches", {"project_id": PROJECT}, "CreateBatch"),
    (f"/api/v2/batches/{BATCH}/jobs", [{"runs": 1}], "AddJobs"),
    (f"/api/v1/batches/{BATCH}/jobs", [{"runs": 1}], "AddJobs"),
    ("/api/v1/jobs", {"batch_id": BATCH, "runs": 1}, "AddJobs"),
    (f"/api/v1/batches/{BATCH}/rebatch", None, "RepeatBatch"),
]
making = pytest.mark.parametrize(("path", "body", "rpc"), MAKING)


def calls_of(services, rpc):
    return [call for call in services.calls if call.method == rpc]


@pytest.fixture
def post(client):
    def post(path, body, *keys):
        headers = [("Idempotency-Key", key) for key in keys]
        return client.post(path, json=body, headers=headers)

    return post


@making
async def test_the_name_is_handed_on(post, services, path, body, rpc):
    assert (await post(path, body, "order 66/a")).status_code == 200

    (call,) = calls_of(services, rpc)
    assert call.request.request_id == "order 66/a"


@making
async def test_without_a_name_there_is_none(post, services, path, body, rpc):
    assert (await post(path, body)).status_code == 200

    (call,) = calls_of(services, rpc)
    assert not call.request.HasField("request_id")


@pytest.mark.parametrize("keys", [("",), ("k" * 256,), ("é".encode(),), (b"a\tb",), ("a", "b")])
async def test_a_malformed_name_is_refused_naming_the_header(post, services, keys):
    response = await post("/api/v1/batches", {"project_id": PROJECT}, *keys)

    assert response.status_code == 422
    Invalid.model_validate(response.json())
    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == ["header", "Idempotency-Key"]
    assert services.calls == []


@making
async def test_the_name_of_another_request_is_refused(post, services, path, body, rpc):
    services.answers[rpc] = AlreadyExists("the request_id 'again' names another request")

    response = await post(path, body, "again")

    assert response.status_code == 422
    Invalid.model_validate(response.json())
    (problem,) = response.json()["data"]["description"]
    assert problem["loc"] == ["header", "Idempotency-Key"]
    assert problem["msg"] == "this name was given to another request"


@making
async def test_a_named_request_outlasts_a_short_absence(post, services, fails, path, body, rpc):
    away = fails(grpc.StatusCode.UNAVAILABLE, "restarting")
    stops = fails(grpc.StatusCode.CANCELLED, "stopping")
    answers = iter([stops, away, services.answers[rpc]])
    services.answers[rpc] = lambda _: next(answers)

    assert (await post(path, body, "once")).status_code == 200
    assert [call.request.request_id for call in calls_of(services, rpc)] == ["once"] * 3


@making
async def test_a_request_without_a_name_is_sent_once(post, services, fails, path, body, rpc):
    services.answers[rpc] = fails(grpc.StatusCode.UNAVAILABLE, "restarting")

    assert (await post(path, body)).status_code == 503
    assert len(calls_of(services, rpc)) == 1


async def test_other_failures_of_a_named_request_are_final(post, services, fails):
    services.answers["CreateBatch"] = fails(grpc.StatusCode.INTERNAL, "broken")

    assert (await post("/api/v1/batches", {"project_id": PROJECT}, "once")).status_code == 500
    assert len(services.calls) == 1


class TestLittleTime:
    @pytest.fixture
    def more_settings(self):
        return {"gateway_call_deadline": 0.5}

    async def test_a_named_request_is_given_up_in_time(self, post, services, fails):
        services.answers["CreateBatch"] = fails(grpc.StatusCode.UNAVAILABLE, "away")

        response = await post("/api/v1/batches", {"project_id": PROJECT}, "once")

        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert len(services.calls) > 1
