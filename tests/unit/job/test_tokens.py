import pytest

from tweezer.job.tokens import job_number, new_secret


def test_a_token_names_its_job() -> None:
    assert job_number(f"123{new_secret()}") == 123


def test_secrets_are_long_and_new() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert min(map(len, secrets)) > 32


@pytest.mark.parametrize(
    "text", ["", ".", "12", "12.", ".abc", "-1.abc", "1e3.abc", "٣.abc", "x.abc", "9" * 40 + ".a"]
)
def test_anything_else_is_no_token(text: str) -> None:
    assert job_number(text) is None
