"""Two servers behind one address: each gets its share, and one alone gets all of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from tweezer.internal.v1 import program_service_pb2 as program
from tweezer.internal.v1.program_service_pb2_grpc import (
    ProgramServiceServicer,
    ProgramServiceStub,
    add_ProgramServiceServicer_to_server,
)
from tweezer.rpc.channel import open_service_channel
from tweezer.rpc.settings import RpcSettings


def count(peer, name: str, calls: Counter[str]) -> None:
    async def called() -> None:
        calls[name] += 1

    peer.handlers.internal = called


async def test_calls_go_to_each_replica_in_turn_and_to_those_that_are_there(run_peer) -> None:
    calls: Counter[str] = Counter()
    async with run_peer() as one:
        count(one, "one", calls)
        async with run_peer() as other:
            count(other, "other", calls)
            address = f"{one.address},{other.address}"
            channel = open_service_channel(one.settings, address)
            stub = ProgramServiceStub(channel)
            while len(calls) < 2:  # until both connections are there
                await stub.GetProgram(program.GetProgramRequest())
            calls.clear()
            for _ in range(20):
                await stub.GetProgram(program.GetProgramRequest())
            assert calls == {"one": 10, "other": 10}
        calls.clear()
        for _ in range(20):
            await stub.GetProgram(program.GetProgramRequest())
        assert calls == {"one": 20}
        await channel.close()


async def test_connections_are_renewed_now_and_then_and_no_call_is_lost(run_peer) -> None:
    """A caller that connects anew asks anew who is behind a name."""
    async with run_peer(connection_life_s=0.05) as peer:
        while len(peer.handlers.connections) < 4:
            await peer.call_inside()


class Stopping(ProgramServiceServicer):
    """Refuses the first calls as a server does that is about to stop."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code, self.left, self.calls = code, 2, 0

    async def GetProgram(self, request: Any, context: Any) -> program.GetProgramResponse:
        self.calls += 1
        if self.left:
            self.left -= 1
            await context.abort(self.code, "stopping")
        return program.GetProgramResponse(sequence="s")


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_calls_that_a_stopping_server_turns_away_are_made_again(
    tmp_path: Path, code: grpc.StatusCode
) -> None:
    server, servicer = grpc.aio.server(), Stopping(code)
    add_ProgramServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with open_service_channel(RpcSettings(data_dir=tmp_path), address) as channel:
        answer = await ProgramServiceStub(channel).GetProgram(program.GetProgramRequest())
    assert (answer.sequence, servicer.calls) == ("s", 3)
    await server.stop(None)
