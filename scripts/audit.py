"""Looks up known vulnerabilities of what is installed, and says what could not be looked up.

Fails on a vulnerability that is not listed below with its reason. The list of vulnerabilities is on
the internet: what cannot be looked up is told, and fails with --require only.
"""

import json
import subprocess  # nosec B404 # the command below is all that is run
import sys
from pathlib import Path
from typing import Any, Final

#: Vulnerabilities that do not concern us, by identifier, with the reason.
EXCEPTIONS: Final[dict[str, str]] = {}

_AUDIT: Final = (
    str(Path(sys.executable).parent / "pip-audit"),
    *("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json"),
    "--requirement",
)


def main() -> int:
    """Audits the packages of the file that is named and returns an exit code."""
    required = "--require" in sys.argv
    done = subprocess.run(  # nosec B603
        [*_AUDIT, sys.argv[1]], capture_output=True, text=True
    )
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        print(f"audit: nothing could be looked up: {said}", file=sys.stderr)
        return 1 if required else 0
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}"
        for package in packages
        for flaw in package.get("vulns", ())
        if flaw["id"] not in EXCEPTIONS
    ]
    unknown = sum("skip_reason" in package for package in packages)
    print(
        f"audit: {len(packages) - unknown} of {len(packages)} packages looked up", *found, sep="\n"
    )
    return 1 if found or (required and unknown) else 0


if __name__ == "__main__":
    sys.exit(main())
