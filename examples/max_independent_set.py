"""Finds the maximum independent set of a graph, over the gRPC API.

tweezer up                       # in another terminal
python examples/max_independent_set.py

Clients in other languages are generated from the files in `protos/tweezer/v1`.
"""

import asyncio
import json
import subprocess
from typing import Any

import grpc

from tweezer.cli.programs import max_independent_set
from tweezer.v1.account_service_pb2 import IssueTokenRequest
from tweezer.v1.account_service_pb2_grpc import AccountServiceStub
from tweezer.v1.batch_pb2 import BatchStatus, NewJob
from tweezer.v1.batch_service_pb2 import CreateBatchRequest, WatchBatchRequest
from tweezer.v1.batch_service_pb2_grpc import BatchServiceStub
from tweezer.v1.job_service_pb2 import GetResultRequest
from tweezer.v1.job_service_pb2_grpc import JobServiceStub


def main() -> None:
    """Submits sweeps of different durations and prints how often each finds the answer."""
    facts = json.loads(subprocess.check_output(["tweezer", "connection", "--json"]))
    asyncio.run(run(facts))


async def run(facts: dict[str, Any]) -> None:
    """Submits the batch, watches it and reads the results."""
    program = max_independent_set.program()
    async with (
        grpc.aio.insecure_channel(facts["grpc"]["batch"]) as batch_channel,
        grpc.aio.insecure_channel(facts["grpc"]["job"]) as job_channel,
    ):
        token = await AccountServiceStub(batch_channel).IssueToken(
            IssueTokenRequest(username=facts["username"], password=facts["password"])
        )
        credential = (("authorization", f"Bearer {token.access_token}"),)
        batches, jobs = BatchServiceStub(batch_channel), JobServiceStub(job_channel)

        created = await batches.CreateBatch(
            CreateBatchRequest(
                project_id=facts["project_id"],
                sequence=program.sequence,
                device_type="EMU_FREE",
                jobs=[
                    NewJob(runs=job.runs, variables_json=json.dumps(dict(job.variables)))
                    for job in program.jobs
                ],
            ),
            metadata=credential,
        )
        watch = batches.WatchBatch(
            WatchBatchRequest(batch_id=created.batch.id), metadata=credential
        )
        async for state in watch:  # ends when the batch is final
            print(f"{BatchStatus.Name(state.status)}: {state.job_counts.done} jobs done")

        (answer,) = max_independent_set.solutions()
        for job, planned in zip(created.jobs, program.jobs, strict=True):
            chunks = [
                part.chunk
                async for part in jobs.GetResult(
                    GetResultRequest(job_id=job.id), metadata=credential
                )
            ]
            counter = json.loads(b"".join(chunks))["counter"]
            share = counter.get(answer, 0) / sum(counter.values())
            print(f"{planned.label:>8}  {answer} in {share:.0%} of the shots")


if __name__ == "__main__":
    main()
