"""Whatever any documented operation is sent, it does not crash and answers as documented."""

import base64
import random
import sys
from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID

import httpx
import pytest
import schemathesis
from forged_tokens import Forge
from pulser import Pulse, Register, Sequence
from pulser.devices import MockDevice
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection

from tweezer.gateway.app import create_app
from tweezer.gateway.settings import GatewaySettings
from tweezer.gateway.stubs import Stubs
from tweezer.identity.settings import IdentitySettings

#: Of the slow run; printed when it fails. Written here instead, it sends the same requests again.
SEED: Final = random.SystemRandom().randrange(2**32)

#: How many identifiers of each kind are kept to aim at, beside the first ones.
_KEPT: Final = 20

_JOB: Final = {"runs": 5, "variables": {"omega": 1.0}}

_GENERATION: Final = {
    # Parameters that are not listed are ignored.
    "allow-extra-parameters": False,
    # Each request carries the token; whether it is asked for is a check of its own.
    "with-security-parameters": False,
    "database": "none",
}

_CHECKS: Final = {
    # What a schema cannot say, such as fields that exclude one another, is refused with 422.
    "positive_data_acceptance": {"enabled": False},
    # The form of a request is checked before its token, so the answer may be 422 and not 401.
    "missing_required_header": {"enabled": False},
}


def documented(**config: Any) -> BaseSchema:
    """The operations to try, and how to."""
    # Building the application calls nothing.
    page = create_app(GatewaySettings(), cast(Stubs, None)).openapi()
    settings = SchemathesisConfig.from_dict({**config, "checks": _CHECKS})
    return schemathesis.openapi.from_dict(page, config=settings).exclude(
        path="/api/v1/batches/{batch_id}/events"  # a stream may last as long as its batch
    )


QUICK: Final = documented(
    generation={**_GENERATION, "max-examples": 3, "deterministic": True},
    phases={"coverage": {"enabled": False}},
)
THOROUGH: Final = documented(
    seed=SEED,
    generation={**_GENERATION, "max-examples": 40},
    # Methods that are not listed are tried in the gateway's own tests.
    phases={"coverage": {"unexpected-methods": []}},
)


class Target:
    """A running system, and what there is in it to aim at."""

    def __init__(self, stack: Any) -> None:
        self.base_url: str = stack.facts["core"]
        self.headers = {"Authorization": f"Bearer {stack.token()}"}
        self._api = httpx.Client(base_url=self.base_url, headers=self.headers, trust_env=False)
        self._login = {"username": stack.facts["username"], "password": stack.facts["password"]}
        self._batch = {
            "project_id": stack.facts["project_id"],
            "sequence_builder": _one_atom(),
            "device_type": "EMU_FREE",
            "jobs": [_JOB, _JOB],
        }
        self._known: dict[str, list[str]] = {
            "batch_id": [],
            "job_id": [],
            "ticket": [],
            "device_type": ["EMU_FREE", "EMU_FRESNEL"],
            "dt_name": ["EMU_FREE", "EMU_FRESNEL"],
        }
        self._finished()

    def close(self) -> None:
        """Closes the connection."""
        self._api.close()

    def aim(self, case: schemathesis.Case) -> None:
        """Makes about half of the requests that are well-formed hit something."""
        dice = random.Random(repr((case.path_parameters, case.query, case.body)))
        if case.method != "GET" and case.path_parameters and dice.random() < 0.3:
            self._make(open=True)  # so that there is something left to change
        for name, value in case.path_parameters.items():
            hits = name in self._known and dice.random() < 0.6
            if hits and (_is_uuid(value) or not name.endswith("_id")):
                # The last one is new if anything is.
                known = self._known[name]
                case.path_parameters[name] = dice.choice([*known, *known[-1:] * len(known)])
        assert case.meta is not None
        well_formed = case.meta.generation.mode is GenerationMode.POSITIVE
        if well_formed and dice.random() < 0.5:
            case.body = self._aimed_body(case.path, case.body, dice)

    def learn(self, answer: Any) -> None:
        """Takes note of the batches and jobs that an answer tells of."""
        if isinstance(answer, dict):
            for batch in (answer, *_dicts(answer.get("batches"))):
                if {"id", "jobs_count"} <= batch.keys():
                    self._know("batch_id", batch["id"])
                    for job in _dicts(batch.get("jobs")):
                        self._know("job_id", job["id"])

    def _aimed_body(self, path: str, body: Any, dice: random.Random) -> Any:
        if isinstance(body, list) and path.endswith("/jobs"):
            return [_JOB] * dice.randint(1, 3)
        if not isinstance(body, dict):
            return body
        if path == "/oauth/token":
            return {**body, **self._login}
        if path == "/api/v1/batches/cancel":
            return {"batch_ids": dice.sample(self._known["batch_id"], 2)}
        if path == "/api/v1/jobs":
            return {**body, **_JOB, "batch_id": self._make(open=True)["id"]}
        in_the_way = ("emulator", "complete", "backend_configuration", "webhook")
        return {**body, **self._batch, **dict.fromkeys(in_the_way)}

    def _make(self, **changes: Any) -> dict[str, Any]:
        made = self._api.post("/api/v1/batches", json={**self._batch, **changes})
        batch: dict[str, Any] = made.raise_for_status().json()["data"]
        self.learn(batch)
        return batch

    def _finished(self) -> None:
        """Runs a batch, so that there are results."""
        job_ids = [job["id"] for job in self._make()["jobs"]]
        self._make(open=True)
        for job_id in job_ids:
            while (link := self._link(job_id)) is None:
                pass  # it is waited for by the time limit of the test
            self._know("ticket", link.rpartition("/")[2])

    def _link(self, job_id: str) -> str | None:
        answer = self._api.get(f"/api/v1/jobs/{job_id}/results_link").raise_for_status()
        link: str | None = answer.json()["data"]["results_link"]
        return link

    def _know(self, kind: str, identifier: str) -> None:
        known = self._known[kind]
        if identifier not in known:
            # The first ones have results.
            self._known[kind] = [*known[:2], *known[2:][-_KEPT:], identifier]


def _one_atom() -> str:
    sequence = Sequence(Register.from_coordinates([(0, 0)], prefix="q"), MockDevice)
    omega = sequence.declare_variable("omega", dtype=float)
    sequence.declare_channel("rydberg", "rydberg_global")
    sequence.add(Pulse.ConstantPulse(100, omega, 0.0, 0.0), "rydberg")
    sequence.measure("ground-rydberg")
    return sequence.to_abstract_repr()


def _is_uuid(value: Any) -> bool:
    try:
        return bool(UUID(str(value)))
    except ValueError:
        return False


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items or () if isinstance(item, dict)]


def _is_read_otherwise(case: schemathesis.Case) -> bool:
    """Tells whether what is sent in the query says less than the case.

    Of none, and of a list of none, nothing is sent; of a repeated parameter that takes one value
    the last counts, whatever the others are.
    """
    given = list((case.query or {}).values())
    lists = [value for value in given if isinstance(value, list)]
    return any(len(value) > 1 for value in lists) or any(
        value in (None, []) for value in [*given, *(item for value in lists for item in value)]
    )


@pytest.fixture(scope="module")
def target(start_stack: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    # A system of its own: what is sent may well cancel everything.
    target = Target(start_stack(tmp_path_factory.mktemp("fuzz") / "data", "--workers", "1"))
    yield target
    target.close()


def try_out(case: schemathesis.Case, target: Target) -> None:
    """Sends one request and holds the answer against the documentation."""
    target.aim(case)
    answer = case.call(base_url=target.base_url, headers=target.headers)
    excluded = [negative_data_rejection] if _is_read_otherwise(case) else []
    case.validate_response(answer, headers=target.headers, excluded_checks=excluded)
    if answer.status_code == 200 and case.method != "GET":
        target.learn(answer.json().get("data"))


@QUICK.parametrize()
def test_some_requests(case: schemathesis.Case, target: Target) -> None:
    try_out(case, target)


@pytest.mark.slow
@THOROUGH.parametrize()
def test_many_requests(case: schemathesis.Case, target: Target) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    try_out(case, target)


#: Answers to a credential that opens nothing. The form of a request is checked first.
_REFUSED: Final = frozenset({401, 403, 404, 422})


class Locksmith:
    """Makes credentials that open nothing: at random, or of those that open something."""

    def __init__(self, good: str, forge: Forge) -> None:
        self._good, self._foreign = good, forge.token(projects=[str(UUID(int=1))])
        self._ways = (self._noise, self._scheme, self._shape, self._tampered, self._elsewhere)

    def credential(self, dice: random.Random) -> bytes:
        """Returns the value of a header."""
        return dice.choice(self._ways)(dice)

    def _noise(self, dice: random.Random) -> bytes:
        # All that a header may have; h11 and others refuse the rest before we see it.
        letters = [9, *range(32, 127), *range(128, 256)]
        return bytes(dice.choices(letters, k=dice.randint(0, 300))).strip()

    def _scheme(self, dice: random.Random) -> bytes:
        scheme = dice.choice(
            ("Basic", "Service", "Digest", "Bearer:", "", "Token", "Bearer Bearer")
        )
        return f"{scheme} {self._good}".strip().encode()

    def _shape(self, dice: random.Random) -> bytes:
        def part() -> bytes:
            content = dice.choice((b"", b"{}", b"[]", b'{"alg":"none"}', b'{"alg":[]}', b"null"))
            raw = dice.choice((content, dice.randbytes(dice.randint(0, 90))))
            return base64.urlsafe_b64encode(raw).rstrip(b"=" * dice.randint(0, 1))

        return b"Bearer " + b".".join(part() for _ in range(dice.randint(1, 5)))

    def _tampered(self, dice: random.Random) -> bytes:
        # Not the last character: some of its bits say nothing.
        at = dice.randrange(len(self._good) - 1)
        other = dice.choice([c for c in "Aa0_-.~ " if c != self._good[at]])
        token = dice.choice(
            (
                self._good[:at] + other + self._good[at + 1 :],
                self._good[:at],
                self._good[at + 1 :],
                self._good + self._good,
                self._good[: at + 1] + self._good[at:],
            )
        )
        return f"Bearer {token}".encode()

    def _elsewhere(self, dice: random.Random) -> bytes:
        """Signed by an installation that is not this one."""
        return f"Bearer {self._foreign}".encode()


@pytest.fixture(scope="module")
def locksmith(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Locksmith:
    elsewhere = IdentitySettings(data_dir=tmp_path_factory.mktemp("elsewhere"))
    return Locksmith(target.headers["Authorization"].removeprefix("Bearer "), Forge(elsewhere))


def break_in(case: schemathesis.Case, target: Target, locksmith: Locksmith) -> None:
    """Sends one request with a credential that opens nothing."""
    dice = random.Random(repr((case.path, case.path_parameters, case.query, case.body)))
    target.aim(case)
    credential = locksmith.credential(dice)
    answer = case.call(base_url=target.base_url, headers={"Authorization": credential})
    told = (credential, answer.status_code, answer.text)
    assert answer.status_code in _REFUSED, told
    assert case.meta is not None
    well_formed = case.meta.generation.mode is GenerationMode.POSITIVE
    # A schema cannot say that these two must not contradict each other.
    well_formed &= not {"open", "complete"} <= (case.query or {}).keys()
    if case.method == "GET" and well_formed:
        assert answer.status_code != 422, told
    content = answer.json()
    assert content["status"] == "fail", told
    assert content["code"] == str(answer.status_code), told
    assert content["data"], told


def needs_token(context: Any) -> bool:
    return bool(context.operation.definition.raw.get("security"))


@QUICK.include(needs_token).parametrize()
def test_some_credentials(case: schemathesis.Case, target: Target, locksmith: Locksmith) -> None:
    break_in(case, target, locksmith)


@pytest.mark.slow
@THOROUGH.include(needs_token).parametrize()
def test_many_credentials(case: schemathesis.Case, target: Target, locksmith: Locksmith) -> None:
    sys.stdout.write(f"seed {SEED}\n")
    break_in(case, target, locksmith)
