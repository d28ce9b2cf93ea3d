"""Prints docs/lifecycle.md from the tables, so that the page cannot drift from the code."""

from tweezer.lifecycle.batches import BatchIntent, BatchStatus, JobCounts, batch_status
from tweezer.lifecycle.jobs import FINAL_JOB_STATUSES, JOB_TRANSITIONS, JobStatus

_INTRODUCTION = """\
# Life cycle

This page is printed from `services/tweezer/lifecycle` by `make docs`; a test compares the two.

## Jobs

A job changes its status only by the events below. The job service applies each as one guarded
`UPDATE ... WHERE status = <source>`, so that the database decides races, and changes the counts of
the batch in the same transaction.
"""

_EVENTS = """
| event | from | to |
| --- | --- | --- |
"""

_BATCHES = """
DONE, ERROR and CANCELED are final.

## Batches

A batch has no life of its own: its status follows from what was asked for and from the counts of
its jobs. It is kept in a column only so that lists can filter on it.

| asked for | jobs | status |
| --- | --- | --- |
"""

_CASES: tuple[tuple[str, BatchIntent, str, JobCounts], ...] = (
    ("open", BatchIntent(open=True), "none", JobCounts()),
    ("open", BatchIntent(open=True), "all waiting", JobCounts(pending=2)),
    ("open", BatchIntent(open=True), "some started", JobCounts(pending=1, running=1)),
    ("open", BatchIntent(open=True), "all final", JobCounts(done=2)),
    ("closed", BatchIntent(), "all waiting", JobCounts(pending=2)),
    ("closed", BatchIntent(), "some started", JobCounts(pending=1, running=1)),
    ("closed", BatchIntent(), "all final, none failed", JobCounts(done=2)),
    ("closed", BatchIntent(), "all final, some failed", JobCounts(done=1, error=1)),
    ("closed", BatchIntent(), "all failed", JobCounts(error=2)),
    ("closed", BatchIntent(), "all cancelled one by one", JobCounts(canceled=2)),
    ("closed", BatchIntent(), "none", JobCounts()),
    ("cancelled", BatchIntent(cancelled=True), "some not final", JobCounts(canceling=1)),
    ("cancelled", BatchIntent(cancelled=True), "all final", JobCounts(done=1, canceled=1)),
    ("timed out", BatchIntent(timed_out=True), "all final", JobCounts(done=2)),
    ("paused", BatchIntent(paused=True), "some not final", JobCounts(pending=2)),
    ("paused", BatchIntent(paused=True), "all final", JobCounts(done=2)),
)


def mermaid() -> str:
    """Returns the table of job transitions as a mermaid diagram."""
    lines = [f"    {s} --> {t}: {e}" for (s, e), t in JOB_TRANSITIONS.items()]
    ends = [f"    {s} --> [*]" for s in JobStatus if s in FINAL_JOB_STATUSES]
    return "\n".join(["stateDiagram-v2", "    [*] --> PENDING", *lines, *ends])


def page() -> str:
    """Returns the whole of docs/lifecycle.md."""
    events = "".join(f"| {e} | {s} | {t} |\n" for (s, e), t in JOB_TRANSITIONS.items())
    cases = "".join(
        f"| {asked} | {jobs} | {batch_status(intent, counts)} |\n"
        for asked, intent, jobs, counts in _CASES
    )
    final = "\nDONE, CANCELED, TIMED_OUT and ERROR are final.\n"
    return (
        f"{_INTRODUCTION}\n```mermaid\n{mermaid()}\n```\n{_EVENTS}{events}{_BATCHES}{cases}{final}"
    )


#: Every status that the cases above show, for the test that none is forgotten.
SHOWN_BATCH_STATUSES: frozenset[BatchStatus] = frozenset(
    batch_status(intent, counts) for _, intent, _, counts in _CASES
)
