import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulser.backend.remote import BatchStatus as PulserBatchStatus

from tweezer.lifecycle import (
    FINAL_BATCH_STATUSES,
    BatchIntent,
    BatchStatus,
    JobCounts,
    JobStatus,
    batch_status,
)
from tweezer.v1 import batch_pb2

COUNTS = st.builds(JobCounts, **{status.lower(): st.integers(0, 3) for status in JobStatus})
INTENTS = st.builds(
    BatchIntent,
    open=st.booleans(),
    cancelled=st.booleans(),
    timed_out=st.booleans(),
    paused=st.booleans(),
)


@pytest.mark.parametrize(
    ("intent", "counts", "status"),
    [
        (BatchIntent(), JobCounts(pending=1), BatchStatus.PENDING),
        (BatchIntent(), JobCounts(pending=1, done=1), BatchStatus.RUNNING),
        (BatchIntent(), JobCounts(done=1, error=1, canceled=1), BatchStatus.DONE),
        (BatchIntent(), JobCounts(error=2), BatchStatus.ERROR),
        (BatchIntent(open=True), JobCounts(done=2), BatchStatus.RUNNING),
        (BatchIntent(open=True), JobCounts(), BatchStatus.PENDING),
        (BatchIntent(cancelled=True), JobCounts(running=1), BatchStatus.CANCELING),
        (BatchIntent(cancelled=True), JobCounts(done=1), BatchStatus.CANCELED),
        (BatchIntent(timed_out=True), JobCounts(done=1), BatchStatus.TIMED_OUT),
        (BatchIntent(paused=True), JobCounts(pending=1), BatchStatus.PAUSED),
        (BatchIntent(paused=True), JobCounts(done=1), BatchStatus.DONE),
    ],
)
def test_status_follows_from_intent_and_counts(
    intent: BatchIntent, counts: JobCounts, status: BatchStatus
) -> None:
    assert batch_status(intent, counts) is status


@given(INTENTS, COUNTS)
def test_a_batch_with_unfinished_jobs_is_not_final(intent: BatchIntent, counts: JobCounts) -> None:
    if counts.unfinished:
        assert batch_status(intent, counts) not in FINAL_BATCH_STATUSES


@given(INTENTS, COUNTS)
def test_counts_by_status_add_up(intent: BatchIntent, counts: JobCounts) -> None:
    by_status = counts.by_status()
    assert sum(by_status.values()) == counts.total
    assert 0 not in by_status.values()


def test_words_are_those_of_the_public_api_and_of_pulser() -> None:
    assert set(batch_pb2.BatchStatus.keys()) == {
        "BATCH_STATUS_UNSPECIFIED",
        *(f"BATCH_STATUS_{status}" for status in BatchStatus),
    }
    assert set(BatchStatus) - {s.name for s in PulserBatchStatus} == {BatchStatus.CANCELING}
