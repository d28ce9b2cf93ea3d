"""Each kind of bad input is refused with its field and one sentence, and leaves nothing behind."""

import json

import grpc
import pulser
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from pulser.backend import BitStrings, EmulationConfig

from tweezer.v1.batch_pb2 import NewJob

#: The device types.
KNOWN = "EMU_FREE, EMU_FRESNEL, EMU_MPS, EMU_SV, FRESNEL, FRESNEL_CAN1"

OTHER_PROJECT = "22222222-2222-4222-8222-222222222222"


async def refusal(create, code=grpc.StatusCode.INVALID_ARGUMENT, **changes) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await create(**changes)
    assert failed.value.code() == code
    return failed.value.details()


# Nothing is stored, so one service can refuse it all.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory, backend, open_place):
    async with open_place(tmp_path_factory.mktemp("bad-input"), backend) as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stubs(place):
    async with place.running() as stubs:
        yield stubs


@pytest.fixture(autouse=True)
def nothing_is_left(place):
    yield
    assert place.queue.enqueued == []
    assert place.rows("SELECT count(*) FROM batch") == [(0,)]


PLAIN_FIELDS = {
    "no jobs": (
        {"jobs": 0},
        "jobs: at least one is needed unless the batch is open",
    ),
    "runs 0": (
        {"jobs": [NewJob(runs=1), NewJob(runs=0)]},
        "jobs[1].runs: must be 1 to 1000000, not 0",
    ),
    "runs -1": (
        {"jobs": [NewJob(runs=-1)]},
        "jobs[0].runs: must be 1 to 1000000, not -1",
    ),
    "runs 10^9": (
        {"jobs": [NewJob(runs=10**9)]},
        "jobs[0].runs: must be 1 to 1000000, not 1000000000",
    ),
    "project is no UUID": (
        {"project_id": "mine"},
        "project_id: must be a UUID",
    ),
    "unknown device": (
        {"device_type": "MARS"},
        f"device_type: 'MARS' is not one of {KNOWN}",
    ),
    "webhook is no URL": (
        {"webhook": "ftp://example.org"},
        "webhook: must be a URL that starts with http:// or https://",
    ),
    "empty tag": (
        {"tags": ["good", ""]},
        "tags[1]: must have 1 to 256 characters",
    ),
    "too many tags": (
        {"tags": [str(i) for i in range(101)]},
        "tags: there are 101, and the limit is 100",
    ),
    "configuration is not JSON": (
        {"configuration_json": "{"},
        "configuration: is not JSON",
    ),
    "configuration is a list": (
        {"configuration_json": "[]"},
        "configuration: must be a JSON object",
    ),
    "variables are not JSON": (
        {"jobs": [NewJob(variables_json="{")]},
        "jobs[0].variables: is not JSON",
    ),
    "variables are a list": (
        {"jobs": [NewJob(variables_json="[1]")]},
        "jobs[0].variables: must be a JSON object",
    ),
    "variables without use": (
        {"jobs": [NewJob(), NewJob(), NewJob(), NewJob(variables_json='{"omega": 1}')]},
        "jobs[3].variables: the sequence has no variables",
    ),
    "no sequence at all": (
        {"sequence": None},
        "sequence_builder: is needed unless each job has a sequence of its own",
    ),
    "open without device": (
        {"sequence": None, "jobs": 0, "open": True, "device_type": None},
        "device_type: is needed when there is no sequence to take it from",
    ),
    "sequence is not JSON": (
        {"sequence": "{"},
        "sequence_builder: not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
    ),
    "sequence is empty": (
        {"sequence": ""},
        "sequence_builder: not JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    "sequence is nested deeply": (
        {"sequence": "[" * 100_000},
        "sequence_builder: not JSON: it is nested too deeply",
    ),
    "sequence is a list": (
        {"sequence": "[]"},
        "sequence_builder: must be a JSON object",
    ),
    "sequence is an empty object": (
        {"sequence": "{}"},
        "sequence_builder: not a valid Pulser sequence: 'channels' is a required property",
    ),
    "backend configuration is not JSON": (
        {"backend_configuration": "x"},
        "backend_configuration: not JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    "backend configuration is empty": (
        {"backend_configuration": "{}"},
        "backend_configuration: not a valid emulation configuration: "
        "'observables' is a required property",
    ),
}


@pytest.mark.parametrize(("changes", "message"), PLAIN_FIELDS.values(), ids=PLAIN_FIELDS.keys())
async def test_plain_fields(create, changes, message):
    assert await refusal(create, **changes) == message


async def test_the_field_is_in_the_details_too(create):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await create(jobs=[NewJob(runs=0)])
    trailing = dict(failed.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    (violation,) = bad_request.field_violations
    assert violation.field == "jobs[0].runs"
    assert violation.description == "must be 1 to 1000000, not 0"


VALUES = {"omega": 3.5, "steps": [0, 1, 2.5], "duration": 1000}
MISSING = object()

VARIABLES = {
    "missing": ({"omega": MISSING}, "omega: a value is missing"),
    "extra": ({"delta": 1}, "delta: the sequence declares no such variable"),
    "too few": ({"steps": [0, 1]}, "steps: needs 3 values, not 2"),
    "too many": ({"omega": [1, 2]}, "omega: needs 1 value, not 2"),
    "a number for an array": ({"steps": 1}, "steps: needs 3 values, not 1"),
    "none for one": ({"omega": []}, "omega: needs 1 value, not 0"),
    "text": ({"omega": "3"}, "omega: must be a number or a list of numbers, not a text"),
    "null": ({"omega": None}, "omega: must be a number or a list of numbers, not null"),
    "boolean": ({"omega": True}, "omega: must be a number or a list of numbers, not a boolean"),
    "object": ({"omega": {}}, "omega: must be a number or a list of numbers, not an object"),
    "nested": (
        {"steps": [[0, 1, 2]]},
        "steps: must be a number or a list of numbers, not a list",
    ),
    "text in an array": (
        {"steps": [0, 1, "2"]},
        "steps: must be a number or a list of numbers, not a text",
    ),
    "not finite": ({"omega": float("inf")}, "omega: must be finite, not inf"),
    "not a number": ({"steps": [0, float("nan"), 1]}, "steps: must be finite, not nan"),
    "not whole": ({"duration": 1000.5}, "duration: must be a whole number, not 1000.5"),
    "too large": ({"duration": 10**30}, "duration: is too large for a number of 64 bits"),
    "qubits of a fixed register": (
        {"qubits": {"q0": 0}},
        "qubits: the register of the sequence is not mappable",
    ),
}


@pytest.mark.parametrize(("changes", "message"), VARIABLES.values(), ids=VARIABLES.keys())
async def test_values_of_variables(create, sequences, changes, message):
    given = {k: v for k, v in {**VALUES, **changes}.items() if v is not MISSING}
    good = NewJob(variables_json=json.dumps(VALUES))
    bad = NewJob(variables_json=json.dumps(given))
    told = await refusal(create, sequence=sequences.parametrised, jobs=[good, good, bad])
    assert told == f"jobs[2].variables.{message}"


async def test_no_values_at_all(create, sequences):
    assert (
        await refusal(create, sequence=sequences.parametrised, jobs=[NewJob()])
        == "jobs[0].variables.omega: a value is missing"
    )


QUBITS = {
    "missing": (MISSING, "qubits: is needed, because the register of the sequence is mappable"),
    "a list": (["q0"], "qubits: must be an object with a trap index for each qubit"),
    "empty": ({}, "qubits: must be an object with a trap index for each qubit"),
    "unknown": ({"q0": 0, "q9": 1}, "qubits.q9: the register has no such qubit"),
    "too large": ({"q0": 6}, "qubits.q0: must be the index of a trap, 0 to 5"),
    "negative": ({"q0": -1}, "qubits.q0: must be the index of a trap, 0 to 5"),
    "not whole": ({"q0": 1.0}, "qubits.q0: must be the index of a trap, 0 to 5"),
    "text": ({"q0": "1"}, "qubits.q0: must be the index of a trap, 0 to 5"),
    "boolean": ({"q0": True}, "qubits.q0: must be the index of a trap, 0 to 5"),
    "shared": ({"q0": 1, "q1": 1}, "qubits: two qubits cannot share a trap"),
    "gap": ({"q0": 1, "q2": 2}, "qubits: must map the first 2 qubits of the register"),
}


@pytest.mark.parametrize(("qubits", "message"), QUBITS.values(), ids=QUBITS.keys())
async def test_qubits_of_a_mappable_register(create, sequences, qubits, message):
    given = {} if qubits is MISSING else {"qubits": qubits}
    jobs = [NewJob(variables_json=json.dumps(given))]
    told = await refusal(create, sequence=sequences.mappable, jobs=jobs)
    assert told == f"jobs[0].variables.{message}"


async def test_both_sequence_and_variables(create, sequences):
    job = NewJob(sequence=sequences.plain, variables_json='{"omega": 1}')
    assert (
        await refusal(create, sequence=sequences.parametrised, jobs=[job])
        == "jobs[0].variables: cannot be combined with a sequence"
    )


async def test_a_job_without_a_sequence_among_others(create, sequences):
    jobs = [NewJob(sequence=sequences.plain), NewJob()]
    assert (
        await refusal(create, sequence=None, jobs=jobs)
        == "jobs[1].sequence: is needed, because the batch has no sequence"
    )


async def test_a_bad_sequence_of_a_job(create, sequences):
    broken = json.loads(sequences.plain)
    del broken["operations"][0]["amplitude"]["value"]
    jobs = [NewJob(sequence=sequences.plain), NewJob(sequence=json.dumps(broken))]
    assert (
        await refusal(create, sequence=None, jobs=jobs)
        == "jobs[1].sequence: not a valid Pulser sequence: "
        "at operations[0].amplitude: 'value' is a required property"
    )


async def test_a_parametrised_sequence_of_a_job(create, sequences):
    assert (
        await refusal(create, jobs=[NewJob(sequence=sequences.parametrised)])
        == "jobs[0].sequence: must have no variables and no mappable register"
    )


def change(text, edit):
    content = json.loads(text)
    edit(content)
    return json.dumps(content)


MALFORMED = {
    "no device": (lambda s: s.pop("device"), "'device' is a required property"),
    "unknown key": (
        lambda s: s.update(extra=1),
        "Additional properties are not allowed ('extra' was unexpected)",
    ),
    "wrong type": (
        lambda s: s["register"][0].update(x="left"),
        "at register[0].x: 'left' is not of type 'number'",
    ),
    "unknown operation": (
        lambda s: s["operations"][0].update(op="jump"),
        "at operations[0].op: 'jump' is not known here",
    ),
    "unknown channel": (
        lambda s: s["operations"][0].update(channel="other"),
        "Use the name of a declared channel.",
    ),
    "no atoms": (lambda s: s.update(register=[]), "at register: it is empty"),
    "unknown Rydberg level": (
        lambda s: s["device"].update(rydberg_level=2),
        "KeyError(2)",
    ),
    "atoms on top of each other": (
        lambda s: s["register"][0].update(s["register"][1], name="q0"),
        None,
    ),
}


@pytest.mark.parametrize(("edit", "message"), MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_sequences(create, sequences, edit, message):
    told = await refusal(create, sequence=change(sequences.plain, edit))
    start = "sequence_builder: not a valid Pulser sequence: "
    assert told.startswith(start)
    assert "\n" not in told
    assert len(told) < 400
    if message is not None:
        assert told == start + message


async def test_a_sequence_without_instructions(create, sequences):
    assert (
        await refusal(create, sequence=sequences.empty)
        == "sequence_builder: the sequence tells no channel to do anything"
    )


async def test_a_register_that_is_too_large(create, sequences):
    assert (
        await refusal(create, sequence=sequences.of_square(5))
        == "sequence_builder: the register has 25 atoms, and EMU_FREE takes at most 16"
    )
    assert (
        await refusal(create, jobs=[NewJob(sequence=sequences.of_square(5))])
        == "jobs[0].sequence: the register has 25 atoms, and EMU_FREE takes at most 16"
    )


async def test_a_sequence_for_an_unknown_device(create, sequences):
    text = sequences.of_square(2, device=pulser.AnalogDevice)
    assert (
        await refusal(create, sequence=text, device_type=None)
        == "device_type: is needed, because the device of the sequence, 'AnalogDevice', "
        f"is not one of {KNOWN}"
    )
    other = NewJob(sequence=sequences.plain)
    assert (
        await refusal(create, sequence=None, device_type=None, jobs=[other, NewJob(sequence=text)])
        == "device_type: is needed when the sequences are for several devices"
    )


async def test_too_many_shots_in_the_configuration(create):
    text = EmulationConfig(
        observables=[BitStrings(num_shots=10**9)], default_num_shots=10
    ).to_abstract_repr()
    assert (
        await refusal(create, backend_configuration=text)
        == "backend_configuration: asks for 1000000000 shots, and the limit is 1000000"
    )


async def test_limits_are_settings(place, new_batch, sequences, user):
    async with place.running(
        max_jobs_per_batch=2,
        max_sequence_bytes=3000,
        max_variables=2,
        max_configuration_bytes=1024,
        device_atom_limits={"EMU_FREE": 3},
    ) as stubs:

        async def create(**changes):
            await stubs.batches.CreateBatch(new_batch(**changes), metadata=user.metadata)

        size = len(sequences.parametrised)
        assert await refusal(create, jobs=3) == "jobs: there are 3, and the limit is 2"
        assert (
            await refusal(create, sequence=sequences.parametrised)
            == f"sequence_builder: is {size} bytes long, and the limit is 3000"
        )
        assert (
            await refusal(create, configuration_json=json.dumps({"x": "y" * 2000}))
            == "configuration: is longer than the limit of 1024 bytes"
        )
        assert (
            await refusal(create, backend_configuration=json.dumps({"x": "y" * 2000}))
            == "backend_configuration: is 2009 bytes long, and the limit is 1024"
        )
        assert (
            await refusal(create)
            == "sequence_builder: the register has 4 atoms, and EMU_FREE takes at most 3"
        )
    async with place.running(max_variables=2, max_variable_values=3) as stubs:
        assert (
            await refusal(create, sequence=sequences.parametrised)
            == "sequence_builder: declares 3 variables, and the limit is 2"
        )
    async with place.running(max_variable_values=3) as stubs:
        assert (
            await refusal(create, sequence=sequences.parametrised)
            == "sequence_builder: its variables take 5 values, and the limit is 3"
        )


async def test_the_project_of_somebody_else(create, place):
    told = await refusal(create, grpc.StatusCode.NOT_FOUND, project_id=OTHER_PROJECT)
    assert told == f"project {OTHER_PROJECT} not found"


async def test_no_token(stubs, new_batch):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stubs.batches.CreateBatch(new_batch())
    assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
