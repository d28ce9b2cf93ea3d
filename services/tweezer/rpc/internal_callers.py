"""Which of our processes may call which internal service, and how they are told apart."""

import secrets
from collections.abc import Mapping
from typing import Final, Protocol

from tweezer.rpc.context import Context
from tweezer.rpc.service_key import SCHEME
from tweezer.rpc.wrapping import metadata_of

#: Beginning of the URI by which a certificate names a process.
PROCESS_URI: Final = "spiffe://tweezer/"

_INTERNAL: Final = "/tweezer.internal.v1."

#: By service: the processes that have a reason to call it. The gateway has none for any.
CALLERS: Final[Mapping[str, frozenset[str]]] = {
    f"{_INTERNAL}MembershipService": frozenset({"batch", "job", "execution"}),
    f"{_INTERNAL}QueueService": frozenset({"batch"}),
    f"{_INTERNAL}ProgressService": frozenset({"job"}),
    f"{_INTERNAL}LeaseService": frozenset({"execution"}),
    f"{_INTERNAL}ProgramService": frozenset({"job", "execution"}),
}


class InternalCallers(Protocol):
    """Knows our own processes."""

    def admits(self, method: str, context: Context) -> bool:
        """Says whether a call comes from a process of ours that may make it."""


class ByKey:
    """Knows them by the service key, which all have and nobody else."""

    def __init__(self, *keys: str) -> None:
        self._keys = [key.encode() for key in keys]

    def admits(self, method: str, context: Context) -> bool:
        """Says whether one of the keys came with a call."""
        scheme, _, key = (metadata_of(context, "authorization") or "").partition(" ")
        same = [secrets.compare_digest(key.encode(), each) for each in self._keys]
        return any(same) and scheme == SCHEME


class ByCertificate:
    """Knows them by what they have shown to the transport, which has verified it."""

    def admits(self, method: str, context: Context) -> bool:
        """Says whether the certificate names a process that may call the method."""
        callers = CALLERS.get(method.rpartition("/")[0], frozenset())
        # Certificates are asked for on the internal port only: elsewhere nobody shows one.
        shown = context.auth_context().get("peer_uri", ())
        return any(uri == f"{PROCESS_URI}{name}".encode() for uri in shown for name in callers)
