"""Protobuf to what orjson writes, and back."""

from datetime import UTC, datetime
from typing import get_args

import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tweezer.gateway.convert import batches, jobs, statuses, times, words
from tweezer.gateway.schemas import fields
from tweezer.gateway.schemas.answers import BatchDetail, JobFull
from tweezer.v1 import batch_pb2, job_pb2

MOMENTS = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(MOMENTS)
def test_moments_survive_to_the_microsecond(moment):
    assert times.moment(times.timestamp(moment)) == moment


@given(MOMENTS)
def test_moments_are_those_of_protobuf(moment):
    official = Timestamp()
    official.FromDatetime(moment)

    assert times.timestamp(moment) == official


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "2025-01-15T10:30:00Z"), (123456789, "2025-01-15T10:30:00.123456Z")],
)
def test_moments_are_printed_with_a_z(nanos, text):
    moment = times.moment(Timestamp(seconds=1736937000, nanos=nanos))

    assert orjson.loads(orjson.dumps(moment, option=orjson.OPT_UTC_Z)) == text


@pytest.mark.parametrize(
    ("table", "documented", "name"),
    [
        (statuses.BATCH_STATUS_OF, fields.BatchStatusWord, "BatchStatus"),
        (statuses.JOB_STATUS_OF, fields.JobStatusWord, "JobStatus"),
        (words.QUEUE_PRIORITY_OF, fields.QueuePriorityWord, "QueuePriority"),
        (words.DEVICE_AVAILABILITY_OF, fields.DeviceAvailabilityWord, "DeviceAvailability"),
        (words.JOB_ORIGIN_OF, fields.JobOriginWord, "JobOrigin"),
        (words.SORT_DIRECTION_OF, fields.SortDirectionWord, "SortDirection"),
    ],
)
def test_protos_documentation_and_contract_have_the_same_words(contract, table, documented, name):
    assert set(table) == set(get_args(documented)) == set(contract["enums"][name]["values"])


@given(
    st.builds(
        batch_pb2.JobCounts,
        **{
            name: st.integers(0, 3)
            for name in ("pending", "running", "canceling", "done", "error", "canceled")
        },
    )
)
def test_counts_name_exactly_the_statuses_that_are_shown(counts):
    shown = {
        word: getattr(counts, word.lower())
        for word in statuses.JOB_STATUS_OF
        if word != "CANCELING"
    }
    shown["RUNNING"] += counts.canceling

    assert statuses.job_counts(counts) == {word: count for word, count in shown.items() if count}


def test_what_is_being_stopped_is_shown_as_running():
    assert statuses.BATCH_STATUS[batch_pb2.BATCH_STATUS_CANCELING] == "RUNNING"
    assert statuses.JOB_STATUS[job_pb2.JOB_STATUS_CANCELING] == "RUNNING"
    assert "CANCELING" not in {*statuses.BATCH_STATUS.values(), *statuses.JOB_STATUS.values()}


@pytest.mark.parametrize(
    ("given", "selected"),
    [
        ([], []),
        (["DONE", "DONE"], ["DONE"]),
        (["RUNNING"], ["RUNNING", "CANCELING"]),
        (["CANCELING"], ["CANCELING"]),
        (["CANCELING", "RUNNING"], ["CANCELING", "RUNNING"]),
    ],
)
def test_a_filter_for_running_finds_what_is_shown_as_running(given, selected):
    assert statuses.batch_statuses(given) == [
        batch_pb2.BatchStatus.Value(f"BATCH_STATUS_{word}") for word in selected
    ]
    assert statuses.job_statuses(given) == [
        job_pb2.JobStatus.Value(f"JOB_STATUS_{word}") for word in selected
    ]


def _timestamps():
    return st.none() | MOMENTS.map(times.timestamp)


UUIDS = st.uuids().map(str)

BATCHES = st.builds(
    batch_pb2.Batch,
    id=UUIDS,
    parent_id=st.none() | UUIDS,
    status=st.sampled_from(list(statuses.BATCH_STATUS)),
    open=st.booleans(),
    device_type=TEXTS,
    user_id=TEXTS,
    project_id=UUIDS,
    create_time=MOMENTS.map(times.timestamp),
    update_time=MOMENTS.map(times.timestamp),
    start_time=_timestamps(),
    end_time=_timestamps(),
    jobs_count=st.integers(0, 2**31 - 1),
    tags=st.lists(TEXTS, max_size=3),
    configuration_json=st.none() | st.sampled_from(["{}", '{"with_noise": true}']),
    backend_configuration=st.none() | TEXTS,
    webhook=st.none() | TEXTS,
    queue_priority=st.sampled_from(list(words.QUEUE_PRIORITY)),
    sequence=st.none() | TEXTS,
    job_ids=st.lists(UUIDS, max_size=3),
)

JOBS = st.builds(
    job_pb2.Job,
    id=UUIDS,
    parent_id=st.none() | UUIDS,
    status=st.sampled_from(list(statuses.JOB_STATUS)),
    runs=st.none() | st.integers(0, 2**31 - 1),
    batch_id=UUIDS,
    project_id=UUIDS,
    create_time=MOMENTS.map(times.timestamp),
    update_time=MOMENTS.map(times.timestamp),
    start_time=_timestamps(),
    end_time=_timestamps(),
    variables_json=st.none() | st.sampled_from(["{}", '{"a": [1, 2.5]}']),
    errors=st.lists(TEXTS, max_size=2),
    progress=st.integers(0, 100),
    creation_order=st.integers(0, 10),
    slurm_job_id=st.none() | TEXTS,
    slurm_cluster_name=st.none() | TEXTS,
    sequence=st.none() | TEXTS,
)


@given(BATCHES)
def test_any_batch_is_as_documented(batch):
    text = orjson.dumps(batches.batch_detail(batch), option=orjson.OPT_UTC_Z)

    answer = BatchDetail.model_validate_json(text)

    assert (str(answer.id), answer.open, answer.complete) == (batch.id, batch.open, not batch.open)
    assert answer.created_at == times.moment(batch.create_time)
    assert (answer.start_datetime is not None) == batch.HasField("start_time")
    assert answer.tags == list(batch.tags)


@given(JOBS)
def test_any_job_is_as_documented(job):
    answer = JobFull.model_validate_json(orjson.dumps(jobs.job_full(job), option=orjson.OPT_UTC_Z))

    assert answer.runs == (job.runs if job.HasField("runs") else None)
    assert answer.errors == list(job.errors)
    assert (answer.variables is None) == (not job.HasField("variables_json"))
