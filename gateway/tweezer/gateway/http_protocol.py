"""The HTTP/1.1 protocol of uvicorn, with a bound on request heads and errors in JSON."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tweezer.gateway import jsend

_NOT_HTTP: Final = "the request is not valid HTTP"


def bounded_protocol(max_head_bytes: int) -> type[HttpToolsProtocol]:
    """Returns the protocol class for a bound on the head of a request.

    uvicorn keeps a head in memory however long it gets, before any of our code sees it.
    """

    class BoundedHttp(HttpToolsProtocol):
        _in_head = False
        _head_bytes = 0

        def data_received(self, data: bytes) -> None:
            # A chunk is small; what counts is a head that goes on for many chunks.
            goes_on = self._in_head
            super().data_received(data)
            if goes_on and self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > max_head_bytes and not self.transport.is_closing():
                    self._refuse(431, f"the head is larger than {max_head_bytes} bytes")

        def on_message_begin(self) -> None:
            self._in_head, self._head_bytes = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, _NOT_HTTP)

        def _refuse(self, status: int, description: str) -> None:
            answer = jsend.failure(status, description, headers={"Connection": "close"})
            headers = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
            self.transport.write(
                b"".join([STATUS_LINE[status], headers, b"\r\n", bytes(answer.body)])
            )
            self.transport.close()

    return BoundedHttp
