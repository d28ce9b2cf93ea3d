"""The result file of a job."""

from collections.abc import Mapping

import orjson

from tweezer.execution.emulators.task import JobError


def result_file(
    counter: Mapping[str, int] | None, serialised_results: str | None, limit: int
) -> bytes:
    """Returns the file, or raises JobError when it takes more than `limit` bytes.

    It is a JSON object: `counter` (bitstring to count, null when the backend configuration asks
    for no bitstrings at the end), `raw` (always null: Pulser counts the shots and keeps no order
    of them) and `serialised_results` (Pulser's Results as text, null without a backend
    configuration).
    """
    content = orjson.dumps(
        {"counter": counter, "raw": None, "serialised_results": serialised_results}
    )
    if len(content) > limit:
        raise JobError(
            f"The results take {len(content)} bytes, the limit is {limit}: "
            "ask for fewer observables, evaluation times or shots."
        )
    return content
