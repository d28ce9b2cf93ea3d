"""What the result store says when something goes wrong, short enough for a line of a log."""

import re
from typing import Final

_MOST: Final = 500

#: An address with a query: that of a link has its signature there.
_QUERY: Final = re.compile(r"(https?://[^\s?]*)\?\S*")

#: What S3 says, in XML.
_ANSWER: Final = re.compile(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", re.DOTALL)


def summary(error: Exception) -> str:
    """Returns what happened, without the insides of the client and without queries of addresses."""
    text, _, _ = str(error).partition("\n\nDebug source")
    text, _, answer = text.partition("<")
    if said := _ANSWER.search(f"<{answer}"):
        text += f"{said[1]}: {said[2]}"
    return _QUERY.sub(r"\1", " ".join(text.split()))[:_MOST]
