"""Processes under test: started on their cores, asked until they answer, measured, ended."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time

import peers

HOST = "127.0.0.1"
TICK = os.sysconf("SC_CLK_TCK")
# How long a server may take to its first answer, and to end once told to.
PATIENCE = 60


class Fault(Exception):
    """Something is not as it should be: the figure would be worth nothing."""


class Server:
    """A process, with all those that it starts."""

    def __init__(self, launch, cores, directory):
        self.log = os.path.join(directory, "output")
        ours = os.sched_getaffinity(0)
        with open(self.log, "wb") as log:
            # It inherits where we may run; another program to say so would count as part of its start.
            os.sched_setaffinity(0, cores)
            self.began = time.monotonic()
            try:
                # A session of its own, so that whatever it starts can be ended with it.
                self.process = subprocess.Popen(
                    launch.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                    env={**os.environ, **launch.environment}, start_new_session=True)
            finally:
                os.sched_setaffinity(0, ours)

    def wait_for_answer(self, port, name):
        """Seconds from its start to its first good answer."""
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0" + wire(name) + b"\0\1\0\1"
        while time.monotonic() < self.began + PATIENCE:
            if self.process.poll() is not None:
                raise Fault(f"ended with status {self.process.returncode}: {self.said()}")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                # The first tries find nobody there; later ones may wait for what upstream says.
                client.settimeout(0.002 if time.monotonic() < self.began + 2 else 0.3)
                client.connect((HOST, port))
                try:
                    client.send(query)
                    if client.recv(512)[3] & 15 == 0:
                        return time.monotonic() - self.began
                except ConnectionRefusedError:
                    time.sleep(0.0005)
                except TimeoutError:
                    pass
        raise Fault(f"no good answer within {PATIENCE} s: {self.said()}")

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return " / ".join(log.read().splitlines()[-3:]) or "it said nothing"

    def processes(self):
        """Its process and all below it."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    children.setdefault(int(stat(entry)[1]), []).append(int(entry))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu(self):
        """Seconds of CPU time, of processes that it started and that have ended, too."""
        if self.process.poll() is not None:
            raise Fault(f"ended with status {self.process.returncode}: {self.said()}")
        spent = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = stat(pid)
                ticks = int(fields[11]) + int(fields[12])
                # The same in nanoseconds, without threads that have ended.
                spent += max(ticks / TICK, sum(self.threads(pid).values()))
                spent += (int(fields[13]) + int(fields[14])) / TICK
        return spent

    def threads(self, pid=None):
        """Seconds of CPU time of each thread that lives, by its name and number."""
        pid = pid or self.process.pid
        spent = {}
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                name = read(f"/proc/{pid}/task/{thread}/comm").strip()
                spent[f"{name}/{thread}"] = int(read(f"/proc/{pid}/task/{thread}/schedstat").split()[0]) / 1e9
        return spent

    def wakes(self):
        """How often it has waited for something: a socket that nobody writes to leaves this as it is."""
        for line in read(f"/proc/{self.process.pid}/status").splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
        return 0

    def rss(self):
        """Octets in memory."""
        total = 0
        for pid in self.processes():
            # Some have a process for each connection, which may have ended by now.
            with contextlib.suppress(OSError):
                for line in read(f"/proc/{pid}/status").splitlines():
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1]) * 1024
        return total

    def settle(self):
        """Waits until it does nothing."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(0.2)
            if self.cpu() - before < 0.004:
                return
        raise Fault("never comes to rest")

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(peer, setup, cores):
    """A server until the end of the block; its files go with it."""
    with tempfile.TemporaryDirectory(prefix="compare-") as directory:
        os.chmod(directory, 0o755)
        launch = peer.launch(setup, directory)
        peers.write(launch, directory)
        server = Server(launch, cores, directory)
        try:
            yield server
        finally:
            server.stop()


def free_port():
    """A port that nobody has, for UDP and TCP, and none of those that the kernel gives to whoever asks for
    any: the load generator asks for many before the server has bound its own."""
    lowest = int(read("/proc/sys/net/ipv4/ip_local_port_range").split()[0])
    while True:
        port = random.randrange(lowest // 2, lowest)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((HOST, port))
                udp.bind((HOST, port))
            except OSError:
                continue
            return port


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def stat(pid):
    """The fields of /proc/PID/stat behind the name: the state, the parent, …"""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()
