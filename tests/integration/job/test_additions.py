"""Additions that nobody committed are dropped; those that were are kept until they are released."""

import uuid

from tweezer.internal.v1 import queue_service_pb2 as queue_pb
from tweezer.job.store import additions


def rows(tables) -> tuple[int, int, int]:
    counted = tables.rows(
        "SELECT (SELECT count(*) FROM job) AS j, (SELECT count(*) FROM queued_addition) AS a,"
        " (SELECT count(*) FROM queued_batch) AS b"
    )[0]
    return counted["j"], counted["a"], counted["b"]


def test_only_held_additions_are_due_and_only_in_time(tables) -> None:
    early = tables.enqueue(tables.addition(check_at=50))
    late = tables.enqueue(tables.addition(check_at=70))
    tables.add(check_at=10)
    assert tables(additions.earliest_check) == 50
    assert tables(lambda c: additions.due(c, 49)) == []
    assert tables(lambda c: additions.due(c, 50)) == [early.id]
    assert tables(lambda c: additions.due(c, 99)) == [early.id, late.id]
    tables(lambda c: additions.postpone(c, [early.id], 90))
    assert tables(additions.earliest_check) == 70


def test_dropping_takes_the_batch_with_its_last_addition(tables) -> None:
    first = tables.enqueue(tables.addition(2))
    second = tables.enqueue(tables.addition(3, batch_id=first.batch.id, first_order=2))
    assert tables(lambda c: additions.drop(c, [first.id])) == 2
    assert rows(tables) == (3, 1, 1)
    assert tables.rows("SELECT pending, progress_version FROM queued_batch") == [
        {"pending": 3, "progress_version": 0}
    ]
    assert tables(lambda c: additions.drop(c, [first.id, second.id])) == 3
    assert rows(tables) == (0, 0, 0)


def test_what_was_released_meanwhile_is_not_dropped(tables) -> None:
    addition = tables.add(2)
    assert tables(lambda c: additions.drop(c, [addition.id])) == 0
    assert rows(tables) == (2, 1, 1)


def test_an_order_is_free_again_after_the_drop(tables) -> None:
    first = tables.add(1)
    orphan = tables.enqueue(tables.addition(2, batch_id=first.batch.id, first_order=1))
    tables(lambda c: additions.drop(c, [orphan.id]))
    tables.enqueue(tables.addition(2, batch_id=first.batch.id, first_order=1))
    assert rows(tables) == (3, 2, 1)


async def test_what_was_never_committed_is_dropped(run_jobs, tables, batch_side) -> None:
    """Also what an earlier process left behind."""
    orphan = tables.enqueue(tables.addition(2, check_at=1))
    kept = tables.enqueue(tables.addition(1, check_at=1))
    batch_side.committed.add(kept.id)
    async with run_jobs(addition_grace_s=0.05) as process:
        # Later on it is asked about the other alone: this one is gone.
        await batch_side.until(lambda s: [kept.id] in s.asked)
        assert batch_side.asked[0] == sorted([orphan.id, kept.id])
        assert tables.rows("SELECT batch_id FROM job") == [{"batch_id": kept.batch.id}]
        await process.intend(kept.batch.id, 1, [kept.id])
        (lease,) = await process.lease()
        assert lease.job_id == kept.jobs[0].id


async def test_a_call_that_is_interrupted_is_cleaned_up_in_time(
    run_jobs, tables, batch_side
) -> None:
    kept = tables.enqueue(tables.addition(1, check_at=1))
    batch_side.committed.add(kept.id)
    async with run_jobs(addition_grace_s=0.05) as process:
        orphan = await process.enqueue(1)

        def was_asked_and_then_not(side) -> bool:
            asked = [orphan.addition_id in each for each in side.asked]
            return True in asked and not asked[-1]

        await batch_side.until(was_asked_and_then_not)
        assert tables.rows("SELECT id FROM queued_addition") == [{"id": kept.id}]


async def test_what_an_interrupted_call_has_left_goes_when_its_batch_is_closed(
    process, batch_side
) -> None:
    mine = await process.enqueue(1)
    await process.intend(mine.batch.id, 1, [mine.addition_id], open=True)
    orphan, kept = [
        await process.enqueue(
            [queue_pb.QueuedJob(id=str(uuid.uuid4()), creation_order=order)],
            batch_id=mine.batch.id,
        )
        for order in (1, 2)
    ]
    batch_side.committed.add(kept.addition_id)
    await process.intend(mine.batch.id, 2)
    await process.until_none(f"queued_addition WHERE id = '{orphan.addition_id}'")
    assert [sorted(asked) for asked in batch_side.asked] == [
        sorted([orphan.addition_id, kept.addition_id])
    ]
    # What BatchService knows is kept, whatever the intent has named.
    left = process.rows("SELECT id FROM queued_addition ORDER BY seq")
    assert left == [(mine.addition_id,), (kept.addition_id,)]
    assert process.rows("SELECT pending FROM queued_batch") == [(2,)]


async def test_a_question_that_fails_is_asked_again(run_jobs, tables, batch_side) -> None:
    batch_side.failures_left = 2
    tables.enqueue(tables.addition(1, check_at=1))
    kept = tables.enqueue(tables.addition(1, check_at=1))
    batch_side.committed.add(kept.id)
    async with run_jobs(addition_grace_s=0.05):
        await batch_side.until(lambda s: [kept.id] in s.asked)
    assert tables.rows("SELECT id FROM queued_addition") == [{"id": kept.id}]
    assert [len(asked) for asked in batch_side.asked[:4]] == [2, 2, 2, 1]


async def test_nobody_is_asked_about_what_is_released(run_jobs, tables, batch_side) -> None:
    released = tables.add(1, check_at=1)
    orphan = tables.enqueue(tables.addition(1, check_at=1))
    async with run_jobs():
        await batch_side.until(lambda s: s.asked)
    assert batch_side.asked == [[orphan.id]]
    assert released.id not in batch_side.asked[0]
