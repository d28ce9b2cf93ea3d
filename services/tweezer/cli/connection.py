"""`tweezer connection`: how to connect to a running stack."""

from typing import Annotated

import typer

from tweezer.cli import endpoints
from tweezer.cli.facts import connection_facts, read_account
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers, fail, print_rows


def connection(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Print how to connect to the running stack."""
    folder = resolve_data_dir(data_dir)
    where = endpoints.read(folder)
    if where is None:
        fail(f"nothing runs on {folder}: start it with `tweezer up`")
    account = read_account(folder)
    if account is None:
        fail(f"{folder} does not hold the password of its first user any more")
    facts = connection_facts(account, where)
    console = answers()
    if as_json:
        console.print(facts.as_json(), markup=False, soft_wrap=True)
        return
    rows = {
        "core": facts.core,
        "account": facts.account,
        "token_endpoint": facts.token_endpoint,
        "username": facts.username,
        "password": facts.password,
        "project_id": facts.project_id,
        "grpc": ", ".join(f"{name} {address}" for name, address in facts.grpc.items()),
    }
    if facts.ca_file is not None:
        rows["ca_file"] = facts.ca_file
    print_rows(console, rows)
