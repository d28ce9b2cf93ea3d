"""A gRPC server that finds handlers by the name of the method alone."""

from collections.abc import Iterable

import grpc


class GenericServer(grpc.aio.Server):
    """Stands for another server, which is told of no method beforehand.

    Generated code offers a server all methods in two ways. If it takes the second, `registered`
    one, grpcio 1.85 waits for the next call of each method at the same time, and sets up and takes
    down as many waits with every call: for forty methods, a twentieth of all that a call costs.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Adds the handlers of a service."""
        self._server.add_generic_rpc_handlers(generic_rpc_handlers)

    def add_insecure_port(self, address: str) -> int:
        """Listens on an address and returns its port."""
        return self._server.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Listens on an address by TLS and returns its port."""
        return self._server.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        """Starts to serve."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Stops; calls under way get `grace` seconds to end."""
        await self._server.stop(grace)

    async def wait_for_termination(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - of grpc.aio.Server
    ) -> bool:
        """Waits for the end; says whether it did not come within `timeout` seconds."""
        return await self._server.wait_for_termination(timeout)
