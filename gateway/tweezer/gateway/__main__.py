"""Runs the gateway: python -m tweezer.gateway."""

import sys

from tweezer.gateway.server import serve
from tweezer.gateway.settings import GatewaySettings
from tweezer.process.run import run_process


def main() -> int:
    """Runs the gateway and returns the exit code."""
    settings = GatewaySettings()
    return run_process("gateway", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
