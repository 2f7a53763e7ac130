"""HTTP servers of tests: they answer from a thread of the test, on a free port of the loopback address."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer

POLL_SECONDS = 0.01  # how soon a server notices that it is to stop; the standard library's 0.5 s would be paid by every test


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Answer until the block ends, then close the server."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class LocalServer(ThreadingHTTPServer):
    """Requests are answered in parallel; one that hangs does not hold up the end."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"
