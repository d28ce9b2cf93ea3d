"""Grows antiferromagnetic order on nine atoms, over the REST API with nothing but HTTP.

tweezer up                       # in another terminal
python examples/afm_sweep.py
"""

import json
import subprocess
import time
from typing import Any

import httpx

from tweezer.cli.programs import afm_sweep


def main() -> None:
    """Submits one job per final detuning and prints how ordered the atoms are in each."""
    facts = json.loads(subprocess.check_output(["tweezer", "connection", "--json"]))
    program = afm_sweep.program()
    with httpx.Client(base_url=facts["core"]) as api:
        log_in(api, facts)
        batch = data_of(api.post("/api/v1/batches", json=program.as_request(facts["project_id"])))
        print(f"Batch {batch['id']}: {batch['jobs_count']} jobs")
        wait_for(api, batch["id"])
        query = {"batch_id": batch["id"], "order_by": "creation_order", "order_by_direction": "ASC"}
        jobs = data_of(api.get("/api/v2/jobs", params=query))
        for job, planned in zip(jobs, program.jobs, strict=True):
            counter = result_of(api, job["id"])["counter"]
            order = afm_sweep.staggered_magnetisation(counter)
            print(f"{planned.label:>9}  order {order:.2f}  {'#' * round(40 * order)}")


def log_in(api: httpx.Client, facts: dict[str, Any]) -> None:
    """Exchanges the password for a token and sends it with all further requests."""
    form = {
        "client_id": "example",
        "grant_type": "password",
        "username": facts["username"],
        "password": facts["password"],
    }
    answer = api.post(facts["token_endpoint"], data=form).raise_for_status().json()
    api.headers["Authorization"] = f"Bearer {answer['access_token']}"


def wait_for(api: httpx.Client, batch_id: str) -> None:
    """Asks for the status of a batch until it is final."""
    status = "PENDING"
    while status in ("PENDING", "RUNNING"):
        time.sleep(0.5)
        status = data_of(api.get(f"/api/v1/batches/{batch_id}/status"))["status"]
    if status != "DONE":
        raise SystemExit(f"the batch ended as {status}")


def result_of(api: httpx.Client, job_id: str) -> dict[str, Any]:
    """Downloads the result of a job; the link carries its own right and needs no token."""
    link = data_of(api.get(f"/api/v1/jobs/{job_id}/results_link"))["results_link"]
    result: dict[str, Any] = httpx.get(link).raise_for_status().json()
    return result


def data_of(answer: httpx.Response) -> Any:
    """Returns what an answer carries."""
    return answer.raise_for_status().json()["data"]


if __name__ == "__main__":
    main()
