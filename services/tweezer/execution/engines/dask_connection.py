"""How the scheduler of a Dask cluster is reached."""

from typing import Final

from distributed import Client
from distributed.security import Security

from tweezer.execution.engines.dask_link import Connect
from tweezer.process.tls import Mutual

#: How long a connection may take, in seconds.
_CONNECT_S: Final = 30


def connector(address: str, tls: Mutual | None) -> Connect:
    """Returns what opens a client of the scheduler at an address."""

    async def connect() -> Client:
        return await Client(
            address,
            security=None if tls is None else _security(tls),
            asynchronous=True,
            set_as_default=False,
            timeout=_CONNECT_S,
        )

    return connect


def _security(tls: Mutual) -> Security:
    return Security(
        tls_ca_file=str(tls.authority),
        tls_client_cert=str(tls.own.certificate),
        tls_client_key=str(tls.own.key),
        require_encryption=True,
    )
