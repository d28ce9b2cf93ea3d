"""Turns the conditions of a request into those of a query."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Column, ColumnElement

from tweezer.database.timestamps import from_timestamp
from tweezer.job.conversion import ORIGIN_OF, STATUS_OF
from tweezer.job.ids import all_canonical
from tweezer.job.models import JOB
from tweezer.rpc.errors import InvalidInput
from tweezer.v1 import job_pb2

#: The most alternatives of one condition.
MOST_VALUES: Final = 1000

#: Greater than every character of an identifier.
_AFTER_ALL_DIGITS: Final = "g"

#: The times that messages can carry.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799

#: Parts that are merged; with more, sorting is not dearer.
_MOST_BRANCHES: Final = 24

#: Fields of a filter that ask for what does not change about a stored job.
_STEADY: Final = frozenset({"project_ids", "user_ids", "origins", "min_runs", "max_runs"})

Condition: TypeAlias = ColumnElement[bool]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs are wanted."""

    where: tuple[Condition, ...]
    """The conditions: all must hold."""
    branches: tuple[tuple[Condition, ...], ...]
    """The same in parts that have no job in common, each of which an index has in order."""
    few: bool
    """Whether keys are named, so that few jobs are looked at."""
    steady_in: str | None = None
    """The project whose jobs these are, where an index has them by age, and where each of them
    belongs to them for as long as it is stored."""


def selection(wanted: job_pb2.JobFilter, project_ids: Iterable[str]) -> Selection:
    """Returns the jobs that are wanted, of those that a caller with these projects may see.

    Raises InvalidInput for values that no job can have; other people's projects match nothing.
    """
    projects = _visible(wanted, project_ids)
    statuses = _words("status", wanted.statuses, STATUS_OF)
    others = tuple(_others(wanted))
    in_status = (_one_of(JOB.c.status, statuses),) if statuses else ()
    if wanted.ids or wanted.id_prefix or wanted.batch_ids:
        # Jobs are found by their keys. A bare condition on the project would lead the planner to
        # an index over far more jobs, for the sake of the order.
        where = (*others, JOB.c.project_id.concat("").in_(projects), *in_status)
        return Selection(where, (where,), few=bool(wanted.ids) or len(wanted.batch_ids) == 1)
    where = (_one_of(JOB.c.project_id, projects), *in_status, *others)
    branches = _branches(where, projects, statuses, others)
    return Selection(where, branches, few=False, steady_in=_steady_in(wanted, projects))


def in_batch(wanted: job_pb2.JobFilter, batch_id: str, project_ids: Iterable[str]) -> Selection:
    """Returns the jobs of one batch that are wanted, of those that these projects may see."""
    elsewhere = wanted.batch_ids and batch_id not in _ids("batch_id", wanted.batch_ids)
    within = job_pb2.JobFilter()
    within.CopyFrom(wanted)
    within.ClearField("batch_ids")
    within.batch_ids.append(batch_id)
    return selection(within, () if elsewhere else project_ids)


def _branches(
    where: tuple[Condition, ...],
    projects: Sequence[str],
    statuses: Sequence[str],
    others: tuple[Condition, ...],
) -> tuple[tuple[Condition, ...], ...]:
    if not 1 < len(projects) * max(len(statuses), 1) <= _MOST_BRANCHES:
        return (where,)
    in_statuses: list[tuple[Condition, ...]] = [(JOB.c.status == status,) for status in statuses]
    return tuple(
        (JOB.c.project_id == project, *in_status, *others)
        for project in projects
        for in_status in in_statuses or [()]
    )


def _steady_in(wanted: job_pb2.JobFilter, projects: Sequence[str]) -> str | None:
    given = {field.name for field, _ in wanted.ListFields()}
    # Of several projects or users, the jobs have to be sorted.
    if len(projects) != 1 or len(wanted.user_ids) > 1 or not given <= _STEADY:
        return None
    return projects[0]


def _visible(wanted: job_pb2.JobFilter, project_ids: Iterable[str]) -> list[str]:
    own = set(project_ids)
    if wanted.project_ids:
        own &= set(_ids("project_id", wanted.project_ids))
    return sorted(own)


def _others(wanted: job_pb2.JobFilter) -> Iterator[Condition]:
    if wanted.ids:
        yield _one_of(JOB.c.id, _ids("id", wanted.ids))
    if wanted.id_prefix:
        prefix = wanted.id_prefix.lower()
        yield JOB.c.id >= prefix
        yield JOB.c.id < prefix + _AFTER_ALL_DIGITS
    if wanted.batch_ids:
        yield _one_of(JOB.c.batch_id, _ids("batch_id", wanted.batch_ids))
    if wanted.user_ids:
        yield _one_of(JOB.c.user_id, _few("user_id", wanted.user_ids))
    if wanted.origins:
        yield _one_of(JOB.c.origin, _words("origin", wanted.origins, ORIGIN_OF))
    yield from _ranges(wanted)


def _ranges(wanted: job_pb2.JobFilter) -> Iterator[Condition]:
    if wanted.HasField("min_runs"):
        yield JOB.c.runs >= wanted.min_runs
    if wanted.HasField("max_runs"):
        yield JOB.c.runs <= wanted.max_runs
    if wanted.HasField("errors"):
        yield JOB.c.errors.is_not(None) if wanted.errors else JOB.c.errors.is_(None)
    if wanted.HasField("start_time"):
        yield JOB.c.start_at >= _micros("start_date", wanted.start_time)
    if wanted.HasField("end_time"):
        yield JOB.c.end_at <= _micros("end_date", wanted.end_time)


def _one_of(column: Column[Any], values: Sequence[str]) -> Condition:
    # A single value keeps the order of an index; several have to be sorted.
    return column == values[0] if len(values) == 1 else column.in_(values)


def _ids(field: str, texts: Sequence[str]) -> list[str]:
    return all_canonical(field, _few(field, texts))


def _words(field: str, numbers: Sequence[int], words: Mapping[int, str]) -> list[str]:
    if any(number not in words for number in numbers):
        raise InvalidInput(field, f"must be one of {', '.join(words.values())}.")
    return sorted({words[number] for number in numbers})


def _few(field: str, values: Sequence[T]) -> Sequence[T]:
    if len(values) > MOST_VALUES:
        raise InvalidInput(field, f"must have at most {MOST_VALUES} values.")
    return values


def _micros(field: str, time: Timestamp) -> int:
    if not _FIRST_SECOND <= time.seconds <= _LAST_SECOND:
        raise InvalidInput(field, "must be between the years 1 and 9999.")
    return from_timestamp(time)
