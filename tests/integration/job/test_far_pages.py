"""Pages far from the first one are what passing over all rows before them would give."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tweezer.database.opening import create_engine_of
from tweezer.job.far_pages import FarPages, Part
from tweezer.job.filters import selection
from tweezer.job.listing import Listing
from tweezer.job.paging import LARGEST_PAGE, page_of
from tweezer.job.store import additions, enqueue, forgetting, history, reads
from tweezer.job.store.landmarks import placed_queries
from tweezer.v1 import job_pb2, paging_pb2

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
ASC, DESC = paging_pb2.SORT_DIRECTION_ASC, paging_pb2.SORT_DIRECTION_DESC
SECOND = 1_000_000
MINUTE = 60 * SECOND


@dataclass
class Time:
    """A clock that stands still until it is moved, and one that cannot be set."""

    micros: int = 1_700_000_000 * SECOND
    passed_s: float = 0.0
    step_s: float = 0.0  #: passes at each look at `seconds`

    def clock(self) -> int:
        return self.micros

    def seconds(self) -> float:
        self.advance(self.step_s)
        return self.passed_s

    def advance(self, seconds: float) -> None:
        self.micros += round(seconds * SECOND)
        self.passed_s += seconds


class WatchedPages(FarPages):
    """Counts the pages that were found from landmarks."""

    found = 0

    def read(self, *of: Any) -> Part | None:
        part = super().read(*of)
        self.found += part is not None
        return part


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def far(time) -> WatchedPages:
    return WatchedPages(
        time.clock, seconds=time.seconds, step=3, far=4, most_newer=60, most_lists=3
    )


@pytest.fixture
def listing(database, far) -> Listing:
    return Listing(database, far)


def page(skip: int, size: int = 4, direction: int = DESC, order_by: str = "") -> Any:
    return page_of(paging_pb2.Page(skip=skip, size=size, direction=direction, order_by=order_by))


def plainly(tables, wanted: job_pb2.JobFilter, projects: set[str], wanted_page: Any) -> Any:
    """Returns what a list without landmarks has."""
    selected = selection(wanted, projects)

    def read(connection: Connection) -> tuple[list[str], int]:
        rows = connection.execute(reads.page_query(selected, wanted_page)).all()
        total = connection.execute(reads.count_query(selected)).scalar_one()
        return [row[0] for row in rows], total

    return tables(read)


@dataclass
class History:
    """Does to the jobs whatever can happen to them, at random."""

    tables: Any
    time: Time
    chance: random.Random
    held: list[Any] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    def add(self, age_s: float = 0.0) -> Any:
        how = {
            "project_id": self.chance.choice([PROJECT, PROJECT, OTHER]),
            "user_id": self.chance.choice("uv"),
            "origin": self.chance.choice(["CLIENT", "OVH"]),
        }
        created_at = self.time.micros - round(age_s * SECOND)
        addition = self.tables.addition(self.chance.randint(1, 6), now=created_at, **how)
        self.tables(lambda c: enqueue.store(c, addition, self.time.clock))
        return addition

    def added(self) -> None:
        self._release(self.add())

    def added_a_little_late(self) -> None:
        self._release(self.add(self.chance.uniform(0, 60)))

    def added_ahead_of_time(self) -> None:
        self._release(self.add(-30))

    def added_late(self) -> None:
        self._release(self.add(self.chance.uniform(61, 3000)))

    def held_back(self) -> None:
        self.held.append(self.add())

    def dropped(self) -> None:
        if self.held:
            orphan = self.held.pop(self.chance.randrange(len(self.held)))
            assert self.tables(lambda c: additions.drop(c, [orphan.id])) == orphan.jobs_count

    def forgotten(self) -> None:
        if len(self.finished) > 3:
            batch = self.finished.pop(self.chance.randrange(len(self.finished)))
            assert self.tables(lambda c: forgetting.forget(c, batch)).jobs

    def cancelled(self) -> None:
        if self.waiting:
            batch = self.waiting.pop(self.chance.randrange(len(self.waiting))).batch.id
            self.tables.intend(batch, 2, cancelled=True)
            self.finished.append(batch)

    def passed(self) -> None:
        self.time.advance(self.chance.choice([0.001, 1, 30, 130]))

    def _release(self, addition: Any) -> None:
        self.tables.intend(addition.batch.id, 1, addition.id)
        self.waiting.append(addition)


STEADY = [
    job_pb2.JobFilter(),
    job_pb2.JobFilter(user_ids=["u"]),
    job_pb2.JobFilter(origins=[1, 3]),
    job_pb2.JobFilter(min_runs=101),
    job_pb2.JobFilter(project_ids=[PROJECT], max_runs=103),
]
UNSTEADY = [
    job_pb2.JobFilter(statuses=[job_pb2.JOB_STATUS_CANCELED]),
    job_pb2.JobFilter(user_ids=["u", "v"]),
    job_pb2.JobFilter(id_prefix="1"),
]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_a_far_page_is_the_plain_one(
    tables, time, far, listing, seed: int
) -> None:
    chance = random.Random(seed)
    past = History(tables, time, chance)
    events: list[Callable[[], None]] = [past.added] * 4 + [past.passed] * 4
    events += [past.added_a_little_late, past.added_ahead_of_time, past.held_back] * 2
    events += [past.cancelled] * 3
    rare = [past.added_late, past.dropped, past.forgotten]
    for number in range(140):
        chance.choice(rare if number % 6 == 5 else events)()
        for wanted in chance.sample(STEADY, 2) + chance.sample(UNSTEADY, 1):
            projects = {PROJECT} if chance.random() < 0.9 else {PROJECT, OTHER}
            asked = page(chance.randrange(4, 250), chance.randint(1, 8), chance.choice([ASC, DESC]))
            plain_ids, plain_total = plainly(tables, wanted, projects, asked)
            before = far.found
            rows, total = await listing.jobs(wanted, frozenset(projects), asked)
            assert [row[0] for row in rows] == plain_ids
            if far.found > before:  # other numbers may be some moments old
                assert total == plain_total
    assert far.found > 100


@pytest.fixture
def reader(tables) -> Iterator[Connection]:
    """A connection whose statements each see the newest commit, as those of a database."""
    engine = create_engine_of(tables.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def read(far, reader) -> Callable[..., Any]:
    """Reads a page of all jobs from landmarks."""
    queries = placed_queries(PROJECT, selection(job_pb2.JobFilter(), [PROJECT]).where)

    def read(asked: Any) -> Any:
        part = far.read(reader, "all", queries, asked)
        return part and ([row[0] for row in part[0]], part[1])

    return read


def expected(tables, asked: Any) -> Any:
    return plainly(tables, job_pb2.JobFilter(), {PROJECT}, asked)


def filled(tables, time, batches: int = 10) -> list[Any]:
    """Stores finished batches of two jobs, one a minute."""
    stored = []
    for _ in range(batches):
        time.advance(60)
        stored.append(tables.addition(2, now=time.micros))
        tables(lambda c: enqueue.store(c, stored[-1], time.clock))
        tables.intend(stored[-1].batch.id, 1, stored[-1].id, cancelled=True)
    return stored


FARS = [page(skip, direction=direction) for skip in (4, 9, 15) for direction in (ASC, DESC)]


def between(reader: Connection, before: str, do: Callable[[], object]) -> None:
    """Does something once, right before the reader's next statement that begins in some way."""

    left = [do]

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        if left and statement.startswith(before):
            left.pop()()

    event.listen(reader, "before_cursor_execute", look)


@pytest.mark.parametrize("asked", FARS)
def test_a_deletion_between_the_statements_is_noticed(tables, time, reader, read, asked) -> None:
    batches = filled(tables, time)
    assert read(asked) == expected(tables, asked)
    for batch, statement in zip(batches[2:], ("SELECT count", "SELECT job.id"), strict=False):
        between(
            reader, statement, lambda b=batch: tables(lambda c: forgetting.forget(c, b.batch.id))
        )
        assert read(asked) is None
        assert read(asked) == expected(tables, asked)


@pytest.mark.parametrize("asked", FARS)
def test_an_addition_between_the_statements_is_seen_as_a_whole_or_not_at_all(
    tables, time, reader, read, asked
) -> None:
    filled(tables, time)
    before = expected(tables, asked)
    between(reader, "SELECT job.id", lambda: filled(tables, time, 1))
    ids, _ = read(asked)
    after = expected(tables, asked)
    assert ids in (before[0], after[0])
    assert read(asked) == after


def test_jobs_stored_by_a_transaction_under_way_come_after_the_landmarks(
    tables, time, reader, read
) -> None:
    """It began when its jobs were not late, and others that are newer were there before it."""
    filled(tables, time, 5)
    slow = tables.addition(2, now=time.micros + 1)
    newer = [tables.addition(3, now=time.micros + 2) for _ in range(2)]
    for addition in newer:
        tables(lambda c, a=addition: enqueue.store(c, a, time.clock))
    time.advance(59)
    engine = create_engine_of(tables.url)
    with engine.connect() as writer:
        with writer.begin():
            enqueue.store(writer, slow, time.clock)
            time.advance(59)
            for asked in FARS:
                assert read(asked) is not None
        filled(tables, time, 5)
        for asked in FARS:
            assert read(asked) == expected(tables, asked)
        assert history.rewrites(reader, PROJECT) == 0
    engine.dispose()


def test_landmarks_begin_anew_when_the_clock_was_set(tables, time, read) -> None:
    time.micros += 60 * MINUTE
    filled(tables, time)
    assert [read(asked) for asked in FARS] == [expected(tables, asked) for asked in FARS]
    time.micros -= 60 * MINUTE
    filled(tables, time, 3)  # older than the others, and not late
    assert [read(asked) for asked in FARS] == [expected(tables, asked) for asked in FARS]


def test_landmarks_are_not_looked_for_all_the_time(tables, time, read) -> None:
    batches = filled(tables, time)
    time.step_s = 1.0
    asked = page(9)
    assert read(asked) == expected(tables, asked)
    tables(lambda c: forgetting.forget(c, batches[0].batch.id))
    assert read(asked) is None
    time.advance(100)
    assert read(asked) == expected(tables, asked)


def test_with_too_many_jobs_after_the_landmarks_a_page_is_read_plainly(tables, time, read) -> None:
    filled(tables, time)
    many = tables.addition(60, now=time.micros)
    tables(lambda c: enqueue.store(c, many, time.clock))
    assert read(page(20)) is None
    time.advance(121)
    assert read(page(20)) == expected(tables, page(20))


def test_a_list_in_another_order_or_near_the_first_page_needs_no_landmarks(far) -> None:
    assert far.are_for(page(4))
    assert far.are_for(page(4, direction=ASC, order_by="created_at"))
    assert not far.are_for(page(3))
    assert not far.are_for(page(4, order_by="updated_at"))


async def test_many_jobs_of_one_moment_are_in_the_order_in_which_they_came(
    tables, time, far, listing
) -> None:
    for _ in range(3):
        many = tables.addition(40, now=time.micros)
        tables(lambda c, a=many: enqueue.store(c, a, time.clock))
    time.advance(130)
    for direction in (ASC, DESC):
        (whole, _) = expected(tables, page(0, LARGEST_PAGE, direction))
        for skip in range(4, 130):
            rows, total = await listing.jobs(
                job_pb2.JobFilter(), frozenset({PROJECT}), page(skip, 4, direction)
            )
            assert ([row[0] for row in rows], total) == (whole[skip : skip + 4], 120)
    assert far.found == 2 * 126
