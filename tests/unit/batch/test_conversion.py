"""Every word of our tables has a value in the messages, and the other way round."""

import pytest

from tweezer.batch import conversion
from tweezer.batch.models import ORIGINS, QUEUE_PRIORITIES
from tweezer.identity.models import QueuePriority as ProjectPriority
from tweezer.lifecycle import BatchStatus, JobCounts
from tweezer.v1 import batch_pb2, job_pb2


@pytest.mark.parametrize(
    ("enumeration", "prefix", "words"),
    [
        (batch_pb2.BatchStatus, "BATCH_STATUS_", {*BatchStatus}),
        (batch_pb2.QueuePriority, "QUEUE_PRIORITY_", {*QUEUE_PRIORITIES}),
        (batch_pb2.QueuePriority, "QUEUE_PRIORITY_", {*ProjectPriority}),
        (job_pb2.JobOrigin, "JOB_ORIGIN_", {*ORIGINS}),
    ],
)
def test_words_and_values_are_the_same(enumeration, prefix, words):
    assert {name.removeprefix(prefix) for name in enumeration.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    } == words


def test_both_directions_agree():
    for there, back in (
        (conversion.STATUS_TO_MESSAGE, conversion.STATUS_FROM_MESSAGE),
        (conversion.PRIORITY_TO_MESSAGE, conversion.PRIORITY_FROM_MESSAGE),
        (conversion.ORIGIN_TO_MESSAGE, conversion.ORIGIN_FROM_MESSAGE),
    ):
        assert {word: back[value] for word, value in there.items()} == {w: w for w in there}


def test_counts_keep_their_names():
    counts = conversion.counts_to_message(JobCounts(1, 2, 3, 4, 5, 6))
    assert counts == batch_pb2.JobCounts(
        pending=1, running=2, canceling=3, done=4, error=5, canceled=6
    )
