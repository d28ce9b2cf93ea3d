"""A project's number of rewrites rises with what moves its older jobs, and with nothing else."""

from typing import Any

import pytest
from sqlalchemy import Connection

from tweezer.job.outcomes import Outcome
from tweezer.job.store import additions, endings, enqueue, forgetting, history, leases

OTHER = "22222222-2222-4222-8222-222222222222"
NOW = 1_700_000_000_000_000


def stored(tables, created_at: int, jobs: int = 2, **how: Any):
    addition = tables.addition(jobs, now=created_at, **how)
    tables(lambda c: enqueue.store(c, addition, lambda: NOW))
    return addition


@pytest.fixture
def rewrites(tables):
    """Returns the numbers of two projects."""

    def read(connection: Connection) -> list[int]:
        return [history.rewrites(connection, project) for project in (tables.project, OTHER)]

    return lambda: tables(read)


def test_ordinary_life_is_no_rewrite(tables, rewrites) -> None:
    first = stored(tables, NOW - history.GRACE)
    tables.intend(first.batch.id, 1, first.id)
    stored(tables, NOW, batch_id=first.batch.id, first_order=2)
    stored(tables, NOW + history.GRACE)
    (batch,) = tables(lambda c: leases.take(c, ["EMU_FREE"], 1, NOW + 9, NOW))
    ending = endings.Ending(batch.leases[0].token, Outcome.RESULT, result_key="k")
    tables(lambda c: endings.end(c, [ending], 3, NOW))
    tables.intend(first.batch.id, 2, cancelled=True)
    assert tables(lambda c: additions.drop(c, [first.id])) == 0  # it was released
    assert rewrites() == [0, 0]


def test_jobs_that_are_stored_late_are_one(tables, rewrites) -> None:
    late = stored(tables, NOW - history.GRACE - 1)
    assert rewrites() == [1, 0]
    tables(lambda c: enqueue.store(c, late, lambda: NOW))  # once more
    stored(tables, NOW - 2 * history.GRACE, jobs=0)
    assert rewrites() == [1, 0]
    stored(tables, 0, project_id=OTHER)
    stored(tables, 0, project_id=OTHER)
    assert rewrites() == [1, 2]


def test_a_forgotten_batch_is_one(tables, rewrites) -> None:
    batch, empty = stored(tables, NOW), stored(tables, NOW, jobs=0)
    tables.intend(batch.batch.id, 1, batch.id)
    assert not tables(lambda c: forgetting.forget(c, batch.batch.id)).gone
    assert rewrites() == [0, 0]
    tables.intend(batch.batch.id, 2, cancelled=True)
    for _ in range(2):
        assert tables(lambda c: forgetting.forget(c, batch.batch.id)).gone
    assert tables(lambda c: forgetting.forget(c, empty.batch.id)).gone
    assert rewrites() == [1, 0]


def test_dropped_additions_are_one_for_each_project(tables, rewrites) -> None:
    mine = [stored(tables, NOW) for _ in range(2)]
    theirs = stored(tables, NOW, project_id=OTHER)
    empty = stored(tables, NOW, jobs=0)
    assert tables(lambda c: additions.drop(c, [empty.id])) == 0
    assert rewrites() == [0, 0]
    assert tables(lambda c: additions.drop(c, [a.id for a in (*mine, theirs)])) == 6
    assert rewrites() == [1, 1]
    assert tables(lambda c: additions.drop(c, [mine[0].id])) == 0
    assert rewrites() == [1, 1]


def test_a_rewrite_that_is_taken_back_does_not_count(tables, rewrites) -> None:
    addition = stored(tables, NOW)

    class Undone(Exception):
        pass

    def drop(connection: Connection) -> None:
        additions.drop(connection, [addition.id])
        raise Undone

    with pytest.raises(Undone):
        tables(drop)
    assert rewrites() == [0, 0]
