"""Every public method of the public client is called against the stack, and what it says checked.

Each test declares the methods it is about. They are counted while it runs: a test that declares a
method that it does not call fails, and so does the last test when a method is declared by none.
"""

import functools
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest
from pasqal_cloud import OVHConnection, PasqalCloudConnection, backends, ovh
from pasqal_cloud.authentication import ExpiringTokenProvider, PasswordGrantTokenProvider
from pasqal_cloud.batch import Batch
from pasqal_cloud.client import Client
from pasqal_cloud.errors import (
    ProjectNotFoundError,
    WorkloadCancellingError,
    WorkloadCreationError,
    WorkloadFetchingError,
)
from pasqal_cloud.http_client import HTTPClient
from pasqal_cloud.job import Job
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pasqal_cloud.project import Project
from pasqal_cloud.sdk import SDK
from pasqal_cloud.utils.constants import BatchStatus, JobStatus
from pasqal_cloud.utils.filters import BatchFilters, CancelJobFilters, JobFilters, RebatchFilters
from pasqal_cloud.workload import Workload
from patience import until
from pulser import Pulse, Register, Sequence
from pulser.backend.remote import RemoteBackend, RemoteConnection, RemoteResults
from pulser.devices import AnalogDevice, MockDevice

#: What the client's documentation calls its API, what these rest on, and what they return.
CLASSES = (
    PasqalCloudClient,
    SDK,
    PasqalCloudConnection,
    OVHConnection,
    HTTPClient,
    Client,
    ovh.OvhClient,
    Batch,
    Job,
    Project,
    Workload,
    ExpiringTokenProvider,
    PasswordGrantTokenProvider,
    backends.RemoteEmulatorBackend,
    backends.RemoteEmuFreeBackend,
    backends.RemoteSVBackend,
    backends.RemoteMPSBackend,
    RemoteBackend,
    RemoteConnection,
    RemoteResults,
)

NO_WORKLOAD = "workloads are answered with 501, so that there never is a Workload"
EXCEPTIONS = {
    "Workload.__init__": NO_WORKLOAD,
    "Workload.cancel": NO_WORKLOAD,
    "PasqalCloudClient.wait_for_workload": NO_WORKLOAD,
    "HTTPClient.unknown_endpoint_message": "it names an endpoint that its own class does not know",
    "RemoteConnection.submit": "it is abstract",
    "RemoteConnection.supports_open_batch": "it is abstract",
    "RemoteConnection.fetch_available_devices": "PasqalCloudConnection has its own",
}

DECLARED: dict[str, set[str]] = {}


def calls(*methods: str) -> Callable[[Any], Any]:
    """Declares that a test calls these methods, given as `Class.method`."""

    def declare(test: Any) -> Any:
        DECLARED[test.__name__] = set(methods)
        return test

    return declare


def of(owner: str, *names: str) -> list[str]:
    return [f"{owner}.{name}" for name in names]


def public(owner: type) -> Iterator[tuple[str, Any]]:
    """Yields the public functions and properties that a class defines, and its constructor."""
    package = owner.__module__.partition(".")[0]
    for name, value in vars(owner).items():
        if name.startswith("_") and name != "__init__":
            continue
        # Pydantic puts functions of its own into the classes of its models.
        made_here = getattr(value, "__module__", package).partition(".")[0] == package
        kinds = property | staticmethod | FunctionType
        if made_here and isinstance(value, kinds):
            yield name, value


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Notes which methods the test calls, and compares them with what it declares."""
    seen: set[str] = set()

    def noting(method: str, function: Any) -> Any:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            seen.add(method)
            return function(*arguments, **options)

        return call

    for owner in CLASSES:
        for name, value in public(owner):
            method = f"{owner.__name__}.{name}"
            if isinstance(value, property):
                noted: Any = property(noting(method, value.fget), value.fset, value.fdel)
            elif isinstance(value, staticmethod):
                noted = staticmethod(noting(method, value.__func__))
            else:
                noted = noting(method, value)
            monkeypatch.setattr(owner, name, noted)
    yield
    assert DECLARED.get(request.function.__name__, set()) <= seen


def test_every_public_method_is_declared_by_a_test_or_excepted_with_a_reason() -> None:
    surface = {f"{owner.__name__}.{name}" for owner in CLASSES for name, _ in public(owner)}
    declared = set().union(*DECLARED.values())
    assert not declared & EXCEPTIONS.keys()
    assert declared | EXCEPTIONS.keys() == surface


def pair() -> Sequence:
    """Two atoms driven with a variable amplitude."""
    sequence = Sequence(Register.from_coordinates([(0, 0), (6, 0)], prefix="q"), MockDevice)
    omega = sequence.declare_variable("omega", dtype=float)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(400, omega, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


PAIR = pair().to_abstract_repr()


def job(runs: int) -> dict[str, Any]:
    return {"runs": runs, "variables": {"omega": 3.0}}


@pytest.fixture
def batch(client: PasqalCloudClient) -> Iterator[Batch]:
    """An open batch whose job is not emulated before a test says so, and not after it."""
    made = client.create_batch(PAIR, jobs=[], device_type="EMU_FREE", open=True)
    yield made
    if client.get_batch_status(made.id).value in {"PENDING", "RUNNING"}:
        client.cancel_batch(made.id)


@calls(
    "PasqalCloudClient.__init__",
    "PasqalCloudClient.user_token",
    "PasqalCloudClient.project_id",
    *of("HTTPClient", "__init__", "user_token", "project_id"),
    "PasswordGrantTokenProvider.__init__",
    "ExpiringTokenProvider.get_token",
    *of("PasqalCloudClient", "get_all_projects", "switch_to_project"),
    "HTTPClient.get_all_active_projects",
)
def test_logging_in_and_projects(stack: Any) -> None:
    client = PasqalCloudClient(**stack.credentials())
    token = client.user_token()
    assert token is not None
    with stack.api(token) as api:
        assert api.get("/api/v1/batches").status_code == 200
    (project,) = client.get_all_projects()
    assert project.id == client.project_id == stack.facts["project_id"]
    assert client.switch_to_project(project.id) == client._client.project_id == project.id
    with pytest.raises(ProjectNotFoundError):
        client.switch_to_project("00000000-0000-0000-0000-000000000000")


@calls(*of("SDK", "__init__"), *of("Client", "__init__"))
def test_the_old_names_of_the_client(stack: Any) -> None:
    with pytest.warns(DeprecationWarning, match="alias"):
        client = SDK(**stack.credentials(), client_class=Client)
    assert client.get_batches().offset == 0


@calls(
    *of("PasqalCloudClient", "create_batch", "get_batch", "get_batch_status", "get_batches"),
    *of("PasqalCloudClient", "get_job", "get_job_status", "get_jobs", "add_jobs", "close_batch"),
    *of("PasqalCloudClient", "complete_batch", "set_batch_tags", "rebatch"),
    *of("HTTPClient", "send_batch", "get_batch", "get_batch_status", "get_batches", "add_jobs"),
    *of("HTTPClient", "get_job", "get_job_status", "get_jobs", "get_batch_jobs", "close_batch"),
    *of("HTTPClient", "get_job_results", "set_batch_tags", "rebatch"),
    *of("Batch", "__init__", "sequence_builder", "ordered_jobs", "jobs"),
    *of("Job", "__init__", "sequence", "full_result", "result"),
)
def test_a_batch_from_its_creation_to_its_repetition(client: PasqalCloudClient) -> None:
    batch = client.create_batch(PAIR, jobs=[job(10)], device_type="EMU_FREE", open=True)
    assert client.add_jobs(batch.id, [job(20)]).jobs_count == 2
    assert client.set_batch_tags(batch.id, ["surface"]).tags == ["surface"]
    assert not client.close_batch(batch.id).open

    first, second = client.get_batch(batch.id).ordered_jobs
    assert [client.get_job(each.id, wait=True).status for each in (first, second)] == ["DONE"] * 2
    assert client.get_job_status(first.id) is JobStatus.DONE
    # What one service knows of a job, the other knows of its batch a moment later.
    until(lambda: client.get_batch_status(batch.id) is BatchStatus.DONE)
    assert client.get_batch(batch.id).sequence_builder == PAIR
    (found,) = client.get_batches(BatchFilters(id=batch.id, tag="surface")).results
    with pytest.warns(DeprecationWarning, match="ordered_jobs"):
        assert found.jobs.keys() == {first.id, second.id}
    assert {each.id for each in client.get_jobs(JobFilters(batch_id=batch.id)).results} == {
        first.id,
        second.id,
    }
    assert sum(first.result.values()) == 10
    assert first.full_result["counter"] == first.result
    assert not Sequence.from_abstract_repr(first.sequence).is_parametrized()

    again = client.rebatch(batch.id, RebatchFilters(id=second.id))
    assert (again.parent_id, [each.parent_id for each in again.ordered_jobs]) == (
        batch.id,
        [second.id],
    )
    left_open = client.create_batch(PAIR, jobs=[], device_type="EMU_FREE", open=True)
    with pytest.warns(DeprecationWarning, match="close_batch"):
        assert client.complete_batch(left_open.id).open is False


@calls(
    *of("Batch", "add_jobs", "refresh", "retry", "set_tags", "close", "declare_complete"),
    *of("HTTPClient", "add_jobs", "close_batch"),
)
def test_what_a_batch_does_to_itself(client: PasqalCloudClient, batch: Batch) -> None:
    batch.add_jobs([job(10)])
    batch.retry(batch.ordered_jobs[0])
    assert [each.runs for each in batch.ordered_jobs] == [10, 10]
    batch.set_tags(["itself"])
    assert client.get_batch(batch.id).tags == ["itself"]
    batch.close(wait=True)
    assert (batch.open, batch.status, batch.jobs_count_per_status) == (False, "DONE", {"DONE": 2})
    other = client.create_batch(PAIR, jobs=[], device_type="EMU_FREE", open=True)
    with pytest.warns(DeprecationWarning, match="close"):
        other.declare_complete()
    other.refresh()
    assert other.open is False


@calls(
    *of("PasqalCloudClient", "cancel_batch", "cancel_batches", "cancel_job", "cancel_jobs"),
    *of("HTTPClient", "cancel_batch", "cancel_batches", "cancel_job", "cancel_jobs"),
    *of("Batch", "cancel"),
    *of("Job", "cancel"),
)
def test_every_way_to_cancel(
    client: PasqalCloudClient, batch: Batch, operate: Callable[..., None]
) -> None:
    operate("batches", "pause", batch.id)
    batch = client.add_jobs(batch.id, [job(runs) for runs in (1, 2, 3, 4, 5)])
    jobs = batch.ordered_jobs
    assert client.cancel_job(jobs[0].id).status == "CANCELED"
    assert jobs[1].cancel()["status"] == jobs[1].status == "CANCELED"
    answer = client.cancel_jobs(batch.id, CancelJobFilters(min_runs=4))
    assert {each.id for each in answer.jobs} == {jobs[3].id, jobs[4].id}
    batch.cancel()
    assert batch.status == "CANCELED"
    assert client.get_batch(batch.id).jobs_count_per_status == {"CANCELED": 5}
    more = [client.create_batch(PAIR, [], device_type="EMU_FREE", open=True) for _ in range(3)]
    assert client.cancel_batch(more[0].id).status == "CANCELED"
    several = client.cancel_batches([each.id for each in more])
    assert {each.id for each in several.batches} == {each.id for each in more[1:]}
    assert [str(batch_id) for batch_id in several.errors] == [more[0].id]
    # The rows of the others are those of the cancellation, not of before.
    assert {each.status for each in several.batches} == {"CANCELED"}


@calls(
    "PasqalCloudClient.get_device_specs_dict",
    *of("HTTPClient", "get_device_specs_dict", "get_public_device_specs"),
    "PasqalCloudConnection.fetch_available_devices",
    "RemoteConnection.update_sequence_device",
)
def test_devices(stack: Any, connection: PasqalCloudConnection) -> None:
    devices = connection.fetch_available_devices()
    public_specs = PasqalCloudClient(
        endpoints=stack.credentials()["endpoints"]
    ).get_device_specs_dict()
    assert {"EMU_FREE", "FRESNEL", "FRESNEL_CAN1"} <= public_specs.keys() <= devices.keys()
    device = devices["FRESNEL"]
    register = Register.square(5, 5, prefix="q").with_automatic_layout(device)
    sequence = Sequence(register, device)
    sequence.declare_channel("rydberg", "rydberg_global")
    assert connection.update_sequence_device(sequence).device == device
    two = Register.from_coordinates([(0, 0), (6, 0)], prefix="q")
    foreign = Sequence(two.with_automatic_layout(AnalogDevice), AnalogDevice)
    foreign.declare_channel("rydberg", "rydberg_global")
    with pytest.raises(ValueError, match="does not match any of the devices"):
        connection.update_sequence_device(foreign)


@calls(
    *of("PasqalCloudConnection", "__init__", "submit", "get_results", "supports_open_batch"),
    *of("RemoteEmulatorBackend", "__init__", "run"),
    *of("RemoteBackend", "__init__", "run", "open_batch", "validate_job_params"),
    *of("RemoteResults", "__init__", "batch_id", "job_ids", "results"),
    *of("RemoteResults", "get_available_results", "get_batch_status"),
)
def test_connection_backend_and_results(stack: Any) -> None:
    connection = PasqalCloudConnection(**stack.credentials())
    backend = backends.RemoteEmuFreeBackend(pair(), connection)
    assert connection.supports_open_batch()
    with backend.open_batch():
        submitted = backend.run(job_params=[job(7)], wait=True)
    assert sum(submitted.results[0].final_bitstrings.values()) == 7
    read = connection.get_results(submitted.batch_id)
    assert read.job_ids == submitted.job_ids
    assert read.get_available_results().keys() == set(read.job_ids)
    assert read.get_batch_status().name == "DONE"
    with pytest.raises(ValueError, match="must specify 'runs'"):
        RemoteBackend.validate_job_params([{}], 100)


@calls(
    *of("PasqalCloudClient", "create_workload", "get_workload", "cancel_workload"),
    *of("HTTPClient", "send_workload", "get_workload", "cancel_workload"),
)
def test_workloads_are_refused_with_a_sentence(client: PasqalCloudClient) -> None:
    refusal = r"(?s)501.*workloads are not offered"
    workload = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(WorkloadCreationError, match=refusal):
        client.create_workload("kind", "backend", {})
    with pytest.raises(WorkloadFetchingError, match=refusal):
        client.get_workload(workload)
    with pytest.raises(WorkloadCancellingError, match=refusal):
        client.cancel_workload(workload)


@calls(
    *of("OVHConnection", "__init__", "supports_open_batch"),
    *of("OvhClient", "project_id", "unknown_endpoint_message", "get_device_specs_dict"),
)
def test_the_connection_of_ovh_users(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASQAL_PULSER_ACCESS_TOKEN", stack.token())
    connection = OVHConnection(endpoints=stack.credentials()["endpoints"])
    client = connection.cloud_client
    created = client.create_batch(PAIR, jobs=[job(5)], device_type="EMU_FREE")
    assert created.project_id == stack.facts["project_id"]
    assert "EMU_FREE" in client.get_device_specs_dict()
    assert not connection.supports_open_batch()
    with pytest.raises(ValueError, match="not supported by the OVH client"):
        client.close_batch(created.id)
