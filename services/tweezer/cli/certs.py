"""`tweezer certs`: certificates for our processes, signed by a private authority."""

from pathlib import Path
from typing import Annotated

import typer

from tweezer.cli.failure import Failure
from tweezer.cli.options import DataDir, resolve_data_dir
from tweezer.cli.terminal import answers, fail, print_rows

#: Where the certificates of a data folder are.
FOLDER = "tls"


def certs(
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address by which the processes are reached; can be repeated. "
            "Those of this machine itself are always there.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to put them.", show_default="<data folder>/tls"),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--renew", help="Make all of them anew, whatever time they have left.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Make certificates, or renew those that end within four months.

    Copy ca.crt to clients, and to each other machine also the file of the process that runs there.
    Nobody but this command needs ca.key: keep it where nothing listens to the network.
    """
    from tweezer.cli.authority import Authority

    authority = Authority((folder or resolve_data_dir(data_dir) / FOLDER).expanduser().absolute())
    try:
        certified = authority.certify(host or (), anew=anew)
    except Failure as error:
        fail(str(error))
    console = answers()
    for each in certified:
        made = "made" if each.made else "kept"
        print_rows(console, {each.process: f"{made}: {each.file}, until {each.ends:%Y-%m-%d}"})
    print_rows(console, {"for hosts": ", ".join(certified[0].hosts)})
    print_rows(console, {"authority": str(authority.certificate_file)})
    if any(each.made for each in certified):
        console.print("Restart the processes that run: they show the old ones to each other.")
