"""The statements that must stay quick whatever is stored: SQLite says how it runs them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from tweezer.job.filters import in_batch, selection
from tweezer.job.outcomes import Outcome
from tweezer.job.paging import page_of
from tweezer.job.store import (
    additions,
    backlog,
    cancelling,
    endings,
    exclusive,
    forgetting,
    intents,
    leases,
    measures,
    progress,
    reads,
    result_rows,
)
from tweezer.job.store.announcements import JobNews
from tweezer.job.store.landmarks import keys_further, newer_rows, part_of, placed_queries
from tweezer.v1 import paging_pb2
from tweezer.v1.job_pb2 import JobFilter

PROJECT = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
BATCH = "33333333-3333-4333-8333-333333333333"

Plan = list[str]


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
def plans(tables) -> Callable[..., list[Plan]]:
    """Returns the plans of the statements that some work runs."""

    def plans(work: Callable[[Any], object]) -> list[Plan]:
        statements: list[tuple[str, Any]] = []

        def keep(_: Any, __: Any, statement: str, values: Any, ___: Any, many: bool) -> None:
            statements.append((statement, values[0] if many else values))

        event.listen(tables.engine, "before_cursor_execute", keep)
        tables(work)
        event.remove(tables.engine, "before_cursor_execute", keep)

        def explain(connection: Any) -> list[Plan]:
            run = connection.connection.execute
            return [
                [row[-1] for row in run(f"EXPLAIN QUERY PLAN {statement}", values)]
                for statement, values in statements
                if statement.startswith(("SELECT", "UPDATE", "DELETE"))
            ]

        return tables(explain)

    return plans


def unsorted(plan: Plan) -> bool:
    return not any("TEMP B-TREE" in line for line in plan)


def test_the_next_in_line_come_out_of_the_index_in_order(plans) -> None:
    *_, update = plans(lambda c: leases.take(c, ["EMU_FREE"], 10, 2, 1))
    assert "SEARCH job USING INDEX ix_job_lease_order (device_type=?)" in update
    assert unsorted(update)
    assert not any(line.startswith("SCAN job") for line in update)


def test_each_of_several_devices_has_its_order(plans) -> None:
    *_, update = plans(lambda c: leases.take(c, ["A", "B", "C"], 10, 2, 1))
    queue = "SEARCH job USING INDEX ix_job_lease_order (device_type=?)"
    assert update.count(queue) == 3
    # What is sorted are the few heads of the queues.
    assert [line for line in update if "TEMP B-TREE" in line] == ["USE TEMP B-TREE FOR ORDER BY"]


@pytest.mark.parametrize("devices", [1, 3])
def test_what_an_exclusive_device_runs_next_is_looked_up(plans, devices: int) -> None:
    (plan,) = plans(lambda c: exclusive.next_jobs(c, ["A", "B", "C"][:devices]))
    searches = {
        "SEARCH job USING INDEX ix_job_exclusive_batch (batch_id=?)",
        "SEARCH queued_batch USING INDEX ix_queued_batch_reserving (device_type=? AND start_at>?)",
        "SEARCH waiting USING INDEX ix_job_exclusive_order (device_type=?)",
        "SEARCH leased USING INDEX uq_job_exclusive_leased (device_type=?)",
    }
    found = [line for line in plan if line.startswith("SEARCH")]
    assert set(found) == searches
    assert len(found) == 4 * devices
    # What is scanned are the few jobs found, one for each device.
    assert not any(line.startswith(("SCAN job", "SCAN queued")) for line in plan)
    assert unsorted(plan)


def test_jobs_of_exclusive_devices_are_leased_by_their_keys(plans, tables) -> None:
    tables.add(2, device_type="A", exclusive=True)
    _, _, update, *_ = plans(lambda c: leases.take(c, ["A", "B"], 10, 2, 1))
    assert "SEARCH job USING INTEGER PRIMARY KEY (rowid=?)" in update
    assert not any(line.startswith("SCAN job") for line in update)


def test_polling_a_status_is_one_look_up(plans) -> None:
    (plan,) = plans(lambda c: c.execute(reads._STATUS.query, {"named": "x"}))
    (line,) = plan
    assert line.startswith("SEARCH job USING INDEX")
    assert line.endswith("(id=?)")


def test_a_job_is_two_look_ups(plans) -> None:
    (plan,) = plans(lambda c: c.execute(reads._JOB.query, {"named": "x"}))
    assert [line.rsplit(" ", 1)[1] for line in plan] == ["(id=?)", "(id=?)"]


def listing(wanted: JobFilter, projects: list[str], **page: Any) -> Callable[[Any], object]:
    return lambda c: c.execute(
        reads.page_query(selection(wanted, projects), page_of(paging_pb2.Page(**page)))
    )


def test_the_newest_of_a_project_come_out_of_an_index_in_order(plans) -> None:
    (plan,) = plans(listing(JobFilter(), [PROJECT]))
    assert plan == ["SEARCH job USING INDEX ix_job_project_created (project_id=?)"]


def test_what_is_passed_over_is_read_from_the_index_alone(plans) -> None:
    (plan,) = plans(listing(JobFilter(), [PROJECT], skip=100_000))
    assert "SEARCH job USING COVERING INDEX ix_job_project_created (project_id=?)" in plan


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "ix_job_project_created (project_id=?"),
        (JobFilter(user_ids=["u"]), "ix_job_project_user_created (project_id=? AND user_id=?"),
    ],
)
def test_what_lies_beyond_a_landmark_is_a_range_of_an_index(plans, wanted, index: str) -> None:
    queries = placed_queries(PROJECT, selection(wanted, [PROJECT]).where)

    def everything(connection: Any) -> None:
        assert list(keys_further(connection, queries, (1, 1), 5000, 2)) == []
        assert newer_rows(connection, queries, (1, 1), 20_000) == 0
        for descending in (False, True):
            assert part_of(connection, queries, (1, 1), 10, 10, descending=descending) == []

    further, newer, upwards, downwards = plans(everything)
    search = f"SEARCH job USING COVERING INDEX {index} AND created_at"
    assert further == [f"{search}>? AND created_at<?)"]
    assert f"{search}>?)" in newer
    assert unsorted(newer)
    # What is sorted is the page.
    assert f"{search}>?)" in upwards
    assert f"{search}<?)" in downwards
    for plan in (upwards, downwards):
        assert plan[0] == "SEARCH job USING INTEGER PRIMARY KEY (rowid=?)"
        assert sum("TEMP B-TREE" in line for line in plan) == 1


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(statuses=[1]), "ix_job_project_status_created (project_id=? AND status=?)"),
        (JobFilter(user_ids=["u"]), "ix_job_project_user_created (project_id=? AND user_id=?)"),
    ],
)
def test_the_newest_of_a_status_or_a_user_come_out_in_order(plans, wanted, index: str) -> None:
    (plan,) = plans(listing(wanted, [PROJECT]))
    assert plan == [f"SEARCH job USING INDEX {index}"]


def test_the_newest_of_several_projects_and_statuses_are_merged(plans) -> None:
    (plan,) = plans(listing(JobFilter(statuses=[1, 2]), [PROJECT, OTHER]))
    part = (
        "SEARCH job USING COVERING INDEX ix_job_project_status_created (project_id=? AND status=?)"
    )
    assert plan.count(part) == 4
    assert not any(line.startswith("SCAN job") for line in plan)


def test_the_jobs_of_a_batch_come_out_of_its_index_in_creation_order(plans) -> None:
    page = {"order_by": "creation_order", "direction": paging_pb2.SORT_DIRECTION_ASC}
    (plan,) = plans(listing(JobFilter(batch_ids=[BATCH]), [PROJECT, OTHER], **page))
    (line,) = plan
    assert line.startswith("SEARCH job USING INDEX")
    assert line.endswith("(batch_id=?)")


@pytest.mark.parametrize(
    ("wanted", "search"),
    [
        (JobFilter(ids=[BATCH, OTHER]), "(id=?)"),
        (JobFilter(id_prefix="ab"), "(id>? AND id<?)"),
        (JobFilter(batch_ids=[BATCH, OTHER]), "(batch_id=?)"),
    ],
)
def test_named_jobs_are_found_by_their_names(plans, wanted, search: str) -> None:
    (page,) = plans(listing(wanted, [PROJECT, OTHER]))
    (count,) = plans(lambda c: c.execute(reads.count_query(selection(wanted, [PROJECT]))))
    assert page[0].endswith(search)
    assert count[0].endswith(search)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "(project_id=?)"),
        (JobFilter(statuses=[1]), "(project_id=? AND status=?)"),
        (JobFilter(user_ids=["u"]), "(project_id=? AND user_id=?)"),
    ],
)
def test_counting_reads_an_index_alone(plans, wanted, index: str) -> None:
    (plan,) = plans(lambda c: c.execute(reads.count_query(selection(wanted, [PROJECT]))))
    (line,) = plan
    assert line.startswith("SEARCH job USING COVERING INDEX")
    assert line.endswith(index)


@pytest.mark.parametrize(
    "work",
    [
        leases.earliest_expiry,
        additions.earliest_check,
        lambda c: additions.due(c, 1),
        lambda c: progress.unreported(c, 0, 10),
        progress.any_end_unreported,
        lambda c: endings.expire(c, 3, 1),
        lambda c: leases.renew(c, [leases.Renewal("1.x", 1)], 2, 1),
        lambda c: endings.held_jobs(c, ["1.x", "2.y"]),
        lambda c: progress.of_batches(c, [BATCH, OTHER]),
        lambda c: reads.queued(c, in_batch(JobFilter(), BATCH, [PROJECT])),
        lambda c: reads.jobs(c, [BATCH, OTHER]),
        lambda c: reads.jobs_in_batch(c, BATCH, [OTHER]),
        lambda c: result_rows.owners(c, [BATCH, OTHER]),
        lambda c: result_rows.stored(c, 1),
        backlog.unfinished_jobs,
        lambda c: forgetting.forget(c, BATCH),
    ],
    ids=[
        "expiry",
        "check",
        "due",
        "unreported",
        "ended",
        "expired",
        "renew",
        "held",
        "progress",
        "queued",
        "jobs",
        "of a batch",
        "owners",
        "stored",
        "unfinished",
        "forget",
    ],
)
def test_the_loops_and_the_workers_use_an_index(plans, work) -> None:
    for plan in plans(work):
        assert all("INDEX" in line or "INTEGER PRIMARY KEY" in line for line in plan)
        assert unsorted(plan)


def test_what_is_held_of_some_batches_is_found_by_the_batches(plans) -> None:
    (plan,) = plans(lambda c: additions.doubt(c, [BATCH, OTHER], 1))
    # What is sorted is what is held of them.
    assert plan == [
        "SEARCH queued_addition USING INDEX ix_queued_addition_batch_id (batch_id=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ]


def test_every_change_finds_its_rows_by_an_index(plans, tables) -> None:
    addition = tables.add(2)
    orphan = tables.enqueue(tables.addition(1))
    finished = tables.add(1)
    tables.intend(finished.batch.id, 2, cancelled=True)

    def everything(connection: Any) -> None:
        (batch,) = leases.take(connection, ["EMU_FREE"], 1, 9, 1)
        endings.end(connection, [endings.Ending(batch.leases[0].token, Outcome.RELEASED)], 3, 2)
        for version, wish in ((2, (False, True)), (3, (True, False))):
            intent = intents.Intent(addition.batch.id, version, [addition.id], *wish)
            intents.apply(connection, [intent], 3)
        additions.drop(connection, [orphan.id])
        old = result_rows.StoredResult(1, 2, "job", "key")
        result_rows.record_removal(connection, [old], 3)
        for wanted in (JobFilter(), JobFilter(ids=[BATCH]), JobFilter(statuses=[1])):
            where = in_batch(wanted, addition.batch.id, [PROJECT, OTHER]).where
            cancelling.cancel_selected(connection, where, 4)
            cancelling.cancel_selected(connection, (*where, cancelling.not_final()), 5)
        assert forgetting.forget(connection, finished.batch.id).jobs == 1

    found = plans(everything)
    assert len(found) > 15
    for plan in found:
        assert not any(line.startswith("SCAN") for line in plan), plan


@pytest.mark.parametrize(
    "look",
    [
        measures.queue_lengths,
        measures.leases_held,
        measures.additions_held,
        measures.batches_unreported,
    ],
)
def test_what_is_measured_is_counted_in_indexes_of_what_is_unfinished(look, plans) -> None:
    for plan in plans(look):
        assert all("INDEX ix_" in line for line in plan), plan
        assert unsorted(plan)


def test_what_must_be_announced_is_found_by_index(plans) -> None:
    """Most jobs are final and announced, or nobody wants to be told."""
    look, choose = plans(lambda c: (JobNews().waits(c), JobNews().take(c, 100)))
    assert look == ["SCAN job USING INDEX ix_job_unannounced"]
    assert choose[0] == "SCAN job USING INDEX ix_job_unannounced"
    assert choose[1].startswith("SEARCH queued_batch USING INDEX")
