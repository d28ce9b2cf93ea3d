"""What crashes and deletions leave behind is put in order."""

import asyncio

import pytest
from sqlalchemy import insert

from tweezer.batch.intent_loop import IntentLoop
from tweezer.batch.models import ADDITION, PROGRAM
from tweezer.batch.progress_intake import ProgressIntake
from tweezer.batch.recovery import GIVEN_UP_KEPT, Recovered, Recovery
from tweezer.batch.store.additions import give_up_uncommitted
from tweezer.batch.watch import BatchChanges
from tweezer.database.opening import open_database
from tweezer.database.timestamps import now_micros
from tweezer.internal.v1.queue_service_pb2_grpc import QueueServiceStub
from tweezer.rpc.channel import open_service_channel
from tweezer.v1.batch_pb2 import NewJob

NOTHING = Recovered(0, 0, 0, 0)


@pytest.fixture
async def recovery(place, stubs):
    """A sweep beside the service's own, at a time that a test can set."""
    database = open_database(place.settings.batch_database, place.settings.database_connections)
    async with open_service_channel(place.settings, place.settings.job_address) as channel:
        progress = ProgressIntake(database, BatchChanges())
        intents = IntentLoop(database, QueueServiceStub(channel), progress, 10)

        def at(time):
            return Recovery(database, intents, 3600, clock=lambda: time)

        at.database = database
        yield at
    await database.close()


async def test_nothing_that_is_needed_is_touched(place, create, recovery, sequences):
    await create(jobs=[NewJob(sequence=sequences.unmeasured), NewJob()], request_id="x")
    await place.until_all_is_told()
    assert await recovery(now_micros()).sweep() == NOTHING
    assert place.rows("SELECT count(*) FROM program") == [(2,)]
    assert place.rows("SELECT count(*) FROM request") == [(1,)]
    assert place.rows("SELECT count(*) FROM addition") == [(1,)]


async def test_what_was_given_up_is_forgotten_after_long(place, create, recovery):
    await create()
    await place.until_all_is_told()
    now = now_micros()
    await recovery.database.write(lambda c: give_up_uncommitted(c, ["old"], now - GIVEN_UP_KEPT))
    await recovery.database.write(lambda c: give_up_uncommitted(c, ["young"], now))
    swept = await recovery(now + 1).sweep()
    assert swept == Recovered(0, given_up_additions=1, unused_programs=0, expired_requests=0)
    assert place.rows("SELECT id FROM addition WHERE batch_id IS NULL") == [("young",)]
    assert place.rows("SELECT count(*) FROM addition") == [(2,)]
    assert await recovery(now + 1).sweep() == NOTHING


async def test_names_expire(place, create, recovery):
    await create(request_id="x")
    await place.until_all_is_told()
    tomorrow = now_micros() + 24 * 3600 * 1_000_000
    assert (await recovery(tomorrow - 3600 * 1_000_000).sweep()).expired_requests == 0
    assert (await recovery(tomorrow).sweep()).expired_requests == 1
    assert place.rows("SELECT count(*) FROM request") == [(0,)]


async def test_sequences_that_no_batch_uses_are_deleted(place, create, recovery):
    await create()
    await place.until_all_is_told()
    rows = [
        {"hash": f"unused {n}", "sequence": "{}", "created_at": 0, "tracked": True}
        for n in range(250)
    ]
    # Of this one it is not known who uses it.
    rows.append({"hash": "old", "sequence": "{}", "created_at": 0, "tracked": False})
    await recovery.database.write(lambda c: c.execute(insert(PROGRAM), rows))
    assert (await recovery(now_micros()).sweep()).unused_programs == 250
    left = {row[0] for row in place.rows("SELECT hash FROM program")}
    assert len(left) == 2
    assert "old" in left


async def test_the_service_sweeps_when_it_starts(place, user, new_batch):
    async with place.running() as stubs:
        await stubs.batches.CreateBatch(new_batch(), metadata=user.metadata)
        await place.until_all_is_told()
    database = open_database(place.settings.batch_database, place.settings.database_connections)
    await database.write(lambda c: c.execute(insert(ADDITION), {"id": "old", "created_at": 0}))
    await database.close()
    async with place.running(), asyncio.timeout(60):
        while True:
            if not place.rows("SELECT 1 FROM addition WHERE id = 'old'"):
                break
            await asyncio.sleep(0.005)


async def test_intents_that_wait_are_counted(place, create, recovery):
    batch_id = (await create()).batch.id
    await place.until_all_is_told()
    await recovery.database.write(
        lambda c: c.exec_driver_sql("UPDATE batch SET acknowledged_version = 0")
    )
    assert (await recovery(now_micros()).sweep()).waiting_intents == 1
    assert place.rows("SELECT id FROM batch") == [(batch_id,)]
