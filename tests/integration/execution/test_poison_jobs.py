"""Jobs that are bad for their workers, with a real job service and a real engine."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("device_type", "program", "reason"),
    [
        ("CRASH", "SIGSEGV", "The worker was lost 3 times: The worker process crashed (SIGSEGV)."),
        ("CRASH", "3", "The worker was lost 3 times: The worker process ended unexpectedly with"),
        ("CRASH", "SIGKILL", "The worker was lost 3 times: The worker process was killed by the"),
        ("ALLOCATE", "x", "The worker was lost 3 times: The emulation ran out of memory: use"),
    ],
)
async def test_a_poison_job_ends_with_the_reason_and_others_go_on(
    pair: Any, device_type: str, program: str, reason: str
) -> None:
    poisoned = await pair.add(device_type, program)
    healthy = await pair.add("CHATTER", *(str(number) for number in range(20)))
    counts = await pair.batch_side.ended(healthy, 20)
    assert counts.done == 20
    counts = await pair.batch_side.ended(poisoned, 1)
    assert counts.error == 1
    status, attempts, error = pair.job(poisoned)
    assert (status, attempts) == ("ERROR", 3)
    assert error.startswith(reason)


async def test_a_job_over_its_time_limit_is_not_tried_again(pair: Any) -> None:
    before = pair.engine.pids
    hanging = await pair.add("HANG", "x")
    await pair.batch_side.ended(hanging, 1)
    status, attempts, error = pair.job(hanging)
    assert (status, attempts) == ("ERROR", 1)
    assert error == "The job was stopped at the time limit of 0.2 s."
    after = await pair.add("CHATTER", *(str(number) for number in range(20)))
    assert (await pair.batch_side.ended(after, 20)).done == 20
    assert not before <= pair.engine.pids
