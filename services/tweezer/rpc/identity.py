"""Who is calling."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from tweezer.rpc.errors import NotFound

#: Claim with the identifiers of the caller's projects, in tokens of the built-in issuer.
PROJECTS_CLAIM: Final = "projects"

#: Claim that is true in the built-in issuer's tokens for those who run the place.
OPERATOR_CLAIM: Final = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a call."""

    user_id: str
    project_ids: frozenset[str]
    operator: bool = False

    def require_project(self, project_id: str, what: str) -> None:
        """Raises NotFound unless the caller belongs to the project."""
        if project_id not in self.project_ids:
            raise NotFound(what)


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Returns the user behind the call being served."""
    return _caller.get()


def set_caller(caller: Caller) -> None:
    """Records the user behind the call being served."""
    _caller.set(caller)
