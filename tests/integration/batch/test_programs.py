"""Handing out programs to the other services."""

import hashlib
import json

import grpc
import pulser
import pytest

from tweezer.internal.v1.program_service_pb2 import BuildProgramRequest, GetProgramRequest
from tweezer.v1.batch_pb2 import NewJob

VALUES = '{"omega": 3.5, "steps": [0, 1, 2.5], "duration": 1000}'


def name(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
async def stored(create, sequences):
    await create(sequence=sequences.parametrised, jobs=[NewJob(variables_json=VALUES)])
    mappable = [NewJob(variables_json='{"qubits": {"q0": 1, "q1": 0}}')]
    await create(sequence=sequences.mappable, jobs=mappable)
    await create()


@pytest.fixture
def build(stubs, stored):
    async def call(text, variables=None):
        response = await stubs.programs.BuildProgram(
            BuildProgramRequest(program_hash=name(text), variables_json=variables)
        )
        return response.sequence if response.HasField("sequence") else None

    return call


async def test_a_program_by_its_hash(stubs, stored, sequences):
    response = await stubs.programs.GetProgram(
        GetProgramRequest(program_hash=name(sequences.parametrised))
    )
    assert response.sequence == sequences.parametrised


async def test_an_unknown_program(stubs):
    for call, request in (
        (stubs.programs.GetProgram, GetProgramRequest(program_hash="00")),
        (stubs.programs.BuildProgram, BuildProgramRequest(program_hash="00")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(request)
        assert failed.value.code() == grpc.StatusCode.NOT_FOUND
        assert failed.value.details() == "program 00 not found"


async def test_it_is_built_as_pulser_builds_it(build, sequences):
    built = await build(sequences.parametrised, VALUES)
    expected = pulser.Sequence.from_abstract_repr(sequences.parametrised).build(
        **json.loads(VALUES)
    )
    assert json.loads(built) == json.loads(expected.to_abstract_repr())
    assert not pulser.Sequence.from_abstract_repr(built).is_parametrized()


async def test_a_mappable_register_is_placed(build, sequences):
    built = await build(sequences.mappable, '{"qubits": {"q0": 1, "q1": 0}}')
    assert pulser.Sequence.from_abstract_repr(built).register.qubit_ids == ("q0", "q1")


async def test_one_without_variables_is_itself(build, sequences):
    assert await build(sequences.plain) == sequences.plain


async def test_what_cannot_be_built_is_absent(build, sequences):
    assert await build(sequences.parametrised) is None
    assert await build(sequences.parametrised, VALUES.replace("1000", "-5")) is None
    assert await build(sequences.parametrised, VALUES.replace("1000", str(10**12))) is None
