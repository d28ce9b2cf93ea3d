"""Which calls are counted together when there are too many of them."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from tweezer.rpc.access import ACCESS, Access


class CallClass(Enum):
    """Calls of one class may crowd out each other, but none of another class."""

    PUBLIC = auto()  #: made for clients
    INTERNAL = auto()  #: between our processes
    WAITING = auto()  #: held open until something happens; they cost next to nothing meanwhile
    EXEMPT = auto()  #: health and reflection, which must be answered above all when there is a lot


_WAITING: Final = frozenset(
    {
        "/tweezer.v1.BatchService/WatchBatch",
        "/tweezer.internal.v1.LeaseService/LeaseJobs",
        "/tweezer.internal.v1.LeaseService/RenewLeases",
    }
)


def class_of(method: str) -> CallClass:
    """Returns the class of a method."""
    return _CLASS_OF.get(method, CallClass.PUBLIC)


def _class(method: str, access: Access) -> CallClass:
    if method.startswith("/grpc."):
        return CallClass.EXEMPT
    if method in _WAITING:
        return CallClass.WAITING
    return CallClass.INTERNAL if access is Access.SERVICE else CallClass.PUBLIC


_CLASS_OF: Final[Mapping[str, CallClass]] = {
    method: _class(method, access) for method, access in ACCESS.items()
}
