"""Who made, cancelled and held back what, as the audit log has it."""

import json
import logging

import pytest

from tweezer.process.audit_log import LOGGER
from tweezer.v1 import batch_service_pb2 as pb
from tweezer.v1 import operator_service_pb2 as operators
from tweezer.v1.batch_pb2 import NewJob


@pytest.fixture
def backend():
    return "sqlite"  # nothing of it depends on the database


async def test_what_is_done_to_batches_and_devices(place, stubs, new_batch, user, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    boss = place.operator()

    def lines(event):
        records = [json.loads(r.message) for r in caplog.records if r.name == LOGGER]
        return [line for line in records if line["event"] == event]

    request = new_batch(open=True)
    batch_id = (await stubs.batches.CreateBatch(request, metadata=user.metadata)).batch.id
    (created,) = lines("batch created")
    facts = created["by"], created["project_id"], created["batch.id"], created["outcome"]
    assert facts == (user.user_id, request.project_id, batch_id, "OK")
    assert request.sequence not in caplog.text

    batches, run = stubs.batches, stubs.operators
    named = {"batch_id": batch_id}
    calls = {
        "batch tagged": (user, batches.SetBatchTags, pb.SetBatchTagsRequest(**named)),
        "jobs added": (user, batches.AddJobs, pb.AddJobsRequest(**named, jobs=[NewJob()])),
        "batch paused": (boss, run.PauseBatch, operators.PauseBatchRequest(**named)),
        "batch resumed": (boss, run.ResumeBatch, operators.ResumeBatchRequest(**named)),
        "batch closed": (user, batches.CloseBatch, pb.CloseBatchRequest(**named)),
        "batch cancelled": (user, batches.CancelBatch, pb.CancelBatchRequest(**named)),
        "batches cancelled": (
            user,
            batches.CancelBatches,
            pb.CancelBatchesRequest(batch_ids=[batch_id]),
        ),
        "device paused": (
            boss,
            run.PauseDevice,
            operators.PauseDeviceRequest(device_type="EMU_FREE"),
        ),
        "device resumed": (
            boss,
            run.ResumeDevice,
            operators.ResumeDeviceRequest(device_type="EMU_FREE"),
        ),
    }
    for event, (caller, method, asked) in calls.items():
        await method(asked, metadata=caller.metadata)
        (line,) = lines(event)
        assert (line["by"], line["outcome"]) == (caller.user_id, "OK"), event
        assert batch_id in json.dumps(line) or line["device_type"] == "EMU_FREE", event
