"""A forwarder to a server of this machine that can refuse for a while: what a restart or a lost network looks like from here."""

import contextlib
import selectors
import socket
import threading


class Forwarder:
    """Listens on a port of loopback and passes bytes on; `refuse` closes it and every connection, `accept` opens it again."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        self._serve(self.listener)

    def _serve(self, listener: socket.socket) -> None:
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(self.target) as far, selectors.DefaultSelector() as wait:
            with self.lock:
                self.open |= {near, far}
            wait.register(near, selectors.EVENT_READ, far)
            wait.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in wait.select():
                    data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)

    def refuse(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self.open.clear()

    def accept(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self._serve(self.listener)
