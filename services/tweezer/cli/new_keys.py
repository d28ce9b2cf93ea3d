"""`tweezer keys make`: the keys of an installation whose processes share no folder."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from tweezer.cli.terminal import answers, fail

#: Settings that lead out of the folder.
_FILES: Final = frozenset(
    {
        "signing_key_file",
        "jwks_file",
        "service_key_file",
        "result_ticket_key_file",
        "webhook_key_file",
    }
)

Folder = Annotated[
    Path, typer.Argument(help="Where to put them; keys that are there stay.", show_default=False)
]

NewSigningKey = Annotated[
    bool,
    typer.Option(
        "--new-signing-key",
        help="Sign tokens with another key; the public half of the present one stays for a while.",
    ),
]


def make(folder: Folder, new_signing_key: NewSigningKey = False) -> None:
    """Make all keys, and the password of the first user, to be given to processes read-only.

    The folder is like a data folder: each process finds the keys that it needs in `keys`, below
    its own. Where they share a data folder, the processes make what they lack themselves.
    """
    make_keys(folder.expanduser().absolute(), new_signing_key=new_signing_key)
    answers().print(f"the keys are in {folder}", markup=False, soft_wrap=True)


def make_keys(folder: Path, *, new_signing_key: bool = False) -> None:
    """Makes the keys that a folder lacks, and a new one for tokens where that is wanted."""
    from tweezer.identity.bootstrap import ensure_first_login
    from tweezer.identity.keys import ensure_signing_key, rotate_signing_key
    from tweezer.identity.settings import IdentitySettings
    from tweezer.identity.tokens import CLOCKS_APART_S
    from tweezer.job.settings import JobSettings
    from tweezer.rpc.service_key import ensure_service_key

    identity, job = IdentitySettings(data_dir=folder), JobSettings(data_dir=folder)
    for field in sorted((identity.model_fields_set | job.model_fields_set) & _FILES):
        fail(f"unset TWEEZER_{field.upper()}: that file is not in {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if new_signing_key and identity.signing_key_file.exists():
            keep_s = identity.token_lifetime_s + CLOCKS_APART_S
            now_s = int(time.time())
            rotate_signing_key(identity.signing_key_file, identity.jwks_file, now_s, keep_s)
        else:
            ensure_signing_key(identity.signing_key_file, identity.jwks_file)
        for file in (job.service_key_file, job.result_ticket_key_file, job.webhook_key_file):
            ensure_service_key(file)
        ensure_first_login(identity.connection_file)
    except OSError as error:
        fail(f"the keys cannot be made: {error}")
