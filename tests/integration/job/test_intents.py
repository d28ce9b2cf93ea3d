"""Intent flows down: by version, all of it in one transaction."""

import uuid

import pytest

from tweezer.internal.v1 import queue_service_pb2 as pb
from tweezer.job.store import additions, intents, leases
from tweezer.job.store.intents import Intent
from tweezer.lifecycle import JobCounts


def statuses(tables) -> dict[str, int]:
    rows = tables.rows("SELECT status, count(*) AS n FROM job GROUP BY status")
    return {row["status"]: row["n"] for row in rows}


def ready(tables) -> int:
    return tables.rows("SELECT count(*) AS n FROM job WHERE ready AND status = 'PENDING'")[0]["n"]


def lease(tables, jobs: int = 1) -> list[leases.Lease]:
    batches = tables(lambda c: leases.take(c, ["EMU_FREE"], jobs, 10**15, 2_000))
    return [lease for batch in batches for lease in batch.leases]


def test_a_named_addition_is_released(tables) -> None:
    named, other = tables.enqueue(tables.addition(2)), tables.enqueue(tables.addition(3))
    applied = tables.intend(named.batch.id, 1, named.id)
    assert applied.jobs_ready
    assert not applied.progressed
    assert ready(tables) == 2
    assert other.batch.id not in {
        row["batch_id"] for row in tables.rows("SELECT * FROM job WHERE ready")
    }


def test_only_the_jobs_of_the_named_addition_are_released(tables) -> None:
    first = tables.enqueue(tables.addition(2))
    second = tables.enqueue(tables.addition(3, batch_id=first.batch.id, first_order=2))
    tables.intend(first.batch.id, 1, second.id)
    orders = tables.rows("SELECT creation_order AS n FROM job WHERE ready ORDER BY n")
    assert [row["n"] for row in orders] == [2, 3, 4]


def test_an_older_or_equal_version_changes_nothing(tables) -> None:
    first = tables.add(1)
    second = tables.enqueue(tables.addition(1, batch_id=first.batch.id, first_order=1))
    tables.intend(first.batch.id, 5)
    for version in (5, 4):
        applied = tables.intend(first.batch.id, version, second.id, cancelled=True)
        assert not applied.jobs_ready
        assert not applied.progressed
    assert statuses(tables) == {"PENDING": 2}
    assert ready(tables) == 1


def test_a_paused_batch_waits_and_goes_on(tables) -> None:
    addition = tables.add(2)
    tables.intend(addition.batch.id, 2, paused=True)
    assert lease(tables) == []
    assert tables.intend(addition.batch.id, 3).jobs_ready
    assert len(lease(tables, 5)) == 2


def test_what_is_released_while_paused_waits_too(tables) -> None:
    addition = tables.enqueue(tables.addition(2))
    assert not tables.intend(addition.batch.id, 1, addition.id, paused=True).jobs_ready
    assert lease(tables) == []
    tables.intend(addition.batch.id, 2)
    assert len(lease(tables, 5)) == 2


def test_held_jobs_stay_held_when_a_pause_ends(tables) -> None:
    first = tables.add(1)
    tables.enqueue(tables.addition(1, batch_id=first.batch.id, first_order=1))
    tables.intend(first.batch.id, 2, paused=True)
    tables.intend(first.batch.id, 3)
    assert ready(tables) == 1


def test_cancelling_ends_what_waits_and_stops_what_runs(tables) -> None:
    addition = tables.add(3)
    lease(tables)
    applied = tables.intend(addition.batch.id, 2, cancelled=True)
    assert applied.progressed
    assert not applied.jobs_ready
    assert statuses(tables) == {"CANCELED": 2, "CANCELING": 1}
    (batch,) = tables.rows("SELECT pending, canceling, canceled, end_at FROM queued_batch")
    assert batch == {"pending": 0, "canceling": 1, "canceled": 2, "end_at": 1_000}
    assert tables.rows("SELECT DISTINCT end_at FROM job WHERE status = 'CANCELED'") == [
        {"end_at": 1_000}
    ]


def due(tables, now: int = 1_000) -> list[str]:
    return tables(lambda c: additions.due(c, now))


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_is_still_held_of_a_batch_that_is_closed_is_asked_about_at_once(
    tables, cancelled: bool
) -> None:
    first = tables.add(1, check_at=5_000)
    late = tables.enqueue(
        tables.addition(2, batch_id=first.batch.id, first_order=1, check_at=5_000)
    )
    other = tables.enqueue(tables.addition(1, check_at=5_000))
    assert not tables.intend(other.batch.id, 1).in_doubt
    assert due(tables) == []
    assert tables.intend(first.batch.id, 2, open=False, cancelled=cancelled).in_doubt
    assert due(tables) == [late.id]
    ended = "CANCELED" if cancelled else "PENDING"
    jobs = [row["status"] for row in tables.rows("SELECT status FROM job ORDER BY seq")]
    assert jobs == [ended, "PENDING", "PENDING", "PENDING"]


def test_what_the_closing_intent_names_is_in_no_doubt(tables) -> None:
    first = tables.enqueue(tables.addition(1))
    second = tables.enqueue(tables.addition(2, batch_id=first.batch.id, first_order=1))
    assert not tables.intend(first.batch.id, 3, first.id, second.id, open=False).in_doubt
    assert ready(tables) == 3


def test_what_a_cancelled_batch_releases_is_cancelled(tables) -> None:
    addition = tables.enqueue(tables.addition(2))
    applied = tables.intend(addition.batch.id, 1, addition.id, cancelled=True)
    assert applied.progressed
    assert statuses(tables) == {"CANCELED": 2}


def test_finished_jobs_are_not_cancelled_again(tables) -> None:
    addition = tables.add(1)
    tables.intend(addition.batch.id, 2, cancelled=True)
    assert not tables.intend(addition.batch.id, 3, cancelled=True).progressed


def test_an_addition_may_be_named_again(tables) -> None:
    addition = tables.add(1)
    lease(tables)
    applied = tables.intend(addition.batch.id, 2, addition.id)
    assert not applied.jobs_ready
    assert not applied.missing_additions
    assert statuses(tables) == {"RUNNING": 1}


def test_an_intent_for_a_batch_without_jobs_is_fine(tables) -> None:
    applied = tables.intend(str(uuid.uuid4()), 1, cancelled=True)
    assert not applied.progressed
    assert not applied.missing_additions


def test_additions_that_are_not_stored_are_told(tables) -> None:
    addition, lost = tables.enqueue(tables.addition(1)), str(uuid.uuid4())
    assert tables.intend(addition.batch.id, 1, addition.id, lost).missing_additions == [lost]
    assert tables.intend(str(uuid.uuid4()), 1, lost).missing_additions == [lost]
    assert ready(tables) == 1


def test_an_addition_of_another_batch_is_not_released(tables) -> None:
    addition, other = tables.enqueue(tables.addition(1)), tables.enqueue(tables.addition(1))
    assert tables.intend(addition.batch.id, 1, other.id).missing_additions == [other.id]
    assert ready(tables) == 0


def test_whether_a_batch_is_open_is_kept(tables) -> None:
    addition = tables.enqueue(tables.addition(1))
    kept = []
    for version, is_open in ((1, True), (2, False), (2, True)):
        tables.intend(addition.batch.id, version, addition.id, open=is_open)
        kept += [row["open"] for row in tables.rows("SELECT open FROM queued_batch")]
    assert kept == [1, 0, 0]


def test_the_progress_after_the_intents_is_told(tables) -> None:
    first, second, third = (tables.add(2) for _ in range(3))
    lease(tables)
    wanted = [
        Intent(first.batch.id, 2, (), cancelled=True, paused=False),
        Intent(str(uuid.uuid4()), 2, (), cancelled=True, paused=False),
        Intent(second.batch.id, 1, (), cancelled=True, paused=False),  # not newer
    ]
    progress = {
        each.batch_id: each for each in tables(lambda c: intents.apply(c, wanted, 3_000)).progress
    }
    assert progress.keys() == {first.batch.id, second.batch.id}
    assert third.batch.id not in progress
    now = progress[first.batch.id]
    assert now.counts == JobCounts(canceling=1, canceled=1)
    assert (now.version, now.start_at, now.end_at) == (2, 2_000, 3_000)
    assert progress[second.batch.id].counts == JobCounts(pending=2)


async def test_the_answer_to_an_intent_carries_the_progress(process, batch_side) -> None:
    added = await process.add(2)
    intent = pb.BatchIntent(batch_id=added.batch.id, version=2, cancelled=True)
    response = await process.queue.ApplyIntents(pb.ApplyIntentsRequest(intents=[intent]))
    (progress,) = response.progress
    assert progress.job_counts.canceled == 2
    # It is reported too, in the same words: who gets it twice sees the same version.
    await batch_side.until(lambda s: s.progress.get(added.batch.id) == progress)
