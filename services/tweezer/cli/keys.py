"""`tweezer keys`: the keys of an installation, and that which tokens are signed with."""

from typing import Annotated

import typer

from tweezer.cli.new_keys import make
from tweezer.cli.operators import Operator, operate
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.users import identity_stub, say

keys = typer.Typer(help="Make keys, or replace that which signs tokens.", no_args_is_help=True)
keys.command("make")(make)


@keys.command("rotate")
def rotate(
    revoke_tokens: Annotated[
        bool,
        typer.Option(
            "--revoke-tokens",
            help="Make all earlier tokens worthless at once: for a key that others have.",
        ),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Sign tokens with a new key; those that are out stay good until they expire."""

    async def change(operator: Operator) -> None:
        from tweezer.v1.identity_admin_service_pb2 import RotateSigningKeyRequest

        request = RotateSigningKeyRequest(revoke_tokens=revoke_tokens)
        answer = await identity_stub(operator).RotateSigningKey(request, metadata=operator.metadata)
        say(f"tokens are signed with the key {answer.key_id}")

    operate(change, resolve_data_dir(data_dir))
