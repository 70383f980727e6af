"""Serve with waitress on a socket that the parent process listens on: its command takes no socket.

python -m tests.served.with_waitress FD THREADS
"""

import socket
import sys

import waitress

from tests.served.applications import wsgi

waitress.serve(wsgi, sockets=[socket.socket(fileno=int(sys.argv[1]))], threads=int(sys.argv[2]))
