"""Two servers behind one address: each gets its share, and one alone gets all of it."""

from collections import Counter

from tweezer.internal.v1 import program_service_pb2 as program
from tweezer.internal.v1.program_service_pb2_grpc import ProgramServiceStub
from tweezer.rpc.channel import open_service_channel


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
