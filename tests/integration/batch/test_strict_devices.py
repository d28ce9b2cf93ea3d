"""QPU-like devices: their rules, and how large a register is emulated."""

import grpc
import pulser
import pytest
from pulser.json.abstract_repr.deserializer import deserialize_device

from tweezer.batch.devices.catalogue import read_catalogue
from tweezer.v1.batch_pb2 import NewJob


def device(name):
    return deserialize_device(read_catalogue({}).find(name).specs)


def sequence_for(on, side=2, layout=True, register=None):
    register = register or pulser.Register.square(side, 5, prefix="q")
    if layout:
        register = register.with_automatic_layout(device("FRESNEL"))
    sequence = pulser.Sequence(register, on)
    sequence.declare_channel("ch", "rydberg_global")
    sequence.add(pulser.Pulse.ConstantPulse(100, 1, 0, 0), "ch")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return failed.value.details()


async def test_a_batch_for_a_qpu_is_exclusive(place, create):
    response = await create(sequence=sequence_for(device("FRESNEL")), device_type=None)
    assert response.batch.device_type == "FRESNEL"
    assert place.queue.enqueued[0].batch.exclusive
    await create()
    assert not place.queue.enqueued[1].batch.exclusive


@pytest.mark.parametrize("name", ["FRESNEL", "EMU_FRESNEL"])
async def test_the_emulator_of_a_qpu_takes_its_sequences_and_its_own(create, name):
    text = sequence_for(device(name))
    response = await create(sequence=text, device_type="EMU_FRESNEL", jobs=[NewJob()])
    assert response.batch.device_type == "EMU_FRESNEL"


async def test_the_sequence_must_be_for_the_device(create, sequences):
    assert await refusal(create(device_type="FRESNEL")) == (
        "sequence_builder: the sequence is for 'MockDevice', "
        "and FRESNEL takes only sequences for FRESNEL"
    )
    text = sequence_for(device("FRESNEL"))
    assert await refusal(create(sequence=text, device_type="FRESNEL_CAN1")) == (
        "sequence_builder: the sequence is for 'FRESNEL', "
        "and FRESNEL_CAN1 takes only sequences for FRESNEL_CAN1"
    )
    job = NewJob(runs=1, sequence=sequences.plain)
    assert await refusal(create(sequence=None, jobs=[job], device_type="EMU_FRESNEL")) == (
        "jobs[0].sequence: the sequence is for 'MockDevice', and EMU_FRESNEL takes only "
        "sequences for EMU_FRESNEL or FRESNEL or FRESNEL_CAN1"
    )


async def test_a_virtual_device_under_the_name_of_a_qpu_does_not_pass(create):
    text = sequence_for(device("FRESNEL").to_virtual())
    assert await refusal(create(sequence=text, device_type="FRESNEL")) == (
        "sequence_builder: To be sent to a QPU, the device of the sequence "
        "must be a real device, instance of 'Device'."
    )


async def test_runs_are_needed_and_bounded(create):
    text = sequence_for(device("FRESNEL"))
    assert await refusal(create(sequence=text, device_type="FRESNEL", jobs=[NewJob()])) == (
        "jobs[0].runs: is needed on FRESNEL"
    )
    for name in ("FRESNEL", "EMU_FRESNEL"):
        jobs = [NewJob(runs=2000), NewJob(runs=2001)]
        assert await refusal(create(sequence=text, device_type=name, jobs=jobs)) == (
            "jobs[1].runs: must be 1 to 2000, not 2001"
        )


async def test_only_so_many_atoms_are_emulated(create):
    text = sequence_for(device("FRESNEL"), side=4)
    assert await refusal(create(sequence=text, device_type="FRESNEL")) == (
        "sequence_builder: the register has 16 atoms, and FRESNEL is emulated here for at most 12"
    )


async def test_emulators_that_are_not_there_are_refused_with_the_reason(create):
    details = await refusal(create(device_type="EMU_SV"))
    assert details.startswith("device_type: EMU_SV takes no batches: emu-sv is not ")
