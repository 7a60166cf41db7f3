"""A slow network: a line of so many bytes a second between a client and a server."""

import contextlib
import socket
import threading
import time
from typing import Final

_STEP_S: Final = 0.1
_BUFFER: Final = 1 << 16


class SlowLine:
    """Passes one connection on; only what the client says is slowed down."""

    def __init__(self, server_port: int, bytes_a_second: int) -> None:
        """Listen on `port`, which a client is to be told instead of the server's."""
        self._server_port = server_port
        self._piece = max(1, int(bytes_a_second * _STEP_S))
        self._is_cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def cut(self) -> None:
        """End the connection; what was on its way is lost."""
        self._is_cut.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # nobody needs to come any more
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
            client = sockets.enter_context(sockets.enter_context(self._listener).accept()[0])
            address = ("127.0.0.1", self._server_port)
            server = sockets.enter_context(socket.create_connection(address))
            back = threading.Thread(target=self._pass_back, args=(server, client))
            back.start()
            self._pass_slowly(client, server)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pass_slowly(self, client: socket.socket, server: socket.socket) -> None:
        client.settimeout(_STEP_S)
        with contextlib.suppress(OSError):
            while not self._is_cut.is_set():
                with contextlib.suppress(TimeoutError):
                    data = client.recv(self._piece)
                    if not data:
                        return
                    server.sendall(data)
                    time.sleep(_STEP_S * len(data) / self._piece)

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_BUFFER):
                client.sendall(data)
