"""The rows that every server has a part in. A row is a table: subjects, what one sample of a subject
is, and the columns for it."""

import contextlib
import dataclasses
import os
from typing import Callable, Optional

import load
import peers
import questions
from servers import Fault, HOST, Server, free_port, running
from upstream import OverTcp

READY = "ready.bench.example"
# Times that an upstream may be woken while only cached answers are asked for: some servers ask a
# thing or two of their own.
WAKES = 10
# More questions a second than any server here answers from one core.
MOST = 250_000
# A 99th percentile moves from run to run more than what a question costs.
LATENCY_ROUNDS = 9


@dataclasses.dataclass
class Column:
    """One figure of the samples. `kind`: the `spread` of it as median, min and max, the `median` alone,
    or the `sum`."""

    key: str
    heading: str
    digits: int = 0
    kind: str = "median"


@dataclasses.dataclass
class Subject:
    label: str
    sample: Callable  # of the number of the round, from 1; gives figures by the keys of columns
    note: str = ""
    point: Optional[tuple] = None  # the line of the plot that it is on, and where


@dataclasses.dataclass
class Row:
    name: str
    title: str
    about: str
    columns: list
    subjects: Callable  # of the lab
    rounds: Optional[int] = None
    compared: tuple = ("cpu",)  # the keys that are set against those of bare
    lines: Optional[Callable] = None  # of the results: the arguments of plots.lines, in place of bars
    brief: tuple = ()  # of the summary: the key, what it is called there, and its digits


@dataclasses.dataclass
class Lab:
    """What all rows of one run share."""

    servers: list
    bare: str
    cluster: str
    directory: str
    tls: tuple  # certificate, key
    rounds: int
    seconds: int
    entries: tuple  # how many names the caches are filled with
    cores: list  # servers are on the first; the last asks and is upstream

    def file(self, name):
        return os.path.join(self.directory, name)

    @contextlib.contextmanager
    def upstream(self, program=None):
        """An upstream and its port."""
        port = free_port()
        server = Server(peers.Launch([program or self.bare, str(port)], {}), {self.cores[-1]}, self.directory)
        try:
            server.wait_for_answer(port, READY)
            yield server, port
        finally:
            server.stop()

    def ask(self, port, file, **how):
        return load.ask(self.directory, port, file, **how)


def spent_on(what):
    """The line of a row's CPU time in the summary."""
    return (("cpu", f"{what}, CPU µs", 2),)


COST = [Column("cpu", "CPU µs/query", 2, "spread"), Column("rate", "queries/s"),
        Column("latency", "mean latency µs"), Column("lost", "lost or failed", 0, "sum")]
OVER_TCP = [*COST, Column("reconnections", "reconnections", 0, "sum")]


def cost(report, spent):
    """The figures of COST."""
    return {"cpu": spent / report.answered * 1e6, "rate": report.rate, "latency": report.latency,
            "lost": report.lost + report.failed, "reconnections": report.reconnections}


def asked(lab, peer, file, *, warm=None, mode="udp", cached=True, program=None, workers=1, ask=None, **setup):
    """Starts a server and its upstream, asks what is in `warm` three times and then what is in `file`.
    `cached`: upstream must not be asked meanwhile; else it must."""
    ask = {"seconds": lab.seconds, **(ask or {})}
    # Where upstream is asked, it may be late.
    check = load.Report.must_be_good if cached else load.Report.must_answer
    with contextlib.ExitStack() as stack:
        upstream, behind = stack.enter_context(lab.upstream(program))
        over_tcp = stack.enter_context(OverTcp((HOST, behind))) if mode != "udp" else None
        port = free_port()
        tls = (free_port(), *lab.tls) if mode == "dot" else ()
        told = peers.Setup(port, [(HOST, behind)], tls=tls, workers=workers, health_checks=False, **setup)
        server = stack.enter_context(running(peer, told, set(lab.cores[:workers])))
        began = server.wait_for_answer(port, READY)
        to = tls[0] if tls else port
        if warm:
            check(lab.ask(to, warm, times=3, mode=mode))
        woken, served = upstream.wakes(), over_tcp.asked if over_tcp else 0
        threads, before = server.threads(), server.cpu()
        report = lab.ask(to, file, mode=mode, **ask)
        spent = server.cpu() - before
        check(report)
        woken, served = upstream.wakes() - woken, over_tcp.asked - served if over_tcp else 0
        if cached and woken + served > WAKES:
            raise Fault(f"upstream was woken {woken + served} times, where nothing should have to be asked")
        if not cached and not woken and peer.name != "bare":
            raise Fault("upstream was never asked, where everything had to be")
        return Sample(report, spent, began, server.rss(),
                      {name: after - threads.get(name, 0) for name, after in server.threads().items()})


@dataclasses.dataclass
class Sample:
    """What one server did with one file of questions."""

    report: load.Report
    spent: float  # seconds of CPU time
    began: float  # seconds from its start to its first answer
    rss: int  # octets
    threads: dict  # seconds of CPU time by name


def of_servers(sample):
    """Subjects for a row: every server, bare among them."""
    def subjects(lab, row):
        nearest = row.removeprefix("new-")
        return [Subject(peer.name, lambda turn, peer=peer: sample(lab, peer, turn), peer.nearest.get(nearest, ""))
                for peer in lab.servers]
    return subjects


def hits(lab, peer, _, mode="udp"):
    if mode != "udp" and peer.name == "bare":
        raise peers.Cannot("UDP only")
    names = questions.hits(lab.file("names"))
    # dnsperf needs a second or more until all its connections have shaken hands.
    seconds = max(lab.seconds, 5) if mode == "dot" else lab.seconds
    sample = asked(lab, peer, names, warm=names, mode=mode, ask={"seconds": seconds})
    return cost(sample.report, sample.spent)


def misses(lab, peer, turn):
    # A server that has not been asked before, and names of this round alone.
    warm = questions.unique(lab.file("warm"), f"w{turn}", 2000)
    names = questions.unique(lab.file("names"), f"r{turn}", lab.seconds * MOST // 2)
    sample = asked(lab, peer, names, warm=None if peer.name == "bare" else warm, cached=False, ask={"times": 1})
    return cost(sample.report, sample.spent)


def local(lab, peer, _):
    names = questions.local(lab.file("names"))
    sample = asked(lab, peer, names, warm=names, records=questions.records())
    return cost(sample.report, sample.spent)


def patterns(lab, peer, _):
    names = questions.patterns(lab.file("names"), questions.HITS)
    sample = asked(lab, peer, names, warm=names, pattern=True)
    return cost(sample.report, sample.spent)


def new_patterns(lab, peer, _):
    names = questions.patterns(lab.file("names"), lab.seconds * MOST)
    sample = asked(lab, peer, names, pattern=True, ask={"times": 1})
    return cost(sample.report, sample.spent)


def mixed(lab, peer, _):
    path = lab.file("cluster-names")
    if not os.path.exists(path):
        questions.cluster(path, lab.seconds * MOST)
    sample = asked(lab, peer, path, cached=False, program=lab.cluster, ask={"times": 1})
    denied = sample.report.rcodes.get("NXDOMAIN", 0) / sample.report.answered
    return {**cost(sample.report, sample.spent), "denied": denied * 100}


def latency(lab, peer, _):
    names = questions.hits(lab.file("names"))
    # Fifty answers beyond the 99th percentile, so that one hiccup of the machine is not what it shows.
    seconds = max(lab.seconds, 5)
    sample = asked(lab, peer, names, warm=names, ask={"seconds": seconds, "rate": 1000, "each": True})
    report = sample.report
    return {**cost(report, sample.spent), "p50": report.percentile(50), "p99": report.percentile(99)}


ROWS = [
    Row("hits", "Cached answers over UDP", "1,000 names at full load, all of them cached.",
        COST, of_servers(hits), brief=spent_on("cached answer")),
    Row("misses", "Misses", "Every name is asked for once, and forwarded to one upstream. bare answers by itself: what "
        "one hop costs, where the others have two.", COST, of_servers(misses), brief=spent_on("miss")),
    Row("local", "Local records", "1,000 names that are in the configuration.",
        COST, of_servers(local), brief=spent_on("local record")),
    Row("patterns", "Names of a pattern", "1,000 names, of which `ip-A-B-C-D.pod.bench.example` is A.B.C.D.",
        COST, of_servers(patterns), brief=spent_on("name of a pattern")),
    Row("new-patterns", "New names of a pattern", "The same, and every name is asked for once.",
        COST, of_servers(new_patterns), brief=spent_on("new name of a pattern")),
    Row("tcp", "Cached answers over TCP", "As the first, over 16 connections that stay open.",
        OVER_TCP, of_servers(lambda lab, peer, turn: hits(lab, peer, turn, "tcp")),
        brief=spent_on("cached answer over TCP")),
    Row("dot", "Cached answers over TLS", "The same over DNS over TLS, 16 handshakes included.",
        OVER_TCP, of_servers(lambda lab, peer, turn: hits(lab, peer, turn, "dot")),
        brief=spent_on("cached answer over TLS")),
    Row("latency", "Cached answers at 1,000 a second", "What a client waits when nobody hurries.",
        [Column("p50", "p50 µs", 0, "spread"), Column("p99", "p99 µs", 0, "spread"),
         Column("cpu", "CPU µs/query", 2), Column("lost", "lost or failed", 0, "sum")],
        of_servers(latency), rounds=LATENCY_ROUNDS, compared=("p50", "p99", "cpu"),
        brief=(("p50", "at 1,000 a second, p50 µs", 0), ("p99", "at 1,000 a second, p99 µs", 0),
               ("cpu", "at 1,000 a second, CPU µs", 1))),
    Row("mixed", "What a cluster asks", "A and AAAA in pairs, names of services and, through the search path, external "
        "ones; one look-up in ten is for a new name, the others by Zipf over 2,000. Caches are empty at first.",
        [*COST, Column("denied", "NXDOMAIN %")], of_servers(mixed),
        brief=spent_on("what a cluster asks")),
]
