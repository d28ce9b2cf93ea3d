import itertools

import pytest
from pulser.backend.remote import JobStatus as PulserJobStatus

from tweezer.lifecycle import (
    FINAL_JOB_STATUSES,
    JOB_TRANSITIONS,
    IllegalTransition,
    JobEvent,
    JobStatus,
    after,
    transitions,
)
from tweezer.v1 import job_pb2


@pytest.mark.parametrize(("status", "event"), [*itertools.product(JobStatus, JobEvent)])
def test_every_pair_of_status_and_event_is_decided(status: JobStatus, event: JobEvent) -> None:
    if (status, event) in JOB_TRANSITIONS:
        assert after(status, event) is JOB_TRANSITIONS[status, event]
    else:
        with pytest.raises(IllegalTransition, match=f"cannot {event} a job that is {status}"):
            after(status, event)


def test_final_statuses_are_those_of_the_client() -> None:
    assert {JobStatus.DONE, JobStatus.ERROR, JobStatus.CANCELED} == FINAL_JOB_STATUSES


def test_every_status_is_reachable() -> None:
    assert {JobStatus.PENDING, *JOB_TRANSITIONS.values()} == set(JobStatus)


def test_transitions_of_an_event_are_those_of_the_table() -> None:
    rebuilt = {
        (source, event): target
        for event in JobEvent
        for source, target in transitions(event).items()
    }
    assert rebuilt == JOB_TRANSITIONS


def test_words_are_those_of_the_public_api_and_of_pulser() -> None:
    assert set(job_pb2.JobStatus.keys()) == {
        "JOB_STATUS_UNSPECIFIED",
        *(f"JOB_STATUS_{status}" for status in JobStatus),
    }
    # Pulser looks the word up and raises on what it does not know: CANCELING must be short.
    assert set(JobStatus) - {s.name for s in PulserJobStatus} == {JobStatus.CANCELING}
