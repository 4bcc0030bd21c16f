"""What answers the servers under test, where it is not a program of its own."""

import contextlib
import socketserver
import struct
import threading


def answer(query, rcode=0):
    """The reply to a question: one address, as bare.c gives it, or none with a failure."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    count = 0 if rcode else 1
    reply = query[:2] + bytes([0x81, 0x80 | rcode, 0, 1, 0, count, 0, 0, 0, 0]) + query[12 : end + 5]
    return reply + b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01" * count


class OverTcp(socketserver.ThreadingTCPServer):
    """For servers that ask over TCP what they are asked over TCP. Too slow for anything but to fill
    their caches."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, address):
        super().__init__(address, Connection)
        self.asked = 0
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        # A server that is ended leaves its connections as they are.
        with contextlib.suppress(ConnectionError):
            while len(size := self.rfile.read(2)) == 2:
                reply = answer(self.rfile.read(struct.unpack("!H", size)[0]))
                self.wfile.write(struct.pack("!H", len(reply)) + reply)
                self.server.asked += 1
