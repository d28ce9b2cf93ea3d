"""What is not offered says so, in JSON that the public client can print."""

import pytest

from tweezer.gateway.routes.not_offered import NOT_OFFERED
from tweezer.gateway.schemas.envelopes import Failure

ID = "00000000-0000-0000-0000-000000000001"


#: The account API has no second prefix.
EVERY = [
    *NOT_OFFERED,
    *((m, f"/core-fast{p}", s) for m, p, s in NOT_OFFERED if not p.startswith("/account")),
]


@pytest.mark.parametrize(("method", "path", "sentence"), EVERY)
async def test_it_is_501_with_one_sentence(client, services, method, path, sentence):
    for name in ("workload_id", "banner_id", "job_id", "project_id", "name"):
        path = path.replace(f"{{{name}}}", ID)

    response = await client.request(method, path, content=b"{}")

    assert response.status_code == 501
    Failure.model_validate(response.json())
    assert response.json() == {
        "status": "error",
        "message": "Not Implemented",
        "code": "501",
        "data": {"description": sentence},
    }
    assert services.calls == []


async def test_projects_are_still_listed(client):
    assert (await client.get("/account/api/v1/projects")).status_code == 200
