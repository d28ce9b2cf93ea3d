"""Turns filters and orders of batch lists into conditions and columns."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, case, false, select

from tweezer.batch.conversion import PRIORITY_FROM_MESSAGE, STATUS_FROM_MESSAGE
from tweezer.batch.identifiers import canonical_uuid
from tweezer.batch.models import BATCH, BATCH_TAG, QUEUE_PRIORITIES
from tweezer.database.timestamps import from_timestamp
from tweezer.lifecycle import FINAL_BATCH_STATUSES, BatchStatus
from tweezer.rpc.errors import InvalidInput
from tweezer.rpc.paging import Paging
from tweezer.v1.batch_pb2 import BatchFilter

K = TypeVar("K")

#: Most items of a page.
LARGEST_PAGE: Final = 100

#: Most values of one filter; databases bound how many a statement can take.
MAX_VALUES: Final = 1000

_ID_PREFIX: Final = re.compile(r"[0-9a-f-]{1,36}")

_PRIORITY_RANK: Final = case(
    {priority: rank for rank, priority in enumerate(QUEUE_PRIORITIES)},
    value=BATCH.c.queue_priority,
)

#: What lists can be ordered by, as the REST API names it.
#:
#: An index gives the order by creation, start, end and status. The device, the queue and the number
#: of jobs are sorted from the entries of an index. `updated_at` and `id` are sorted from the rows
#: of the projects (some tenths of a second for 100,000): an index of the one would change with
#: each report of progress, and nobody asks for the other.
ORDER_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "created_at": BATCH.c.created_at,
    "updated_at": BATCH.c.updated_at,
    "start_datetime": BATCH.c.start_at,
    "end_datetime": BATCH.c.end_at,
    "status": BATCH.c.status,
    "device_type": BATCH.c.device_type,
    "jobs_count": BATCH.c.jobs_count,
    "queue_priority": _PRIORITY_RANK,
    "id": BATCH.c.id,
}

#: Empty until a batch starts or ends; such batches come last in either direction.
_NULLABLE: Final = frozenset({"start_datetime", "end_datetime"})

#: The same orders as no index has them: the planner then looks for what matches, and does not walk
#: through all batches of a project in their order until it has met enough that do.
_OF_NO_INDEX: Final[Mapping[str, ColumnElement[Any]]] = {
    "created_at": BATCH.c.created_at + 0,
    "start_datetime": BATCH.c.start_at + 0,
    "end_datetime": BATCH.c.end_at + 0,
    "status": BATCH.c.status.concat(""),
}

_UNFINISHED: Final = frozenset(
    message for message, word in STATUS_FROM_MESSAGE.items() if word not in FINAL_BATCH_STATUSES
)


def order_of(paging: Paging, wanted: BatchFilter | None = None) -> list[ColumnElement[Any]]:
    """Returns what to order by; age breaks ties, in the same direction."""
    column = ORDER_COLUMNS[paging.column]
    if wanted is not None and _matches_few(wanted):
        column = _OF_NO_INDEX.get(paging.column, column)
    columns = [column, BATCH.c.seq]
    if paging.column == "status":
        columns.insert(1, BATCH.c.created_at)  # as the index has it
    ordered: list[ColumnElement[Any]] = [
        each.asc() if paging.ascending else each.desc() for each in columns
    ]
    if paging.column in _NULLABLE:
        # What has not happened yet counts as the smallest, as in lists of jobs.
        ordered[0] = ordered[0].nulls_first() if paging.ascending else ordered[0].nulls_last()
    return ordered


def conditions_of(wanted: BatchFilter, projects: Collection[str]) -> list[ColumnElement[bool]]:
    """Returns the conditions of a filter, within the projects that the caller may see."""
    conditions = [_in_projects(wanted, projects), *_ranges(wanted)]
    texts: list[tuple[ColumnElement[Any], list[str]]] = [
        (BATCH.c.id, _uuids("id", wanted.ids)),
        (BATCH.c.user_id, _users(wanted.user_ids)),
        (BATCH.c.device_type, _values("device_type", wanted.device_types)),
        (BATCH.c.status, _words("status", wanted.statuses, STATUS_FROM_MESSAGE)),
        (
            BATCH.c.queue_priority,
            _words("queue_priority", wanted.queue_priorities, PRIORITY_FROM_MESSAGE),
        ),
    ]
    conditions += [_one_of(column, values) for column, values in texts if values]
    if wanted.HasField("id_prefix"):
        conditions += _starts_with(wanted.id_prefix)
    if wanted.HasField("open"):
        conditions.append(BATCH.c.open.is_(wanted.open))
    if wanted.HasField("tag"):
        conditions.append(tagged_with([wanted.tag]))
    return conditions


def _matches_few(wanted: BatchFilter) -> bool:
    """Says whether a filter is one that few batches of a project match, as a rule."""
    # A single value needs no such care: an index has its batches in the order of the list.
    unfinished = len(wanted.statuses) > 1 and _UNFINISHED.issuperset(wanted.statuses)
    return unfinished or len(wanted.user_ids) > 1 or _names_some(wanted)


def _names_some(wanted: BatchFilter) -> bool:
    return bool(wanted.ids) or wanted.HasField("id_prefix")


def queue_conditions(device_type: str, projects: Collection[str]) -> list[ColumnElement[bool]]:
    """Returns the conditions of the batches that wait for or run on a device."""
    waiting = (BatchStatus.PENDING, BatchStatus.RUNNING, BatchStatus.PAUSED)
    return [
        BATCH.c.device_type == device_type,
        BATCH.c.status.in_([status.value for status in waiting]),
        BATCH.c.project_id.in_(sorted(projects)),
    ]


def queue_order() -> list[ColumnElement[Any]]:
    """Returns the order in which batches are served."""
    return [_PRIORITY_RANK.asc(), BATCH.c.seq.asc()]


def tagged_with(tags: Sequence[str]) -> ColumnElement[bool]:
    """Returns the condition that a batch carries one of these tags."""
    wanted = _values("tags", tags)
    tagged = select(BATCH_TAG.c.batch_seq).where(_one_of(BATCH_TAG.c.tag, wanted))
    return BATCH.c.seq.in_(tagged)


def _in_projects(wanted: BatchFilter, projects: Collection[str]) -> ColumnElement[bool]:
    visible = set(projects)
    if wanted.project_ids:
        visible &= set(_uuids("project_id", wanted.project_ids))
    if not visible:
        return false()
    project: ColumnElement[str] = BATCH.c.project_id
    if _names_some(wanted):
        # Keeps the planner from walking through the whole project: these name few batches.
        project = project.concat("")
    return _one_of(project, sorted(visible))


def _ranges(wanted: BatchFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.HasField("min_jobs"):
        conditions.append(BATCH.c.jobs_count >= wanted.min_jobs)
    if wanted.HasField("max_jobs"):
        conditions.append(BATCH.c.jobs_count <= wanted.max_jobs)
    if wanted.HasField("start_time"):
        conditions.append(BATCH.c.start_at >= from_timestamp(wanted.start_time))
    if wanted.HasField("end_time"):
        conditions.append(BATCH.c.end_at <= from_timestamp(wanted.end_time))
    return conditions


def _one_of(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    # With a single value an index also gives the order of the list.
    return column == values[0] if len(values) == 1 else column.in_(values)


def _starts_with(prefix: str) -> list[ColumnElement[bool]]:
    prefix = prefix.lower()
    if not _ID_PREFIX.fullmatch(prefix):
        raise InvalidInput("id__starts_with", "must be the first characters of a UUID")
    # "g" comes after every character of an identifier.
    return [BATCH.c.id >= prefix, BATCH.c.id < prefix + "g"]


def _uuids(field: str, texts: Sequence[str]) -> list[str]:
    return _values(field, texts, lambda text: _uuid(field, text))


def _uuid(field: str, text: str) -> str:
    identifier = canonical_uuid(text)
    if identifier is None:
        raise InvalidInput(field, f"{text[:64]!r} is not a UUID")
    return identifier


def _users(texts: Sequence[str]) -> list[str]:
    # Other issuers may name users in other ways.
    return _values("user_id", texts, lambda text: canonical_uuid(text) or text)


def _words(field: str, values: Sequence[K], words: Mapping[K, str]) -> list[str]:
    def word(value: K) -> str:
        if value not in words:
            raise InvalidInput(field, f"{value} is not known")
        return words[value]

    return _values(field, values, word)


def _values(field: str, values: Sequence[K], convert: Callable[[K], str] = str) -> list[str]:
    if len(values) > MAX_VALUES:
        raise InvalidInput(field, f"has {len(values)} values, and the limit is {MAX_VALUES}")
    return sorted({convert(value) for value in values})
