"""From a lease to a task."""

from tweezer.execution.emulators.task import Limits, Task
from tweezer.execution.lease_loop import task_of
from tweezer.execution.settings import ExecutionSettings
from tweezer.internal.v1.lease_service_pb2 import JobLease, LeasedBatch


def test_what_is_absent_in_the_lease_is_none_in_the_task() -> None:
    task = task_of(
        LeasedBatch(device_type="EMU_FREE"), JobLease(), "hash", "{}", ExecutionSettings()
    )
    assert task == Task("EMU_FREE", "{}", "hash", Limits(), integrator="fastest", share=True)


def test_everything_in_the_lease_is_in_the_task() -> None:
    batch = LeasedBatch(
        device_type="EMU_FREE", backend_configuration="{1}", configuration_json="{2}"
    )
    lease = JobLease(runs=12, variables_json="{3}")
    task = task_of(batch, lease, "hash", "{}", ExecutionSettings())
    assert task == Task(
        "EMU_FREE", "{}", "hash", Limits(), 12, "{3}", "{1}", "{2}", "fastest", True
    )
