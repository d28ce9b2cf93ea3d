"""`python -m tweezer.gateway` runs the gateway."""

import gc
import sys


def main() -> int:
    """Runs the process and returns its exit code."""
    # The collector finds nothing in what imports leave; `run_process` turns it on again.
    gc.disable()
    from tweezer.gateway.server import serve
    from tweezer.gateway.settings import GatewaySettings
    from tweezer.process.run import run_process

    settings = GatewaySettings()
    return run_process("gateway", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    sys.exit(main())
