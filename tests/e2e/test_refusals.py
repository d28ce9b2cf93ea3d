"""What cannot be done gets a 4xx whose message names the reason."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from pulser import Pulse, Register, Sequence
from pulser.devices import AnalogDevice
from pulser.waveforms import BlackmanWaveform, ConstantWaveform


def parametrised() -> str:
    """A sequence with a scalar and an array variable."""
    register = Register.from_coordinates([(0, 0), (6, 0)], prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    area = sequence.declare_variable("area")
    detunings = sequence.declare_variable("detunings", size=2)
    sequence.declare_channel("rydberg", "rydberg_global")
    for detuning in (detunings[0], detunings[1]):
        sequence.add(
            Pulse(BlackmanWaveform(400, area), ConstantWaveform(400, detuning), 0.0), "rydberg"
        )
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


PARAMETRISED = parametrised()
BUILT = Sequence.from_abstract_repr(PARAMETRISED).build(area=1.0, detunings=[0.0, 0.0])
VALUES = {"area": 1.0, "detunings": [0.0, 1.0]}

Change = Callable[[dict[str, Any]], object]


def body(stack: Any) -> dict[str, Any]:
    """A batch that is accepted."""
    return {
        "project_id": stack.facts["project_id"],
        "sequence_builder": PARAMETRISED,
        "device_type": "EMU_FREE",
        "open": False,
        "jobs": [{"runs": 10, "variables": dict(VALUES)}],
    }


def job_with(**fields: Any) -> Change:
    return lambda batch: batch["jobs"][0].update(fields)


def batch_with(**fields: Any) -> Change:
    return lambda batch: batch.update(fields)


def without(field: str) -> Change:
    return lambda batch: batch.pop(field)


def message(answer: httpx.Response) -> str:
    """Returns what the answer says, as `place.field: sentence` or as it is."""
    content = answer.json()
    assert content["status"] == "fail"
    assert content["code"] == str(answer.status_code)
    description = content["data"]["description"]
    if isinstance(description, str):
        return description
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in description)


def test_the_batch_that_the_others_are_made_of_is_accepted(stack: Any, api: httpx.Client):
    answer = api.post("/api/v1/batches", json=body(stack))
    assert answer.status_code == 200
    assert answer.json()["data"]["jobs_count"] == 1


#: Of nothing that is there; the same in each run, so that tests have the same names.
SOME_ID = "3f0c6c53-6a4f-4c3e-8d4e-0a3f6a1c9d52"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (batch_with(jobs="many"), "body.jobs: "),
        (batch_with(jobs=[{"runs": "ten"}]), "body.jobs.0.runs: "),
        (batch_with(jobs=[{"runs": 1.5}]), "body.jobs.0.runs: "),
        (batch_with(open="maybe"), "body.open: "),
        (batch_with(sequence_builder=[]), "body.sequence_builder: "),
        (batch_with(tags=[1]), "body.tags.0: "),
        (batch_with(project_id="mine"), "body.project_id: "),
        (without("project_id"), "body.project_id: "),
        (batch_with(device_type="ABACUS"), "body.device_type: 'ABACUS' is not one of "),
        (batch_with(sequence_builder="{"), "body.sequence_builder: "),
        (batch_with(sequence_builder="{}"), "body.sequence_builder: "),
        (batch_with(sequence_builder=None), "body.sequence_builder: "),
        (batch_with(backend_configuration="{"), "body.backend_configuration: "),
        (batch_with(jobs=[]), "body.jobs: at least one is needed unless the batch is open"),
        (without("jobs"), "body.jobs: at least one is needed unless the batch is open"),
        (job_with(runs=0), "body.jobs.0.runs: must be 1 to "),
        (job_with(runs=-5), "body.jobs.0.runs: "),
        (job_with(runs=10**9), "body.jobs.0.runs: must be 1 to "),
        (job_with(runs=10**30), "body.jobs.0.runs: "),
        (job_with(variables=None), "body.jobs.0.variables.area: a value is missing"),
        (job_with(variables=[1]), "body.jobs.0.variables: "),
        (
            job_with(variables={"area": 1.0}),
            "body.jobs.0.variables.detunings: a value is missing",
        ),
        (
            job_with(variables=VALUES | {"omega": 1.0}),
            "body.jobs.0.variables.omega: the sequence declares no such variable",
        ),
        (
            job_with(variables=VALUES | {"detunings": [1.0]}),
            "body.jobs.0.variables.detunings: needs 2 values, not 1",
        ),
        (
            job_with(variables=VALUES | {"detunings": [1.0, "x"]}),
            "body.jobs.0.variables.detunings",
        ),
        (job_with(variables=VALUES | {"area": "large"}), "body.jobs.0.variables.area: must be "),
        (
            job_with(sequence=BUILT.to_abstract_repr()),
            "body.jobs.0.variables: cannot be combined with a sequence",
        ),
        (
            batch_with(
                jobs=[{"runs": 1, "variables": VALUES}] * 3 + [{"runs": 1, "variables": {}}]
            ),
            "body.jobs.3.variables.area: a value is missing",
        ),
    ],
)
def test_a_bad_batch_names_its_field(change: Change, says: str, stack: Any, api: httpx.Client):
    batch = body(stack)
    change(batch)
    before = api.get("/api/v1/batches").json()["pagination"]["total"]
    answer = api.post("/api/v1/batches", json=batch)
    assert answer.status_code == 422, answer.text
    assert message(answer).startswith(says)
    assert api.get("/api/v1/batches").json()["pagination"]["total"] == before


@pytest.mark.parametrize("text", ["", "nonsense", '{"jobs": [', "[]", '"text"', "null", "\xff"])
def test_a_body_that_is_no_json_object_is_refused(text: str, api: httpx.Client):
    answer = api.post("/api/v1/batches", content=text.encode("latin-1"))
    assert answer.status_code in (400, 422), answer.text
    assert message(answer)


def test_a_body_over_the_limit_is_refused(stack: Any, api: httpx.Client):
    batch = body(stack) | {"sequence_builder": "x" * (40 * 1024 * 1024)}
    answer = api.post("/api/v1/batches", json=batch)
    assert answer.status_code == 413
    assert "bytes" in message(answer)


def test_a_small_body_that_grows_over_the_limit_is_refused(api: httpx.Client):
    bomb = gzip.compress(b" " * (200 * 1024 * 1024))
    assert len(bomb) < 1024 * 1024
    answer = api.post("/api/v1/batches", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert "bytes" in message(answer)


def test_a_body_that_is_not_the_gzip_it_says_is_refused(api: httpx.Client):
    answer = api.post("/api/v1/batches", content=b"no gzip", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert "gzip" in message(answer)


def test_a_compressed_body_is_accepted(stack: Any, api: httpx.Client):
    answer = api.post(
        "/api/v1/batches",
        content=gzip.compress(json.dumps(body(stack)).encode()),
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status_code == 200, answer.text


def test_wrong_password_and_unknown_user_get_the_same_answer(stack: Any):
    def log_in(username: str, password: str) -> httpx.Response:
        form = {"grant_type": "password", "username": username, "password": password}
        return httpx.post(stack.facts["token_endpoint"], data=form, trust_env=False)

    wrong = log_in(stack.facts["username"], "guess")
    unknown = log_in("nobody@localhost", "guess")
    assert wrong.status_code == unknown.status_code == 403
    assert wrong.json() == unknown.json()
    assert wrong.json()["error"] == "invalid_grant"
    assert wrong.json()["error_description"] == "Wrong user name or password."


def own_token(stack: Any, **claims: Any) -> str:
    """Signs a token with the key of the stack, as its issuer would with these claims."""
    genuine = stack.token()
    header = jwt.get_unverified_header(genuine)
    content = jwt.decode(genuine, options={"verify_signature": False})
    key = (stack.data_dir / "keys" / "signing.pem").read_text()
    return jwt.encode(
        content | claims, key, algorithm=header["alg"], headers={"kid": header["kid"]}
    )


def test_a_token_signed_as_the_tests_below_do_is_accepted(stack: Any):
    with stack.api(own_token(stack)) as api:
        assert api.get("/api/v1/batches").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/batches",
        f"/api/v2/batches/{SOME_ID}",
        f"/api/v1/batches/{SOME_ID}/status",
        "/api/v2/jobs",
        f"/api/v2/jobs/{SOME_ID}",
        f"/api/v1/jobs/{SOME_ID}/results_link",
        "/api/v1/devices/specs",
    ],
)
def test_without_a_token_nothing_is_told(path: str, stack: Any):
    with stack.api("") as api:
        answer = api.get(path)
    assert answer.status_code == 401
    assert "token" in message(answer)


def test_without_a_token_nothing_is_created(stack: Any):
    with stack.api("") as api:
        assert api.post("/api/v1/batches", json=body(stack)).status_code == 401


def test_an_expired_token_is_refused(stack: Any):
    past = datetime.now(UTC) - timedelta(hours=2)
    token = own_token(stack, iat=past, nbf=past, exp=past + timedelta(hours=1))
    with stack.api(token) as api:
        answer = api.get("/api/v1/batches")
    assert answer.status_code == 401
    assert "expired" in message(answer)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
def test_a_token_that_is_none_is_refused(token: str, stack: Any):
    with stack.api(token) as api:
        assert api.get("/api/v1/batches").status_code == 401


def test_a_token_signed_by_a_stranger_is_refused(stack: Any):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    genuine = stack.token()
    header = jwt.get_unverified_header(genuine)
    content = jwt.decode(genuine, options={"verify_signature": False})
    forged = jwt.encode(
        content, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": header["kid"]}
    )
    with stack.api(forged) as api:
        assert api.get("/api/v1/batches").status_code == 401


@pytest.fixture
def stranger(stack: Any) -> httpx.Client:
    """A user of another project."""
    token = own_token(stack, sub=str(uuid4()), projects=[str(uuid4())])
    with stack.api(token) as api:
        yield api


def test_what_belongs_to_another_project_cannot_be_told_from_nothing(
    stack: Any, api: httpx.Client, stranger: httpx.Client
):
    batch = api.post("/api/v1/batches", json=body(stack)).json()["data"]
    job = batch["jobs"][0]["id"]
    for path in (
        "/api/v2/batches/{}",
        "/api/v1/batches/{}/status",
    ):
        assert api.get(path.format(batch["id"])).status_code == 200
        assert_not_found(stranger, path, batch["id"])
    for path in ("/api/v2/jobs/{}", "/api/v1/jobs/{}/status", "/api/v1/jobs/{}/results_link"):
        assert api.get(path.format(job)).status_code == 200
        assert_not_found(stranger, path, job)


def assert_not_found(api: httpx.Client, path: str, hidden: str) -> None:
    """Checks that the answer for what is hidden is the one for what does not exist."""
    absent = str(uuid4())
    answers = [api.get(path.format(which)) for which in (hidden, absent)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert message(answers[0]).replace(hidden, absent) == message(answers[1])


def test_lists_of_a_stranger_are_empty(stack: Any, api: httpx.Client, stranger: httpx.Client):
    batch = api.post("/api/v1/batches", json=body(stack)).json()["data"]
    for path, query in (
        ("/api/v1/batches", {}),
        ("/api/v1/batches", {"id": batch["id"]}),
        ("/api/v2/jobs", {}),
        ("/api/v2/jobs", {"batch_id": batch["id"]}),
    ):
        answer = stranger.get(path, params=query)
        assert answer.status_code == 200
        assert (answer.json()["data"], answer.json()["pagination"]["total"]) == ([], 0)


def test_a_stranger_cannot_submit_to_the_project(stack: Any, stranger: httpx.Client):
    answer = stranger.post("/api/v1/batches", json=body(stack))
    assert answer.status_code == 404
    assert stack.facts["project_id"] in message(answer)


def test_a_forged_result_link_is_refused(stack: Any, api: httpx.Client):
    data = stack.facts["core"]
    link = finished_link(stack, api)
    assert httpx.get(link, trust_env=False).status_code == 200
    assert link.startswith(data.rsplit("/", 1)[0])
    base, _, ticket = link.rpartition("/")
    forged = f"{base}/{ticket[:-4]}{'AAAA' if ticket[-4:] != 'AAAA' else 'BBBB'}"
    assert 400 <= httpx.get(forged, trust_env=False).status_code < 500


def finished_link(stack: Any, api: httpx.Client) -> str:
    """Runs a batch and returns the link to its result."""
    from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient

    client = PasqalCloudClient(**stack.credentials())
    batch = client.create_batch(
        serialized_sequence=PARAMETRISED,
        jobs=[{"runs": 10, "variables": VALUES}],
        device_type="EMU_FREE",
        wait=True,
    )
    job = batch.ordered_jobs[0].id
    return api.get(f"/api/v1/jobs/{job}/results_link").json()["data"]["results_link"]


def test_unknown_paths_and_methods_answer_in_json(api: httpx.Client):
    assert message(api.get("/api/v1/nothing"))
    assert api.get("/api/v1/nothing").status_code == 404
    assert api.delete("/api/v1/batches").status_code == 405
