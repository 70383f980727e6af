"""A proxy between a program and a server on this machine: counts connections, may never answer."""

import contextlib
import socket
import threading


class Proxy:
    """Passes the bytes of each connection on to another port."""

    def __init__(self, port):
        self._target = ("127.0.0.1", port)
        self.connections = 0
        self.is_silent = False
        """Whether new connections are accepted and never answered."""
        self._open = []
        self._listen(0)
        self.port = self._listening.getsockname()[1]

    def _listen(self, port):
        self._listening = socket.create_server(("127.0.0.1", port), backlog=100)
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _accept(self, listening):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = listening.accept()
                self.connections += 1
                self._open.append(client)
                if not self.is_silent:
                    server = socket.create_connection(self._target)
                    self._open.append(server)
                    for source, target in ((client, server), (server, client)):
                        threading.Thread(target=_pass, args=(source, target), daemon=True).start()

    @contextlib.contextmanager
    def stopped(self):
        """End all connections, and refuse new ones during the block, as a stopped server does."""
        _end([self._listening])
        self.cut()
        yield
        self._listen(self.port)

    def cut(self):
        """End all connections."""
        opened, self._open = self._open, []
        _end(opened)

    def close(self):
        """End all connections, and accept no more."""
        _end([self._listening, *self._open])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _pass(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _end(sockets):
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
