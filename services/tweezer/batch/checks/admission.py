"""Checks everything of a new batch before anything of it is stored."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, TypeVar

from tweezer.batch.checks.admitted import (
    CheckedBatch,
    CheckedJob,
    CheckedJobs,
    CheckedProgram,
)
from tweezer.batch.checks.device_choice import device_of_sequences, device_of_type
from tweezer.batch.checks.durations import check_duration, check_durations
from tweezer.batch.checks.facts import Refused
from tweezer.batch.checks.fields import check_configuration, check_tags, check_webhook
from tweezer.batch.checks.jobs import check_job, check_program
from tweezer.batch.checks.programs import Programs, content_hash
from tweezer.batch.devices.catalogue import Catalogue, Device
from tweezer.batch.settings import BatchSettings
from tweezer.rpc.errors import InvalidInput
from tweezer.v1.batch_pb2 import NewJob
from tweezer.v1.batch_service_pb2 import CreateBatchRequest

T = TypeVar("T")

#: Jobs that are checked before other calls get a turn; some milliseconds' worth.
_JOBS_AT_A_TIME: Final = 200


class Admission:
    """Says whether a batch can be taken in."""

    def __init__(self, programs: Programs, catalogue: Catalogue, settings: BatchSettings) -> None:
        self._programs, self._catalogue, self._settings = programs, catalogue, settings

    async def check(self, request: CreateBatchRequest) -> CheckedBatch:
        """Returns what the request says, or raises InvalidInput."""
        # What is cheap comes first.
        tags = self._check_fields(request)
        if request.HasField("device_type"):
            device_of_type(self._catalogue, request.device_type)
        if request.HasField("backend_configuration"):
            check = self._programs.check_configuration(request.backend_configuration)
            await _blaming("backend_configuration", check)
        program = None
        if request.HasField("sequence"):
            program = await self._check_program("sequence_builder", request.sequence)
        job_programs = await self._check_job_programs(request.jobs)
        device = self._device(request, program, job_programs)
        if program is not None:
            check_program("sequence_builder", program.facts, device)
        jobs = await self._check_jobs(request.jobs, program, job_programs, device)
        return CheckedBatch(device, program, jobs, job_programs, tags)

    async def check_added(
        self, device_type: str, sequence: str | None, jobs: Sequence[NewJob]
    ) -> CheckedJobs:
        """Returns what jobs say that are added to a batch, or raises InvalidInput.

        Retrying a job sends what was read of it: its variables and the sequence built with them.
        """
        if not jobs:
            raise InvalidInput("jobs", "at least one is needed")
        self._check_count(len(jobs))
        device = device_of_type(self._catalogue, device_type)
        program = None
        if sequence is not None:
            program = await self._check_program("sequence_builder", sequence)
        job_programs = await self._check_job_programs(jobs)
        checked = await self._check_jobs(
            jobs, program, job_programs, device, values_beside_sequence=True
        )
        return CheckedJobs(device, checked, {p.hash: p.text for p in job_programs.values()})

    def check_device(self, device_type: str) -> Device:
        """Returns the device of a batch that is repeated, or raises InvalidInput."""
        return device_of_type(self._catalogue, device_type)

    def check_tags(self, tags: Sequence[str]) -> list[str]:
        """Returns the tags without repetitions, or raises InvalidInput."""
        return check_tags(tags, self._settings.max_tags, self._settings.max_tag_length)

    def _check_count(self, count: int) -> None:
        limit = self._settings.max_jobs_per_batch
        if count > limit:
            raise InvalidInput("jobs", f"there are {count}, and the limit is {limit}")

    def _check_fields(self, request: CreateBatchRequest) -> list[str]:
        settings = self._settings
        count = len(request.jobs)
        if count == 0 and not request.open:
            raise InvalidInput("jobs", "at least one is needed unless the batch is open")
        self._check_count(count)
        own = any(job.HasField("sequence") for job in request.jobs)
        if count and not own and not request.HasField("sequence"):
            raise InvalidInput(
                "sequence_builder", "is needed unless each job has a sequence of its own"
            )
        if request.HasField("webhook"):
            check_webhook(request.webhook, allow_private=settings.webhook_allow_private)
        if request.HasField("configuration_json"):
            check_configuration(request.configuration_json, settings.max_configuration_bytes)
        return self.check_tags(request.tags)

    async def _check_program(self, field: str, text: str) -> CheckedProgram:
        program_hash = content_hash(text)
        facts = await _blaming(field, self._programs.check_sequence(text, program_hash))
        if not facts.has_instructions:
            raise InvalidInput(field, "the sequence tells no channel to do anything")
        check_duration(field, facts.duration_ns, self._settings.max_sequence_ns)
        return CheckedProgram(program_hash, text, facts)

    async def _check_job_programs(self, jobs: Sequence[NewJob]) -> dict[int, CheckedProgram]:
        # One after the other: a single batch must not take all the places in the queue.
        return {
            index: await self._check_program(f"jobs[{index}].sequence", job.sequence)
            for index, job in enumerate(jobs)
            if job.HasField("sequence")
        }

    def _device(
        self,
        request: CreateBatchRequest,
        program: CheckedProgram | None,
        job_programs: Mapping[int, CheckedProgram],
    ) -> Device:
        if request.HasField("device_type"):
            return device_of_type(self._catalogue, request.device_type)
        programs = job_programs.values() if program is None else [program]
        return device_of_sequences(self._catalogue, (p.facts.device_name for p in programs))

    async def _check_jobs(
        self,
        jobs: Sequence[NewJob],
        program: CheckedProgram | None,
        job_programs: Mapping[int, CheckedProgram],
        device: Device,
        *,
        values_beside_sequence: bool = False,
    ) -> list[CheckedJob]:
        checked: list[CheckedJob] = []
        for index, job in enumerate(jobs):
            if index and index % _JOBS_AT_A_TIME == 0:
                await asyncio.sleep(0)  # thousands of jobs must not hold up the other calls
            own = job_programs.get(index)
            checked.append(
                check_job(
                    f"jobs[{index}]",
                    job,
                    program,
                    own,
                    device,
                    self._settings.max_runs,
                    values_beside_sequence=values_beside_sequence,
                )
            )
        if program is not None and program.facts.duration_ns is None:
            await check_durations(self._programs, program, checked, self._settings.max_sequence_ns)
        return checked


async def _blaming(field: str, check: Awaitable[T]) -> T:
    try:
        return await check
    except Refused as refused:
        raise InvalidInput(field, str(refused)) from None
