"""Why a command cannot go on."""


class Failure(Exception):
    """Base of what ends a command; the text is for the user."""
