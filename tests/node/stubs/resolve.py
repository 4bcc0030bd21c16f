"""socket.getaddrinfo: "name address" or "name code" a line."""

import socket
import sys

for name in sys.argv[1:]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        print(*(f"{name} {address[0]}" for *_, address in found), sep="\n")
    except socket.gaierror as error:
        print(name, error.errno)
