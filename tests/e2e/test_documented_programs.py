"""The programs of the client's own documentation: on a QPU, on an emulator, in an open batch.

The program is read from the description that the installed client carries, so that it is the one of
this version of it. The documentation's other two differ from it in the backend and in how jobs are
submitted; they are made from it here.
"""

import re
from importlib.metadata import distribution
from typing import Any

import pytest
from pasqal_cloud import PasqalCloudConnection, RemoteEmuFreeBackend
from pasqal_cloud.errors import BatchCreationError
from pulser import Pulse, QPUBackend, Register, Sequence

# Pulser's advice for people at a prompt, which the programs do not follow.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

#: The documented register has 25 atoms; pulser-simulation emulates a QPU of at most twelve.
SMALLER = ("Register.square(5, 5)", "Register.square(3, 5)")

#: The documented emulator is emu-mps.
EMULATOR = ("QPUBackend(", "RemoteEmuFreeBackend(")

#: How jobs are sent to a batch that is kept open: the second depends on what the first gave.
OPEN_BATCH = """
with backend.open_batch():
    first = backend.run(job_params=[{"runs": 4, "variables": {"omega_max": 12}}], wait=True)
    excited = max(bits.count("1") for bits in first.results[0].final_bitstrings)
    second = backend.run(
        job_params=[{"runs": 2, "variables": {"omega_max": 6 if excited else 12}}], wait=True
    )
"""


@pytest.fixture(scope="module")
def documented() -> str:
    """The program of the client's description."""
    # The file itself: libraries replace what reads it, and then the description is elsewhere.
    text = distribution("pasqal-cloud").read_text("METADATA")
    assert text is not None
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return program


def replaced(program: str, *changes: tuple[str, str]) -> str:
    """Returns the program with parts replaced, each of which must be there once."""
    for old, new in changes:
        assert program.count(old) == 1
        program = program.replace(old, new)
    return program


def run(program: str, connection: PasqalCloudConnection) -> dict[str, Any]:
    """Runs a program that has been given its connection, and returns its names."""
    names = {
        "connection": connection,
        "Pulse": Pulse,
        "QPUBackend": QPUBackend,
        "Register": Register,
        "RemoteEmuFreeBackend": RemoteEmuFreeBackend,
        "Sequence": Sequence,
    }
    exec(compile(program, "documented program", "exec"), names)
    return names


def shots(results: Any) -> list[int]:
    """Returns the number of shots of each job, of nine atoms each."""
    assert {len(bits) for each in results.results for bits in each.final_bitstrings} == {9}
    return [sum(each.final_bitstrings.values()) for each in results.results]


def test_on_a_qpu(
    documented: str, connection: PasqalCloudConnection, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(replaced(documented, SMALLER), connection)["results"]
    assert shots(results) == [5, 10]
    assert results.get_batch_status().name == "DONE"
    batch = connection.cloud_client.get_batch(results.batch_id)
    assert batch.sequence_builder is not None
    assert Sequence.from_abstract_repr(batch.sequence_builder).device.name == "FRESNEL_CAN1"
    assert capsys.readouterr().out.count("SampledResult(") == 2


def test_what_is_too_large_to_rehearse_is_refused_with_the_reason(
    documented: str, connection: PasqalCloudConnection
) -> None:
    reason = "the register has 25 atoms, and FRESNEL_CAN1 is emulated here for at most 12"
    with pytest.raises(BatchCreationError, match=reason):
        run(documented, connection)


def test_on_an_emulator(documented: str, connection: PasqalCloudConnection) -> None:
    results = run(replaced(documented, SMALLER, EMULATOR), connection)["results"]
    assert shots(results) == [5, 10]
    assert connection.cloud_client.get_batch(results.batch_id).device_type == "EMU_FREE"


def test_in_an_open_batch(documented: str, connection: PasqalCloudConnection) -> None:
    until_submission = documented.partition("# Run jobs")[0]
    names = run(replaced(until_submission, SMALLER) + OPEN_BATCH, connection)
    assert [shots(names[part]) for part in ("first", "second")] == [[4], [2]]
    assert names["first"].batch_id == names["second"].batch_id
    assert names["second"].get_batch_status().name == "DONE"
    jobs = connection.cloud_client.get_batch(names["first"].batch_id).ordered_jobs
    assert [job.variables["omega_max"] for job in jobs] in ([12, 6], [12, 12])
