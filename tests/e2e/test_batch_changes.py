"""What the public client can do to batches and jobs after it has made them."""

import json
from collections.abc import Callable, Iterator

import pytest
from pasqal_cloud import PasqalCloudConnection, RemoteEmuFreeBackend
from pasqal_cloud.errors import (
    BatchCancellingError,
    BatchClosingError,
    JobCancellingError,
    JobCreationError,
)
from pasqal_cloud.pasqal_cloud_client import PasqalCloudClient
from pasqal_cloud.utils.filters import (
    BatchFilters,
    CancelJobFilters,
    RebatchFilters,
)
from patience import until
from pulser import Pulse, Register, Sequence
from pulser.devices import MockDevice
from pulser.waveforms import RampWaveform


def pair() -> Sequence:
    """Two atoms driven with a variable amplitude."""
    sequence = Sequence(Register.from_coordinates([(0, 0), (6, 0)], prefix="q"), MockDevice)
    omega = sequence.declare_variable("omega", dtype=float)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(400, omega, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence


def long_run() -> str:
    """Fourteen atoms: more seconds of work than a test has."""
    register = Register.rectangle(2, 7, spacing=5.5, prefix="q")
    sequence = Sequence(register, MockDevice)
    sequence.declare_channel("rydberg", "rydberg_global")
    sweep = Pulse.ConstantAmplitude(6.0, RampWaveform(4000, -10, 10), 0.0)
    sequence.add(sweep, "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


@pytest.fixture
def device_is_free(client: PasqalCloudClient) -> Iterator[None]:
    """Leaves no long work behind for the tests that follow."""
    yield
    for status in ("PENDING", "RUNNING"):
        page = client.get_batches(filters=BatchFilters(status=status))
        for batch in page.results:
            client.cancel_batch(batch.id)


def test_an_open_batch_takes_jobs_until_it_is_closed(client: PasqalCloudClient) -> None:
    batch = client.create_batch(
        pair().to_abstract_repr(), jobs=[], device_type="EMU_FREE", open=True
    )
    assert (batch.open, batch.jobs_count) == (True, 0)
    batch.add_jobs([{"runs": 10, "variables": {"omega": 3.0}}])
    batch = client.add_jobs(
        batch.id, [{"runs": 20, "variables": {"omega": o}} for o in (4.0, 5.0)], wait=True
    )
    assert batch.jobs_count_per_status == {"DONE": 3}
    assert [job.runs for job in batch.ordered_jobs] == [10, 20, 20]
    assert [sum(job.result.values()) for job in batch.ordered_jobs] == [10, 20, 20]
    assert client.get_batch_status(batch.id).value == "RUNNING"
    closed = client.close_batch(batch.id)
    assert (closed.open, closed.status) == (False, "DONE")
    with pytest.raises(JobCreationError, match="409"):
        client.add_jobs(batch.id, [{"runs": 1, "variables": {"omega": 1.0}}])
    with pytest.raises(BatchClosingError, match="409"):
        client.close_batch(batch.id)


def test_jobs_are_added_all_or_none(client: PasqalCloudClient) -> None:
    batch = client.create_batch(
        pair().to_abstract_repr(), jobs=[], device_type="EMU_FREE", open=True
    )
    good, bad = {"runs": 5, "variables": {"omega": 1.0}}, {"runs": 5, "variables": {}}
    with pytest.raises(JobCreationError, match="a value is missing") as caught:
        client.add_jobs(batch.id, [good, bad])
    details = json.loads(str(caught.value).partition("Details: ")[2])
    assert details["data"]["description"][0]["loc"] == ["body", 1, "variables", "omega"]
    assert client.get_batch(batch.id).jobs_count == 0
    client.cancel_batch(batch.id)


def test_the_open_batch_context_of_pulser(connection: PasqalCloudConnection) -> None:
    backend = RemoteEmuFreeBackend(pair(), connection)
    with backend.open_batch():
        first = backend.run(job_params=[{"variables": {"omega": 2.0}}], wait=True)
        second = backend.run(job_params=[{"variables": {"omega": 6.0}}], wait=True)
    assert first.batch_id == second.batch_id
    assert first.job_ids != second.job_ids
    assert sum(second.results[0].final_bitstrings.values()) == 1000
    assert second.get_batch_status().name == "DONE"


def test_a_job_is_retried_in_its_batch(client: PasqalCloudClient) -> None:
    batch = client.create_batch(
        pair().to_abstract_repr(),
        jobs=[{"runs": 7, "variables": {"omega": 3.0}}],
        device_type="EMU_FREE",
        open=True,
        wait=True,
    )
    job = client.get_job(batch.ordered_jobs[0].id)
    assert job.sequence is not None, "GET of a job shows the sequence that was built for it"
    batch.retry(job, wait=True)
    assert [j.status for j in batch.ordered_jobs] == ["DONE", "DONE"]
    assert [j.runs for j in batch.ordered_jobs] == [7, 7]
    assert batch.ordered_jobs[1].variables == {"omega": 3.0}
    client.close_batch(batch.id)


def test_a_batch_is_repeated_with_filters(client: PasqalCloudClient) -> None:
    batch = client.create_batch(
        pair().to_abstract_repr(),
        jobs=[{"runs": runs, "variables": {"omega": 3.0}} for runs in (10, 20, 30)],
        device_type="EMU_FREE",
        wait=True,
    )
    again = client.rebatch(batch.id, RebatchFilters(min_runs=15))
    assert again.parent_id == batch.id
    assert [job.runs for job in again.ordered_jobs] == [20, 30]
    assert [job.parent_id for job in again.ordered_jobs] == [
        job.id for job in batch.ordered_jobs[1:]
    ]
    until(lambda: client.get_batch_status(again.id).value == "DONE")


def test_tags_are_replaced_and_filtered(client: PasqalCloudClient) -> None:
    batch = client.create_batch(
        pair().to_abstract_repr(), jobs=[], device_type="EMU_FREE", open=True, tags=["old"]
    )
    batch.set_tags(["new-tag-of-this-test", "other"])
    assert client.get_batch(batch.id).tags == ["new-tag-of-this-test", "other"]
    found = client.get_batches(filters=BatchFilters(tag="new-tag-of-this-test"))
    assert [b.id for b in found.results] == [batch.id]
    client.cancel_batch(batch.id)


@pytest.mark.usefixtures("device_is_free")
def test_a_running_batch_is_cancelled_and_no_unknown_word_is_seen(
    client: PasqalCloudClient,
) -> None:
    batch = client.create_batch(long_run(), jobs=[{"runs": 1}] * 3, device_type="EMU_FREE")
    until(lambda: client.get_batch_status(batch.id).value == "RUNNING")
    cancelled = client.cancel_batch(batch.id)
    assert cancelled.status in {"RUNNING", "CANCELED"}
    seen = set()

    def final() -> bool:
        # The client raises on a word that it does not know.
        seen.add(client.get_batch_status(batch.id).value)
        return "CANCELED" in seen

    until(final)
    assert seen <= {"RUNNING", "CANCELED"}
    assert {job.status for job in client.get_batch(batch.id).ordered_jobs} == {"CANCELED"}
    with pytest.raises(BatchCancellingError, match="409"):
        client.cancel_batch(batch.id)


@pytest.mark.usefixtures("device_is_free")
def test_a_running_job_is_cancelled_and_the_next_runs(client: PasqalCloudClient) -> None:
    long = client.create_batch(long_run(), jobs=[{"runs": 1}] * 2, device_type="EMU_FREE")
    running = long.ordered_jobs[0].id
    until(lambda: client.get_job_status(running).value == "RUNNING")
    job = client.cancel_job(running)
    assert job.status == "CANCELED", "the answer waits for the worker to be gone"
    short = client.create_batch(
        pair().to_abstract_repr(),
        jobs=[{"runs": 5, "variables": {"omega": 1.0}}],
        device_type="EMU_FREE",
    )
    until(lambda: client.get_batch_status(short.id).value == "DONE")
    with pytest.raises(JobCancellingError, match="409"):
        client.cancel_job(running)


def test_jobs_are_cancelled_by_filter(
    client: PasqalCloudClient, operate: Callable[..., None]
) -> None:
    batch = client.create_batch(
        pair().to_abstract_repr(), jobs=[], device_type="EMU_FREE", open=True
    )
    operate("batches", "pause", batch.id)
    jobs = [{"runs": runs, "variables": {"omega": 1.0}} for runs in (10, 20, 30)]
    batch = client.add_jobs(batch.id, jobs)
    answer = client.cancel_jobs(batch.id, CancelJobFilters(min_runs=20))
    assert sorted(job.runs for job in answer.jobs) == [20, 30]
    operate("batches", "resume", batch.id)
    client.close_batch(batch.id)
    until(lambda: client.get_batch_status(batch.id).value == "DONE")
    statuses = [job.status for job in client.get_batch(batch.id).ordered_jobs]
    assert statuses == ["DONE", "CANCELED", "CANCELED"]


def test_many_batches_are_cancelled_and_the_others_named(client: PasqalCloudClient) -> None:
    open_ones = [
        client.create_batch(pair().to_abstract_repr(), jobs=[], device_type="EMU_FREE", open=True)
        for _ in range(2)
    ]
    done = client.create_batch(
        pair().to_abstract_repr(),
        jobs=[{"runs": 1, "variables": {"omega": 1.0}}],
        device_type="EMU_FREE",
        wait=True,
    )
    answer = client.cancel_batches([*(b.id for b in open_ones), done.id])
    assert {b.id for b in answer.batches} == {b.id for b in open_ones}
    assert {str(batch_id) for batch_id in answer.errors} == {done.id}
    assert all(b.sequence_builder == pair().to_abstract_repr() for b in answer.batches)


def test_a_paused_device_starts_nothing(
    client: PasqalCloudClient, operate: Callable[..., None]
) -> None:
    operate("devices", "pause", "EMU_FREE")
    try:
        batch = client.create_batch(
            pair().to_abstract_repr(),
            jobs=[{"runs": 5, "variables": {"omega": 1.0}}],
            device_type="EMU_FREE",
        )
        # Nothing says that nothing happens; the test of the queue itself is in the job service's.
        assert client.get_batch_status(batch.id).value == "PENDING"
    finally:
        operate("devices", "resume", "EMU_FREE")
    until(lambda: client.get_batch_status(batch.id).value == "DONE")
