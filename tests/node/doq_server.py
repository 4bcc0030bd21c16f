"""A server of DNS over QUIC (RFC 9250) that gives every name one address, and none to "silent".

What it sees goes to standard output, a line each, but for the watch on loops, which it leaves
unanswered. Arguments: address, port, certificate, key, the
idle time-out in seconds, and after how many replies it closes a connection.
"""

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StopSendingReceived, StreamDataReceived

ip, port, certificate, key, idle, lifetime = sys.argv[1:]


def say(*words):
    print(*words, flush=True)


def reply_to(query):
    question = query.index(0, 12) + 5
    head = query[:2] + bytes([query[2] | 0x80, query[3]]) + bytes([0, 1, 0, 1, 0, 0, 0, 0])
    return head + query[12:question] + bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 9])


class Server(QuicConnectionProtocol):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.received, self.replies, self.protocol, self.only_watch = {}, 0, None, False

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.protocol = event.alpn_protocol
        elif isinstance(event, ConnectionTerminated) and not self.only_watch:
            say("ended", hex(event.error_code))
        elif isinstance(event, StopSendingReceived) and not self.only_watch:
            say("stopped", event.error_code)
        elif isinstance(event, StreamDataReceived):
            data = self.received.pop(event.stream_id, b"") + event.data
            if event.end_stream:
                self.answer(event.stream_id, data)
            else:
                self.received[event.stream_id] = data

    def answer(self, stream, data):
        query = data[2:]
        if b"zerohop-loop" in query:
            self.only_watch = self.protocol is not None
            return
        if self.protocol:
            say("connected", self.protocol)
            self.protocol, self.only_watch = None, False
        whole = int.from_bytes(data[:2], "big") == len(query)
        say("query", len(query), "id", int.from_bytes(query[:2], "big"), "whole" if whole else "cut")
        if query[13:].startswith(b"silent"):
            return
        self.replies += 1
        if self.replies > int(lifetime):
            # With the question on it.
            self._quic.close(error_code=0)
        else:
            reply = reply_to(query)
            self._quic.send_stream_data(stream, len(reply).to_bytes(2, "big") + reply, end_stream=True)
        self.transmit()


async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["doq"], idle_timeout=float(idle))
    configuration.load_cert_chain(certificate, key)
    await serve(ip, int(port), configuration=configuration, create_protocol=Server)
    say("serving")
    await asyncio.Event().wait()


asyncio.run(main())
