"""Every list holds what a plain filter over the same rows gives, in the same order."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Row = dict[str, Any]
Condition = Callable[[Row, Any], bool]

NOBODY: Final = "00000000-0000-4000-8000-000000000000"

#: Queues in the order in which they are served.
PRIORITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "FREE")

BATCH_STATUSES: Final = (
    *("PENDING", "RUNNING", "DONE", "CANCELED", "CANCELING", "TIMED_OUT", "ERROR", "PAUSED"),
)
JOB_STATUSES: Final = ("PENDING", "RUNNING", "DONE", "ERROR", "CANCELED", "CANCELING")


def one_of(key: str) -> Condition:
    return lambda row, values: not values or row[key] in values


def at_least(key: str) -> Condition:
    return lambda row, bound: row[key] >= bound


def at_most(key: str) -> Condition:
    return lambda row, bound: row[key] <= bound


def since(key: str) -> Condition:
    return lambda row, time: row[key] is not None and datetime.fromisoformat(row[key]) >= time


def until(key: str) -> Condition:
    return lambda row, time: row[key] is not None and datetime.fromisoformat(row[key]) <= time


def starts(row: Row, prefix: str) -> bool:
    return bool(row["id"].startswith(prefix.lower()))


BATCH_CONDITIONS: Final[Mapping[str, Condition]] = {
    "id": one_of("id"),
    "id__starts_with": starts,
    "project_id": one_of("project_id"),
    "user_id": one_of("user_id"),
    "device_type": one_of("device_type"),
    "status": one_of("status"),
    "queue_priority": one_of("queue_priority"),
    "open": lambda row, wanted: row["open"] is wanted,
    "complete": lambda row, wanted: row["open"] is not wanted,
    "min_jobs": at_least("jobs_count"),
    "max_jobs": at_most("jobs_count"),
    "start_date": since("start_datetime"),
    "end_date": until("end_datetime"),
    "tag": lambda row, tag: tag in row["tags"],
}

JOB_CONDITIONS: Final[Mapping[str, Condition]] = {
    "id": one_of("id"),
    "id__starts_with": starts,
    "batch_id": one_of("batch_id"),
    "project_id": one_of("project_id"),
    "user_id": one_of("user_id"),
    "status": one_of("status"),
    "origin": one_of("origin"),
    "min_runs": at_least("runs"),
    "max_runs": at_most("runs"),
    "errors": lambda row, wanted: bool(row["errors"]) is wanted,
    "start_date": since("start_timestamp"),
    "end_date": until("end_timestamp"),
}


# Keys to order by. What has no value counts as the smallest.


def plain(key: str) -> Callable[[Row], Any]:
    return lambda row: row[key]


BATCH_ORDERS: Final[Mapping[str, Callable[[Row], Any]]] = {
    **{key: plain(key) for key in ("created_at", "updated_at", "status", "device_type", "id")},
    **{key: plain(key) for key in ("start_datetime", "end_datetime", "jobs_count")},
    "queue_priority": lambda row: PRIORITIES.index(row["queue_priority"]),
}
JOB_ORDERS: Final[Mapping[str, Callable[[Row], Any]]] = {
    **{key: plain(key) for key in ("created_at", "updated_at", "status", "runs", "progress", "id")},
    **{key: plain(key) for key in ("start_timestamp", "end_timestamp", "creation_order")},
}


class Listing(NamedTuple):
    """A list, and how a plain filter makes it."""

    paths: tuple[str, ...]
    conditions: Mapping[str, Condition]
    orders: Mapping[str, Callable[[Row], Any]]
    not_shown: frozenset[str]


BATCHES: Final = Listing(("/api/v1/batches",), BATCH_CONDITIONS, BATCH_ORDERS, frozenset())
JOBS: Final = Listing(
    ("/api/v2/jobs", "/api/v1/third-party-access/ovh/jobs"),
    JOB_CONDITIONS,
    JOB_ORDERS,
    frozenset({"origin", "user_id"}),
)


def expected(listing: Listing, rows: Sequence[Row], query: Mapping[str, Any]) -> list[Row]:
    """Returns all matching rows; `rows` are by age, which breaks ties in the same direction."""
    found = [
        row
        for row in rows
        if all(
            meets(row, query[name]) for name, meets in listing.conditions.items() if name in query
        )
    ]
    key, falls = listing.orders[query["order_by"]], query["order_by_direction"] == "DESC"
    if falls:
        found.reverse()
    filled = sorted((row for row in found if key(row) is not None), key=key, reverse=falls)
    empty = [row for row in found if key(row) is None]
    return filled + empty if falls else empty + filled


def times(rows: Sequence[Row], key: str) -> SearchStrategy[datetime]:
    """Times at which something happened, and those just before and after."""
    moments = sorted({datetime.fromisoformat(row[key]) for row in rows if row[key] is not None})
    steps = st.sampled_from([timedelta(microseconds=step) for step in (-1, 0, 1)])
    return st.builds(lambda moment, step: moment + step, st.sampled_from(moments), steps)


def values(rows: Sequence[Row], key: str, *others: str) -> SearchStrategy[list[str]]:
    known = sorted({row[key] for row in rows} | set(others))
    return st.lists(st.sampled_from(known), min_size=1, max_size=4)


def prefixes(rows: Sequence[Row]) -> SearchStrategy[str]:
    spelled = st.sampled_from([str.lower, str.upper])
    ids = st.sampled_from([row["id"] for row in rows])
    lengths = st.sampled_from([1, 1, 2, 8, 9, 36])
    return st.builds(lambda spell, text, length: spell(text[:length]), spelled, ids, lengths)


def queries(
    listing: Listing, filters: Mapping[str, SearchStrategy[Any]]
) -> SearchStrategy[dict[str, Any]]:
    """Queries with up to three filters, an order and a window."""
    assert filters.keys() == listing.conditions.keys()
    window = {
        "limit": st.one_of(st.integers(1, 5), st.integers(1, 100)),
        "offset": st.one_of(st.just(0), st.integers(0, 30)),
        "order_by": st.sampled_from(sorted(listing.orders)),
        "order_by_direction": st.sampled_from(["ASC", "DESC"]),
    }
    names = st.lists(st.sampled_from(sorted(filters)), unique=True, max_size=3)
    return names.flatmap(
        lambda names: st.fixed_dictionaries({**window, **{name: filters[name] for name in names}})
    )


def compare(rows: Any, listing: Listing, stored: Sequence[Row], path: str, query: Row) -> None:
    """Asks for a list and holds it against the plain filter."""
    wanted = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in query.items()
    }
    found = expected(listing, stored, query)
    start, end = query["offset"], query["offset"] + query["limit"]
    page = [
        {k: v for k, v in row.items() if k not in listing.not_shown} for row in found[start:end]
    ]

    answer = rows.api.get(path, params=wanted).raise_for_status()

    assert answer.json()["data"] == page
    shown = f"{start + 1}-{start + len(page)}" if page else "*"
    assert answer.headers["content-range"] == f"{shown}/{len(found)}"
    assert answer.json()["pagination"] == {
        "total": len(found),
        "start": start,
        "end": start + len(page),
    }


def test_lists_of_batches(rows: Any) -> None:
    stored = [row for row in rows.batches if row["status"]]
    assert {row["status"] for row in stored} == set(BATCH_STATUSES) - {"CANCELING"}
    filters = {
        "id": values(stored, "id", NOBODY, rows.hidden),
        "id__starts_with": prefixes(rows.batches),
        "project_id": values(stored, "project_id", NOBODY, rows.projects["theirs"]),
        "user_id": values(stored, "user_id", NOBODY),
        "device_type": values(stored, "device_type", "EMU_MPS", "ABACUS"),
        "status": st.lists(st.sampled_from(BATCH_STATUSES), min_size=1, max_size=4),
        "queue_priority": st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=3),
        "open": st.booleans(),
        "complete": st.booleans(),
        "min_jobs": st.integers(-1, 5),
        "max_jobs": st.integers(-1, 5),
        "start_date": times(stored, "start_datetime"),
        "end_date": times(stored, "end_datetime"),
        "tag": st.sampled_from(["a", "b", "c", "A", "ab"]),
    }

    @settings(max_examples=400)
    @given(queries(BATCHES, filters).filter(lambda query: not {"open", "complete"} <= query.keys()))
    def check(query: Row) -> None:
        compare(rows, BATCHES, stored, BATCHES.paths[0], query)

    check()


def test_lists_of_jobs(rows: Any) -> None:
    stored = [row for row in rows.jobs if row["status"]]
    assert {row["status"] for row in stored} == {"PENDING", "DONE", "ERROR", "CANCELED"}
    filters = {
        "id": values(stored, "id", NOBODY),
        "id__starts_with": prefixes(rows.jobs),
        "batch_id": values(stored, "batch_id", NOBODY, rows.hidden),
        "project_id": values(stored, "project_id", NOBODY, rows.projects["theirs"]),
        "user_id": values(stored, "user_id", NOBODY),
        "status": st.lists(st.sampled_from(JOB_STATUSES), min_size=1, max_size=3),
        "origin": st.lists(
            st.sampled_from(["CLIENT", "AZURE", "OVH", "UNKNOWN"]), min_size=1, max_size=3
        ),
        "min_runs": st.sampled_from([-1, 5, 6, 10, 11, 60, 200, 201]),
        "max_runs": st.sampled_from([-1, 4, 5, 10, 19, 20, 199, 1000]),
        "errors": st.booleans(),
        "start_date": times(stored, "start_timestamp"),
        "end_date": times(stored, "end_timestamp"),
    }

    @settings(max_examples=400)
    @given(st.sampled_from(JOBS.paths), queries(JOBS, filters))
    def check(path: str, query: Row) -> None:
        compare(rows, JOBS, stored, path, query)

    check()


@pytest.mark.parametrize(
    ("kind", "listing", "order", "direction"),
    [
        (kind, listing, order, direction)
        for kind, listing in (("batches", BATCHES), ("jobs", JOBS))
        for order in listing.orders
        for direction in ("ASC", "DESC")
    ],
)
def test_pages_put_together_are_the_list(
    rows: Any, kind: str, listing: Listing, order: str, direction: str
) -> None:
    stored = [row for row in getattr(rows, kind) if row["status"]]
    for offset in range(0, len(stored) + 1, 3):
        query = {"order_by": order, "order_by_direction": direction, "offset": offset, "limit": 3}
        compare(rows, listing, stored, listing.paths[0], query)
