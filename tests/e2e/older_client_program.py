"""What a user of pasqal-cloud 0.22 and pulser-pasqal 0.24 does, from logging in to the results.

It runs in an environment of its own, which has nothing of Tweezer: `program.py FACTS`, with what
`tweezer connection --json` prints, and prints as JSON what it has seen.
"""

import json
import os
import sys
import warnings
from importlib.metadata import version
from typing import Any

warnings.simplefilter("ignore")

from pasqal_cloud import SDK, Endpoints, TokenProviderConf  # noqa: E402
from pasqal_cloud.utils.filters import BatchFilters, JobFilters, PaginationParams  # noqa: E402
from pulser import Pulse, QPUBackend, Register, Sequence  # noqa: E402
from pulser_pasqal import EmuFreeBackend, EmuFreeBackendV2, OVHConnection, PasqalCloud  # noqa: E402


def credentials(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "username": facts["username"],
        "password": facts["password"],
        "project_id": facts["project_id"],
        "endpoints": Endpoints(core=facts["core"], account=facts["account"]),
        "auth_config": TokenProviderConf(
            token_endpoint=facts["token_endpoint"],
            public_client_id="older",
            audience="tweezer",
            realm="tweezer",
            grant_type="password",
        ),
    }


def flash(device: Any) -> Sequence:
    """A pulse of variable strength on four atoms."""
    register = Register.square(2, 6.0, prefix="q").with_automatic_layout(device)
    sequence = Sequence(register, device)
    sequence.declare_channel("rydberg", "rydberg_global")
    strength = sequence.declare_variable("strength")
    sequence.add(Pulse.ConstantPulse(100, strength, 0.0, 0.0), "rydberg")
    return sequence


def job(runs: int, strength: float = 6.0) -> dict[str, Any]:
    return {"runs": runs, "variables": {"strength": strength}}


def with_the_sdk(facts: dict[str, Any], device: Any) -> dict[str, Any]:
    """Batches closed and open: created, added to, closed, cancelled, repeated and listed."""
    sdk = SDK(**credentials(facts))
    sequence = flash(device)
    sequence.measure("ground-rydberg")
    text = sequence.to_abstract_repr()
    closed = sdk.create_batch(text, [job(5), job(6)], device_type="EMU_FREE", wait=True)
    opened = sdk.create_batch(text, [], device_type="EMU_FREE", open=True, tags=["older"])
    sdk.add_jobs(opened.id, [job(7)])
    opened = sdk.get_batch(opened.id)
    opened.add_jobs([job(8)])
    opened.close(wait=True)
    # The client reads the batch before its jobs: these may be final when that was not, yet.
    while opened.status == "RUNNING":
        opened = sdk.get_batch(opened.id)
    cancelled = sdk.create_batch(text, [], device_type="EMU_FREE", open=True)
    sdk.set_batch_tags(cancelled.id, ["older", "cancelled"])
    again = sdk.rebatch(closed.id)
    first = sdk.get_job(closed.ordered_jobs[0].id)
    listed = sdk.get_batches(BatchFilters(tag="older"), PaginationParams(limit=1))
    return {
        "projects": [project.id for project in sdk.get_all_projects()],
        "closed": closed.status,
        "counts": [sum(each.result.values()) for each in closed.ordered_jobs],
        "opened": [opened.status, opened.open, [each.runs for each in opened.ordered_jobs]],
        "cancelled": sdk.cancel_batch(cancelled.id).status,
        "repeated": [again.parent_id == closed.id, again.jobs_count],
        "listed": [listed.total, len(listed.results)],
        "jobs": sdk.get_jobs(JobFilters(batch_id=closed.id, min_runs=6)).total,
        "job": [first.status, first.runs],
    }


def with_pulser(facts: dict[str, Any], connection: Any, device: Any) -> dict[str, Any]:
    """Pulser's backends: two emulators, a QPU, an open batch, and OVH's connection."""
    newer = EmuFreeBackendV2(flash(device), connection)
    with newer.open_batch():
        in_open_batch = newer.run(job_params=[job(9)])
    emulated = EmuFreeBackendV2(flash(device), connection).run(job_params=[job(10)], wait=True)
    legacy = EmuFreeBackend(flash(device), connection).run(job_params=[job(11)], wait=True)
    measured = QPUBackend(flash(device), connection).run(job_params=[job(3)], wait=True)
    os.environ["PASQAL_PULSER_ACCESS_TOKEN"] = connection._sdk_connection.user_token()
    ovh = OVHConnection(endpoints=credentials(facts)["endpoints"])
    of_ovh = EmuFreeBackendV2(flash(device), ovh).run(job_params=[job(12)], wait=True)
    return {
        "open batch": len(in_open_batch.job_ids),
        **{
            name: [results.get_batch_status().name, shots(results)]
            for name, results in (
                ("emulated", emulated),
                ("legacy", legacy),
                ("measured", measured),
                ("ovh", of_ovh),
            )
        },
    }


def shots(results: Any) -> int:
    (result,) = results.results
    counts = getattr(result, "final_bitstrings", None) or result.bitstring_counts
    return sum(counts.values())


def main() -> None:
    facts = json.loads(sys.argv[1])
    connection = PasqalCloud(**credentials(facts))
    devices = connection.fetch_available_devices()
    seen = {
        "versions": [version("pasqal-cloud"), version("pulser-pasqal")],
        "devices": sorted(devices),
        "sdk": with_the_sdk(facts, devices["FRESNEL"]),
        "pulser": with_pulser(facts, connection, devices["FRESNEL"]),
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
