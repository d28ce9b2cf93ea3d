"""The connection of the public client for users of OVH: a token, no project, paths of its own."""

from typing import Any

import pytest
from pasqal_cloud import OVHConnection, RemoteEmuFreeBackend
from pasqal_cloud.errors import BatchFetchingError, JobFetchingError
from pasqal_cloud.ovh import MissingEnvironmentVariableError
from pasqal_cloud.utils.filters import JobFilters
from pulser import Pulse, QPUBackend, Register, Sequence
from pulser.devices import Device

VARIABLE = "PASQAL_PULSER_ACCESS_TOKEN"


@pytest.fixture
def ovh(stack: Any, monkeypatch: pytest.MonkeyPatch) -> OVHConnection:
    """The connection: unlike the cloud's, the addresses have to be said."""
    monkeypatch.setenv(VARIABLE, stack.token())
    return OVHConnection(endpoints=stack.credentials()["endpoints"])


def flash(device: Device) -> Sequence:
    """A pulse of variable strength on four atoms."""
    register = Register.square(2, 6.0, prefix="q").with_automatic_layout(device)
    sequence = Sequence(register, device)
    sequence.declare_channel("rydberg", "rydberg_global")
    strength = sequence.declare_variable("strength")
    sequence.add(Pulse.ConstantPulse(100, strength, 0.0, 0.0), "rydberg")
    return sequence


def test_without_a_token_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingEnvironmentVariableError, match=VARIABLE):
        OVHConnection()


def test_an_emulator_runs_and_the_jobs_are_those_of_ovh(stack: Any, ovh: OVHConnection) -> None:
    device = ovh.fetch_available_devices()["FRESNEL"]
    results = RemoteEmuFreeBackend(flash(device), ovh).run(
        job_params=[{"runs": runs, "variables": {"strength": 6.0}} for runs in (11, 22)], wait=True
    )
    assert results.get_batch_status().name == "DONE"
    assert [sum(each.final_bitstrings.values()) for each in results.results] == [11, 22]
    with stack.api() as api:
        for origin, total in (("OVH", 2), ("CLIENT", 0)):
            query = {"batch_id": results.batch_id, "origin": origin}
            answer = api.get("/api/v2/jobs", params=query)
            assert answer.raise_for_status().json()["pagination"]["total"] == total


@pytest.mark.filterwarnings("ignore:The 'SampledResult' class:DeprecationWarning")
def test_a_qpu_runs(ovh: OVHConnection) -> None:
    sequence = flash(ovh.fetch_available_devices()["FRESNEL"])
    results = QPUBackend(sequence, ovh).run(
        job_params=[{"runs": 3, "variables": {"strength": 6.0}}], wait=True
    )
    (result,) = results.results
    assert sum(result.final_bitstrings.values()) == 3
    assert {len(bits) for bits in result.final_bitstrings} == {4}


def test_there_are_no_open_batches(ovh: OVHConnection) -> None:
    sequence = flash(ovh.fetch_available_devices()["FRESNEL"])
    with pytest.raises(NotImplementedError, match="open_batch"):
        RemoteEmuFreeBackend(sequence, ovh).open_batch()


def test_a_wrong_token_is_refused(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "a.b.c")
    client = OVHConnection(endpoints=stack.credentials()["endpoints"]).cloud_client
    assert "FRESNEL" in client.get_device_specs_dict()
    with pytest.raises(JobFetchingError, match="401"):
        client.get_jobs(JobFilters())
    with pytest.raises(BatchFetchingError, match="401"):
        client.get_batch("00000000-0000-0000-0000-000000000000")
