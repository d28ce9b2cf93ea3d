from pathlib import Path

import jwt
import pytest

from tweezer.database.timestamps import now_micros
from tweezer.job.settings import JobSettings
from tweezer.job.tickets import TicketOffice
from tweezer.rpc.errors import NotFound

KEY = "k" * 43
JOB = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
HOUR = 3600


def refusal(office: TicketOffice, ticket: str) -> str:
    with pytest.raises(NotFound) as refused:
        office.job_of(ticket)
    return str(refused.value)


def test_a_ticket_names_its_job_and_says_how_long_it_works() -> None:
    office = TicketOffice(KEY, HOUR, clock=lambda: now_micros() // 1_000_000 * 1_000_000)
    before = now_micros() // 1_000_000 * 1_000_000
    ticket = office.issue(JOB)
    assert office.job_of(ticket.text) == JOB
    assert before + HOUR * 1_000_000 <= ticket.expires_at <= now_micros() + HOUR * 1_000_000


def test_an_expired_ticket_is_refused() -> None:
    office = TicketOffice(KEY, HOUR, clock=lambda: now_micros() - (HOUR + 1) * 1_000_000)
    assert refusal(office, office.issue(JOB).text) == "this link is not valid or has expired"


def test_a_foreign_ticket_is_refused() -> None:
    ticket = TicketOffice("f" * 43, HOUR).issue(JOB)
    assert refusal(TicketOffice(KEY, HOUR), ticket.text) == "this link is not valid or has expired"


@pytest.mark.parametrize("position", range(0, 200, 13))
def test_a_tampered_ticket_is_refused(position: int) -> None:
    office = TicketOffice(KEY, HOUR)
    text = office.issue(JOB).text
    position %= len(text) - 1  # the last character carries bits that do not count
    other = "A" if text[position] != "A" else "B"
    refusal(office, text[:position] + other + text[position + 1 :])


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é"])
def test_nonsense_is_refused(text: str) -> None:
    refusal(TicketOffice(KEY, HOUR), text)


def test_an_unsigned_ticket_is_refused() -> None:
    claims = {"sub": JOB, "aud": "tweezer.result", "exp": now_micros() // 1_000_000 + HOUR}
    refusal(TicketOffice(KEY, HOUR), jwt.encode(claims, None, "none"))


def test_a_token_that_the_key_signed_for_something_else_is_refused() -> None:
    claims = {"sub": JOB, "aud": "else", "exp": now_micros() // 1_000_000 + HOUR}
    refusal(TicketOffice(KEY, HOUR), jwt.encode(claims, KEY, "HS256"))


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    keys = JobSettings(data_dir=tmp_path).result_ticket_keys
    first = TicketOffice.with_keys(keys, HOUR)
    second = TicketOffice.with_keys(keys, HOUR)
    assert second.job_of(first.issue(JOB).text) == JOB
    assert keys.file == tmp_path / "keys" / "result-tickets.key"
    assert keys.file.stat().st_mode & 0o777 == 0o600


def test_links_of_an_earlier_key_stay_good_while_it_is_given() -> None:
    before, after = TicketOffice("o" * 32, HOUR), TicketOffice("n" * 32, HOUR)
    between = TicketOffice("n" * 32, HOUR, earlier_keys=["o" * 32])
    assert between.job_of(before.issue(JOB).text) == JOB
    assert after.job_of(between.issue(JOB).text) == JOB
    refusal(after, before.issue(JOB).text)
    refusal(between, TicketOffice("x" * 32, HOUR).issue(JOB).text)
