import pytest

from tweezer.job.ids import all_canonical, canonical
from tweezer.rpc.errors import InvalidInput

ID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


@pytest.mark.parametrize(
    "spelling", [ID, ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}"]
)
def test_every_spelling_becomes_one(spelling: str) -> None:
    assert canonical("id", spelling) == ID


@pytest.mark.parametrize("text", ["", "1", "x" * 36, ID + "0", ID[:-1], "é" * 32])
def test_anything_else_is_refused_with_the_name_of_the_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        all_canonical("batch_id", [ID, text])
    assert refused.value.field == "batch_id"


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidInput) as refused:
        canonical("id", "x" * 10_000)
    assert len(str(refused.value)) < 200
