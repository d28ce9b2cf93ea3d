"""The public `pasqal-cloud` client, unmodified, against the stack."""

import math
from typing import Any
from uuid import uuid4

import pytest
from pasqal_cloud import PasqalCloudConnection, RemoteEmuFreeBackend
from pasqal_cloud.authentication import TokenProviderError
from pasqal_cloud.device import DeviceTypeName
from pasqal_cloud.errors import BatchCreationError, BatchFetchingError, JobFetchingError
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pasqal_cloud.utils.constants import BatchStatus, JobStatus
from pasqal_cloud.utils.filters import BatchFilters, JobFilters, PaginationParams
from pulser import Pulse, Register, Sequence
from pulser.backend import BitStrings, CorrelationMatrix, EmulationConfig, Energy, Occupation
from pulser.devices import AnalogDevice
from pulser.waveforms import BlackmanWaveform
from pulser_simulation import QutipBackendV2, QutipConfig


def blockade() -> Sequence:
    """Three atoms in a row and a pulse whose area is a variable."""
    register = Register.from_coordinates([(0, 0), (6, 0), (12, 0)], prefix="q")
    sequence = Sequence(register.with_automatic_layout(AnalogDevice), AnalogDevice)
    area = sequence.declare_variable("area")
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantDetuning(BlackmanWaveform(600, area), 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


AREAS = (math.pi / 2, math.pi)


@pytest.fixture(scope="session")
def done(stack: Any) -> Any:
    """A batch of the public client whose jobs are done."""
    client = PasqalCloudClient(**stack.credentials())
    return client.create_batch(
        serialized_sequence=blockade().to_abstract_repr(),
        jobs=[{"runs": 50 + n, "variables": {"area": area}} for n, area in enumerate(AREAS)],
        device_type=DeviceTypeName.EMU_FREE,
        tags=["first", "second"],
        wait=True,
    )


def test_a_remote_backend_runs_a_parametrised_sequence(connection: PasqalCloudConnection):
    backend = RemoteEmuFreeBackend(blockade(), connection)
    results = backend.run(job_params=[{"variables": {"area": area}} for area in AREAS], wait=True)
    assert results.get_batch_status().name == "DONE"
    assert len(results.results) == len(AREAS)
    for result in results.results:
        counts = result.final_bitstrings
        assert sum(counts.values()) == 1000  # what BitStrings takes when it is not told
        assert {len(bits) for bits in counts} == {3}
        assert list(result.atom_order) == ["q0", "q1", "q2"]


def test_a_remote_backend_takes_the_number_of_shots_from_the_job(
    connection: PasqalCloudConnection,
):
    results = RemoteEmuFreeBackend(blockade(), connection).run(
        job_params=[{"runs": 123, "variables": {"area": math.pi}}], wait=True
    )
    assert sum(results.results[0].final_bitstrings.values()) == 123


def test_observables_of_a_config_agree_with_a_local_run(connection: PasqalCloudConnection):
    times = (0.5, 1.0)
    observables = [
        BitStrings(num_shots=200),
        Occupation(evaluation_times=times),
        Energy(evaluation_times=times),
        CorrelationMatrix(evaluation_times=times),
    ]
    remote = RemoteEmuFreeBackend(
        blockade(), connection, config=EmulationConfig(observables=observables)
    ).run(job_params=[{"variables": {"area": math.pi}}], wait=True)
    (result,) = remote.results
    local = QutipBackendV2(
        blockade().build(area=math.pi), config=QutipConfig(observables=observables)
    ).run()
    assert set(result.get_result_tags()) == set(local.get_result_tags())
    assert sum(result.final_bitstrings.values()) == 200
    for time in times:
        for tag in ("occupation", "energy"):
            assert result.get_result(tag, time) == pytest.approx(
                local.get_result(tag, time), rel=1e-4, abs=1e-4
            )
        theirs, ours = (each.get_result("correlation_matrix", time) for each in (result, local))
        for row, expected in zip(theirs, ours, strict=True):
            assert list(row) == pytest.approx(list(expected), rel=1e-4, abs=1e-4)


def test_a_created_batch_is_what_was_asked_for(done: Any, client: PasqalCloudClient, stack: Any):
    batch = client.get_batch(done.id)
    assert (batch.status, batch.device_type, batch.open) == ("DONE", "EMU_FREE", False)
    assert batch.project_id == stack.facts["project_id"]
    assert batch.tags == ["first", "second"]
    assert batch.jobs_count == 2
    assert batch.jobs_count_per_status["DONE"] == 2
    assert Sequence.from_abstract_repr(batch.sequence_builder).declared_variables.keys() == {"area"}
    assert client.get_batch_status(batch.id) is BatchStatus.DONE


def test_jobs_of_a_batch_come_in_order_with_their_results(done: Any, client: PasqalCloudClient):
    jobs = client.get_batch(done.id).ordered_jobs
    assert [job.runs for job in jobs] == [50, 51]
    assert [job.variables["area"] for job in jobs] == pytest.approx(AREAS)
    for job in jobs:
        assert job.status == "DONE"
        assert not job.errors
        assert sum(job.result.values()) == job.runs
        assert client.get_job_status(job.id) is JobStatus.DONE


def test_a_job_that_cannot_run_ends_as_an_error_with_a_sentence(client: PasqalCloudClient):
    batch = client.create_batch(
        serialized_sequence=blockade().to_abstract_repr(),
        # The pulse would be stronger than the channel can be.
        jobs=[{"runs": 10, "variables": {"area": 100.0}}],
        device_type=DeviceTypeName.EMU_FREE,
        wait=True,
    )
    (job,) = batch.ordered_jobs
    assert (batch.status, job.status) == ("ERROR", "ERROR")
    (sentence,) = job.errors
    assert "amplitude" in sentence
    assert "Traceback" not in sentence
    assert job.full_result is None


def test_a_job_read_alone_has_its_own_sequence(done: Any, client: PasqalCloudClient):
    first = client.get_batch(done.id).ordered_jobs[0]
    job = client.get_job(first.id, wait=True)
    assert (job.id, job.batch_id) == (first.id, done.id)
    built = Sequence.from_abstract_repr(job.sequence)
    assert not built.is_parametrized()
    assert built.get_duration() == blockade().build(area=AREAS[0]).get_duration()


def test_batches_are_listed_by_filter_and_page(done: Any, client: PasqalCloudClient):
    second = client.create_batch(
        serialized_sequence=blockade().to_abstract_repr(),
        jobs=[{"runs": 10, "variables": {"area": 1.0}}],
        device_type=DeviceTypeName.EMU_FREE,
        tags=["listed"],
        wait=True,
    )
    by_tag = client.get_batches(filters=BatchFilters(tag="listed", status=BatchStatus.DONE))
    assert [batch.id for batch in by_tag.results] == [second.id]
    both = BatchFilters(id=[done.id, second.id])
    pages = [
        client.get_batches(filters=both, pagination_params=PaginationParams(offset=n, limit=1))
        for n in range(2)
    ]
    # Newest first.
    assert [page.results[0].id for page in pages] == [second.id, done.id]
    assert {page.total for page in pages} == {2}


def test_jobs_are_listed_by_filter_and_page(client: PasqalCloudClient):
    batch = client.create_batch(
        serialized_sequence=blockade().to_abstract_repr(),
        jobs=[{"runs": 1 + n, "variables": {"area": 1.0}} for n in range(120)],
        device_type=DeviceTypeName.EMU_FREE,
    )
    # The client follows the pages by itself here: the API gives at most 100 jobs at once.
    assert [job.runs for job in client.get_batch(batch.id).ordered_jobs] == list(range(1, 121))
    mine = JobFilters(batch_id=batch.id)
    first = client.get_jobs(filters=mine)
    rest = client.get_jobs(filters=mine, pagination_params=PaginationParams(offset=100))
    assert (first.total, len(first.results), len(rest.results)) == (120, 100, 20)
    seen = {job.id for job in (*first.results, *rest.results)}
    assert len(seen) == 120
    few = client.get_jobs(filters=JobFilters(batch_id=batch.id, min_runs=10, max_runs=19))
    assert sorted(job.runs for job in few.results) == list(range(10, 20))


def test_devices_can_be_read_as_pulser_devices(connection: PasqalCloudConnection):
    devices = connection.fetch_available_devices()
    assert "EMU_FREE" in devices
    assert devices["EMU_FREE"].channels


def test_public_devices_need_no_account(stack: Any):
    client = PasqalCloudClient(endpoints=stack.credentials()["endpoints"])
    assert "EMU_FREE" in client.get_device_specs_dict()


def test_projects_are_listed_and_can_be_switched_to(client: PasqalCloudClient, stack: Any):
    projects = client.get_all_projects()
    assert stack.facts["project_id"] in {project.id for project in projects}
    assert client.switch_to_project(stack.facts["project_id"]) == stack.facts["project_id"]


def test_a_wrong_password_is_refused_with_a_reason(stack: Any):
    with pytest.raises(TokenProviderError, match="403: Wrong user name or password"):
        PasqalCloudClient(**stack.credentials() | {"password": "guess"})


def test_what_does_not_exist_is_reported_as_not_found(client: PasqalCloudClient):
    with pytest.raises(BatchFetchingError, match=r"404.*not found"):
        client.get_batch(str(uuid4()))
    with pytest.raises(JobFetchingError, match=r"404.*not found"):
        client.get_job(str(uuid4()))


def test_a_refused_batch_tells_the_client_which_field_is_wrong(client: PasqalCloudClient):
    with pytest.raises(BatchCreationError, match=r"(?s)422.*variables.*area.*a value is missing"):
        client.create_batch(
            serialized_sequence=blockade().to_abstract_repr(),
            jobs=[{"runs": 10, "variables": {}}],
            device_type=DeviceTypeName.EMU_FREE,
        )
