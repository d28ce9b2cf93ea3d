"""Asks for passwords: at the terminal without showing them, or on standard input."""

import sys

import typer

from tweezer.cli.terminal import fail


def new_password() -> str:
    """Returns a password: asked for twice, or the first line of what is piped in.

    It is never an argument: those are seen by everybody on the machine.
    """
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("no password: give it on standard input")
    return password
