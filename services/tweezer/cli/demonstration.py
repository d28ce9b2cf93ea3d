"""Runs the demonstration programs on a stack and shows what they give."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tweezer.cli.facts import ConnectionFacts
from tweezer.cli.failure import Failure
from tweezer.cli.histogram import bar, histogram
from tweezer.cli.programs import afm_sweep, max_independent_set
from tweezer.cli.programs.program import Program
from tweezer.cli.progress import Watched, watched
from tweezer.cli.rest import RestApi

#: How often the API is asked how far a batch is, in seconds.
_ASK_EVERY: Final = 0.3

_UNFINISHED: Final = frozenset({"PENDING", "RUNNING", "CANCELING", "PAUSED"})

Results = list[dict[str, int]]


class ProgramFailed(Failure):
    """A job of a program did not give a result."""


async def demonstrate(facts: ConnectionFacts, console: Console) -> None:
    """Runs both programs, one after the other."""
    async with RestApi.connect(facts) as api:
        await show_afm_sweep(api, facts.project_id, console)
        console.print()
        await show_max_independent_set(api, facts.project_id, console)


async def show_afm_sweep(api: RestApi, project_id: str, console: Console) -> None:
    """Runs the sweep; shows the order per job and the states of the last."""
    program = await asyncio.to_thread(afm_sweep.program)
    results = await _run(api, project_id, program, console)
    table = _table("final detuning", "staggered magnetisation")
    for job, counter in zip(program.jobs, results, strict=True):
        order = afm_sweep.staggered_magnetisation(counter)
        table.add_row(job.label, f"{order:.2f}", bar(order))
    console.print(table)
    best = max(results, key=afm_sweep.staggered_magnetisation)
    console.print(
        histogram(
            best,
            f"Most frequent states at {program.jobs[results.index(best)].label}",
            marked=[afm_sweep.CHECKERBOARD],
            mark="checkerboard",
        )
    )


async def show_max_independent_set(api: RestApi, project_id: str, console: Console) -> None:
    """Runs the sweeps; shows how often each finds the answer and the states of the slowest."""
    program = await asyncio.to_thread(max_independent_set.program)
    results = await _run(api, project_id, program, console)
    solutions = max_independent_set.solutions()
    table = _table("sweep", "answer found")
    for job, counter in zip(program.jobs, results, strict=True):
        share = sum(counter.get(bits, 0) for bits in solutions) / sum(counter.values())
        table.add_row(job.label, f"{share:.0%}", bar(share))
    console.print(table)
    slowest = program.jobs[-1]
    console.print(
        histogram(
            results[-1],
            f"Most frequent states after {slowest.label}",
            marked=solutions,
            mark="maximum independent set",
        )
    )


async def _run(api: RestApi, project_id: str, program: Program, console: Console) -> Results:
    batch = await api.create_batch(program.as_request(project_id))
    with watched(console, program.title, len(program.jobs)) as progress:
        jobs = await _wait(api, batch["id"], progress)
    _check(program, jobs)
    return [await api.counter(job["id"]) for job in jobs]


async def _wait(api: RestApi, batch_id: str, progress: Watched) -> list[dict[str, Any]]:
    while True:
        jobs = await api.jobs(batch_id)
        final = [job["status"] not in _UNFINISHED for job in jobs]
        shares = (
            1.0 if done else job["progress"] / 100 for job, done in zip(jobs, final, strict=True)
        )
        progress.update(sum(final), sum(shares))
        if all(final):
            return jobs
        await asyncio.sleep(_ASK_EVERY)


def _check(program: Program, jobs: list[dict[str, Any]]) -> None:
    statuses: Mapping[str, int] = Counter(job["status"] for job in jobs)
    if statuses != {"DONE": len(program.jobs)}:
        reasons = [reason for job in jobs for reason in job["errors"] or ()]
        counts = ", ".join(f"{number} {status}" for status, number in statuses.items())
        raise ProgramFailed(". ".join([f"{program.title}: {counts}", *reasons[:3]]))


def _table(left: str, right: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(left, justify="right")
    table.add_column(right, justify="right")
    table.add_column("", width=30)
    return table
