"""Every RPC with every kind of credential: the right refusal, or none.

The server has all RPCs of ours, whose handlers do nothing: what answers at all, was let in.
"""

import importlib
from pathlib import Path

import grpc
import pytest
from forged_tokens import Forge
from google.protobuf import message_factory

from tweezer.identity.settings import IdentitySettings
from tweezer.rpc.access import ACCESS, Access
from tweezer.rpc.server import build_server, start_server

Code = grpc.StatusCode
GENERATED = Path(__file__).parents[3] / "protos" / "_generated"


def services():
    for file in sorted(GENERATED.rglob("*_service_pb2.py")):
        name = ".".join(file.relative_to(GENERATED).with_suffix("").parts)
        yield from importlib.import_module(name).DESCRIPTOR.services_by_name.values()


METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in services()
    for method in service.methods
}


def handler_of(method):
    """Returns a handler that answers with nothing."""
    request, response = (
        message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type)
    )

    async def answer(_request, _context):
        return response()

    async def stream(_request, _context):
        yield response()

    make = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        stream if method.server_streaming else answer,
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )


@pytest.fixture
async def everything(tmp_path):
    """A server with every RPC of ours; gives what calls one with a credential."""
    settings = IdentitySettings(data_dir=tmp_path)
    forge = Forge(settings)
    server = build_server(settings)
    for service in services():
        handlers = {method.name: handler_of(method) for method in service.methods}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service.full_name, handlers),)
        )
    port = await start_server(server, "127.0.0.1:0", [])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def call(rpc, credential):
            metadata = () if credential is None else (("authorization", credential),)
            if METHODS[rpc].server_streaming:
                stream = channel.unary_stream(rpc)(b"", metadata=metadata)
                async for _ in stream:
                    break
                else:
                    return await stream.code(), await stream.details()
                return Code.OK, ""
            made = channel.unary_unary(rpc)(b"", metadata=metadata)
            return await made.code(), await made.details()

        yield forge, call
    await server.stop(None)


def test_the_matrix_is_of_all_rpcs():
    assert set(METHODS) == {rpc for rpc in ACCESS if rpc.startswith("/tweezer.")}


async def outcome(call, rpc, credential):
    try:
        return await call(rpc, credential)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()


async def test_bad_credentials_open_nothing(everything):
    forge, call = everything
    for name, credential in forge.bad_credentials().items():
        for rpc in METHODS:
            code, details = await outcome(call, rpc, credential)
            expected = {
                Access.ANYBODY: Code.OK,
                Access.USER: Code.UNAUTHENTICATED,
                Access.OPERATOR: Code.UNAUTHENTICATED,
                Access.SERVICE: Code.OK if name == "service credential" else Code.NOT_FOUND,
            }[ACCESS[rpc]]
            assert code is expected, f"{name}: {rpc}"
            if code is Code.UNAUTHENTICATED:
                # Why a token is not valid is the business of nobody who made it up.
                allowed = {"a bearer token is needed", "the token is not valid"}
                assert details in allowed | {"the token has expired"}, f"{name}: {rpc}"


@pytest.mark.parametrize("operator", [False, True])
async def test_a_good_token_opens_what_is_its_own(everything, operator):
    forge, call = everything
    credential = f"Bearer {forge.token(operator=operator)}"
    for rpc in METHODS:
        allowed = {Access.ANYBODY, Access.USER} | ({Access.OPERATOR} if operator else set())
        expected = Code.OK if ACCESS[rpc] in allowed else Code.NOT_FOUND
        assert (await outcome(call, rpc, credential))[0] is expected, rpc
