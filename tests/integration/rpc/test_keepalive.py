"""A neighbour that is there but does not answer any more: a stopped process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tweezer.internal.v1 import program_service_pb2 as program
from tweezer.internal.v1 import program_service_pb2_grpc as program_grpc
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.settings import RpcSettings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops a process by a signal")

#: Serves a method that answers at once, or never when it is asked for a program called `never`.
SERVER = """
import asyncio, sys
from tweezer.internal.v1 import program_service_pb2 as pb
from tweezer.internal.v1 import program_service_pb2_grpc as pb_grpc
from tweezer.rpc.server import build_server, start_server
from tweezer.rpc.settings import RpcSettings

class Programs(pb_grpc.ProgramServiceServicer):
    async def GetProgram(self, request, context):
        if request.program_hash == "never":
            print("asked", file=sys.stderr, flush=True)
            await asyncio.Event().wait()
        return pb.GetProgramResponse(sequence="s")

async def main():
    server = build_server(RpcSettings())
    pb_grpc.add_ProgramServiceServicer_to_server(Programs(), server)
    print(await start_server(server, "127.0.0.1:0", []), flush=True)
    await server.wait_for_termination()

asyncio.run(main())
"""


@pytest.fixture
async def neighbour(tmp_path: Path) -> AsyncIterator[Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER),
        env={**os.environ, "TWEEZER_DATA_DIR": str(tmp_path), "TWEEZER_KEEPALIVE_S": "0.5"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    yield process
    process.kill()
    await process.wait()


@pytest.mark.slow
async def test_a_call_to_it_fails_long_before_its_deadline(neighbour, tmp_path):
    settings = RpcSettings(data_dir=tmp_path, keepalive_s=0.5, keepalive_timeout_s=0.5)
    port = int(await neighbour.stdout.readline())
    async with open_service_channel(settings, f"127.0.0.1:{port}") as channel:
        stub = program_grpc.ProgramServiceStub(channel)
        await stub.GetProgram(program.GetProgramRequest())
        call = asyncio.ensure_future(
            stub.GetProgram(program.GetProgramRequest(program_hash="never"), timeout=3600)
        )
        assert await neighbour.stderr.readline() == b"asked\n"
        neighbour.send_signal(signal.SIGSTOP)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call, 120)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        neighbour.send_signal(signal.SIGCONT)
        # It is found again, and is not held against us that we asked so often.
        response = await stub.GetProgram(program.GetProgramRequest(), wait_for_ready=True)
        assert response.sequence == "s"


async def test_a_long_call_to_one_that_lives_is_not_disturbed(neighbour, tmp_path):
    settings = RpcSettings(data_dir=tmp_path, keepalive_s=0.1, keepalive_timeout_s=30)
    port = int(await neighbour.stdout.readline())
    async with open_service_channel(settings, f"127.0.0.1:{port}") as channel:
        stub = program_grpc.ProgramServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            # Some twenty pings long; a server that counts them breaks the connection at the third.
            await stub.GetProgram(program.GetProgramRequest(program_hash="never"), timeout=2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
