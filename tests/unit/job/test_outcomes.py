from itertools import product

import pytest

from tweezer.job.outcomes import HeldJob, Outcome, Verdict, exhausted, judge, loss
from tweezer.lifecycle import FINAL_JOB_STATUSES, JobEvent, JobStatus, transitions

MOST = 3


def held(status: JobStatus, *, attempt: int = 1, token: str | None = "t", **more: str) -> HeldJob:
    facts = {"ended_token": None, "ended_outcome": None, "result_key": None, **more}
    return HeldJob(1, "j", "b", "p", status, True, attempt, token, **facts)


@pytest.mark.parametrize(
    ("outcome", "attempt", "event"),
    [
        (Outcome.RESULT, 1, JobEvent.COMPLETE),
        (Outcome.FAILURE, 1, JobEvent.FAIL),
        (Outcome.RELEASED, MOST, JobEvent.RELEASE),
        (Outcome.LOST, MOST - 1, JobEvent.LOSE),
        (Outcome.LOST, MOST, JobEvent.EXHAUST),
        (Outcome.STOPPED, MOST - 1, JobEvent.LOSE),
        (Outcome.STOPPED, MOST, JobEvent.EXHAUST),
    ],
)
def test_what_an_outcome_is_for_a_running_job(
    outcome: Outcome, attempt: int, event: JobEvent
) -> None:
    assert judge(held(JobStatus.RUNNING, attempt=attempt), "t", outcome, MOST) is event


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_stops_a_cancelled_job(outcome: Outcome) -> None:
    assert judge(held(JobStatus.CANCELING), "t", outcome, MOST) is JobEvent.STOPPED


@pytest.mark.parametrize(
    ("status", "outcome", "attempt"),
    list(product((JobStatus.RUNNING, JobStatus.CANCELING), Outcome, (1, MOST, MOST + 1))),
)
def test_the_event_is_always_allowed(status: JobStatus, outcome: Outcome, attempt: int) -> None:
    event = judge(held(status, attempt=attempt), "t", outcome, MOST)
    assert isinstance(event, JobEvent)
    assert status in transitions(event)


@pytest.mark.parametrize(("status", "outcome"), list(product(sorted(FINAL_JOB_STATUSES), Outcome)))
def test_the_same_outcome_of_the_same_token_is_a_repetition(
    status: JobStatus, outcome: Outcome
) -> None:
    job = held(status, token=None, ended_token="t", ended_outcome=outcome.value)
    assert judge(job, "t", outcome, MOST) is Verdict.REPEATED


def test_another_outcome_of_the_same_token_is_refused() -> None:
    job = held(JobStatus.DONE, token=None, ended_token="t", ended_outcome="result")
    assert judge(job, "t", Outcome.FAILURE, MOST) is Verdict.REFUSED


@pytest.mark.parametrize("outcome", Outcome)
def test_a_token_that_holds_nothing_is_refused(outcome: Outcome) -> None:
    assert judge(None, "t", outcome, MOST) is Verdict.REFUSED
    assert judge(held(JobStatus.RUNNING, token="other"), "t", outcome, MOST) is Verdict.REFUSED
    assert judge(held(JobStatus.PENDING, token=None), "t", outcome, MOST) is Verdict.REFUSED


def test_a_repetition_is_known_while_the_next_worker_runs_the_job() -> None:
    job = held(JobStatus.RUNNING, token="next", ended_token="t", ended_outcome="lost")
    assert judge(job, "t", Outcome.LOST, MOST) is Verdict.REPEATED
    assert judge(job, "next", Outcome.LOST, MOST) is JobEvent.LOSE


def test_a_lost_worker_of_a_cancelled_job_ends_it() -> None:
    assert loss(held(JobStatus.CANCELING, attempt=MOST), MOST) is JobEvent.STOPPED


@pytest.mark.parametrize(
    ("attempts", "sentence"),
    [
        (1, "The worker was lost once: out of memory."),
        (3, "The worker was lost 3 times: out of memory."),
    ],
)
def test_the_sentence_says_how_often(attempts: int, sentence: str) -> None:
    assert exhausted(attempts, "out of memory.") == sentence
