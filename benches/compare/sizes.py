"""The rows of what grows: memory, workers, configurations, and the time until a server answers."""

import contextlib
import os
import statistics
import time

import peers
import questions
from rows import COST, Column, READY, Row, Subject, asked, cost, of_servers
from servers import HOST, free_port, running

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BIG = 8 << 30
CEILING = 64 << 20
# Seconds that names live which are to run out: longer than it takes to ask for all of them.
PASSING_TTL = 6


def zones(count):
    return "".join(f"[[zone]]\nname = 'zone{n}.bench.example'\nrecords = ['host A 10.0.0.1']\n" for n in range(count))


def records(count):
    listed = ",\n".join(f"'record{n} A 10.{n >> 16}.{n >> 8 & 255}.{n & 255}'" for n in range(count))
    return f"[[zone]]\nname = 'records.bench.example'\nrecords = [\n{listed}\n]\n"


def patterns(count):
    matches = (f"[[zone.match]]\npattern = '^ip-(\\d+)-(\\d+)\\.rack{n}\\.patterns\\.bench\\.example$'\n"
               "answer = ['A 10.0.$1.$2']\n" for n in range(count))
    return "[[zone]]\nname = 'patterns.bench.example'\n" + "".join(matches)


SIZES = [("zones", zones, (1, 100, 10_000)), ("records", records, (1, 1_000, 100_000)),
         ("patterns", patterns, (1, 30, 1_000))]


def only_zerohop(lab):
    return [peer for peer in lab.servers if peer.name == "zerohop"]


def sizes(lab, _):
    def sample(peer, more):
        names = questions.hits(lab.file("names"))
        done = asked(lab, peer, names, warm=names, more=more)
        return {**cost(done.report, done.spent), "start": done.began * 1000, "rss": done.rss / 1e6}

    def subjects(peer):
        for what, text, counts in SIZES:
            for count in counts:
                label = f"{count:,} {what if count > 1 else what[:-1]}"
                yield Subject(label, lambda _, more=text(count): sample(peer, more), point=(what, count))
        everything = "".join(text(counts[-1]) for _, text, counts in SIZES)
        yield Subject("the most of each", lambda _: sample(peer, everything))
    return [subject for peer in only_zerohop(lab) for subject in subjects(peer)]


def workers(lab, _):
    def sample(peer, count):
        names = questions.hits(lab.file("names"))
        done = asked(lab, peer, names, warm=names, workers=count, ask={"clients": 200})
        shares = [spent for name, spent in done.threads.items() if name.startswith("worker-")]
        assert len(shares) == count, f"{len(shares)} threads are called workers, not {count}"
        return {**cost(done.report, done.spent), "least": min(shares) / sum(shares) * 100}
    note = "" if len(lab.cores) > 2 else "the second worker shares its core with dnsperf"
    return [Subject(f"{count} worker{'s'[:count - 1]}", lambda _, count=count: sample(peer, count), note * (count - 1))
            for peer in only_zerohop(lab) for count in (1, 2)]


def memory(lab, _):
    few, many = lab.entries

    def filled(peer, steps, **setup):
        """RSS when started, and with so many names at each of `steps`; and how many of them were answered."""
        with contextlib.ExitStack() as stack:
            _, behind = stack.enter_context(lab.upstream())
            port = free_port()
            told = peers.Setup(port, [(HOST, behind)], health_checks=False, **setup)
            server = stack.enter_context(running(peer, told, {lab.cores[0]}))
            server.wait_for_answer(port, READY)
            server.settle()
            seen, answered, first = [server.rss()], 0, 0
            for step in steps:
                file = questions.unique(lab.file("names"), "memory", step - first, first)
                # Never so many at once that some are lost.
                report = lab.ask(port, file, times=1, waiting=100)
                report.must_answer()
                answered += report.answered - report.failed
                server.settle()
                seen.append(server.rss())
                first = step
            return seen, answered

    def sample(peer, **setup):
        # Some take the room for all names at their start: idle is with next to none.
        idle = filled(peer, (), names=1000)[0][0]
        seen, answered = filled(peer, (few, many), names=many + many // 4, **setup)
        figures = {"idle": idle / 1e6, "few": seen[1] / 1e6, "many": seen[2] / 1e6, "lost": many - answered}
        if setup["max_bytes"] == BIG:
            figures["each"] = (seen[2] - idle) / answered
        return figures

    for peer in lab.servers:
        if peer.name != "bare":
            yield Subject(peer.name, lambda _, peer=peer: sample(peer, max_bytes=BIG))
    for peer in only_zerohop(lab):
        yield Subject("zerohop, 64 MiB", lambda _, peer=peer: sample(peer, max_bytes=CEILING), "its ceiling is 67 MB")


def expiry(lab, _):
    """Names that come in within a second, and run out within another."""
    few, _ = lab.entries
    passing = "passing.bench.example"

    def sample(peer, count, stale):
        kept = "" if stale else "serve-stale = { max-age = 0 }\n"
        zone = f"[[zone]]\nname = '{passing}'\nforward = ['all']\nmax-ttl = {PASSING_TTL}\n{kept}"
        with contextlib.ExitStack() as stack:
            _, behind = stack.enter_context(lab.upstream())
            port = free_port()
            told = peers.Setup(port, [(HOST, behind)], max_bytes=BIG, health_checks=False, more=zone)
            server = stack.enter_context(running(peer, told, {lab.cores[0]}))
            server.wait_for_answer(port, READY)
            hits = questions.hits(lab.file("hits"))
            lab.ask(port, hits, times=3).must_be_good()
            began, answered = time.monotonic(), 0
            if count:
                file = questions.names(lab.file("names"), (f"n{number}.{passing}" for number in range(count)))
                report = lab.ask(port, file, times=1)
                report.must_answer()
                answered = report.answered
            took = time.monotonic() - began
            report = lab.ask(port, hits, seconds=int(PASSING_TTL + took) + 8, rate=1000, each=True)
            report.must_be_good()
            return {"highest": report.latencies[-1], "p99": report.percentile(99), "p50": report.percentile(50),
                    "within": took, "answered": answered}

    for peer in only_zerohop(lab):
        for label, count, stale in (("nothing runs out", 0, True), (f"{few:,} names run out", few, True),
                                    (f"{few:,} names run out and go", few, False)):
            note = "`serve-stale` off: they leave the cache at once" if not stale else ""
            yield Subject(label, lambda _, peer=peer, count=count, stale=stale: sample(peer, count, stale), note)


class Default(peers.Zerohop):
    """zerohop with the configuration that is part of it, on ports that are free."""

    def launch(self, setup, directory):
        with open(os.path.join(TOP, "src/config/default.toml"), encoding="utf-8") as file:
            text = file.read()
        for written, free in (("127.0.0.1:1053", setup.port), ("127.0.0.1:9153", free_port())):
            assert written in text, f"src/config/default.toml does not say {written}"
            text = text.replace(written, f"127.0.0.1:{free}")
        text = text.replace("[admin]\n", '[admin]\ncontrol = "control.sock"\n')
        return peers.Launch([self.path, "run", "--config", f"{directory}/zerohop.toml"], {"zerohop.toml": text})


def start(lab, row):
    def forwarded(_, peer, __):
        with lab.upstream() as (_, behind):
            return first_answer(peer, peers.Setup(free_port(), [(HOST, behind)], health_checks=False), READY)

    def first_answer(peer, setup, name):
        with running(peer, setup, {lab.cores[0]}) as server:
            return {"ms": server.wait_for_answer(setup.port, name) * 1000}

    def default(peer):
        return first_answer(Default(peer.path), peers.Setup(free_port(), []), "hello.zerohop.test")

    return of_servers(forwarded)(lab, row) + [
        Subject("zerohop, its default", lambda _, peer=peer: default(peer), "a local name")
        for peer in only_zerohop(lab)]


def lines_of_sizes(results):
    series = {}
    for subject, samples in results:
        if subject.point and samples:
            what, count = subject.point
            cost = statistics.median(sample["cpu"] for sample in samples)
            series.setdefault(what, []).append((count, cost))
    return "how many", "CPU µs/query", series, True


def lines_of_memory(results, entries):
    series = {subject.label: list(zip((0, *entries), (samples[0]["idle"], samples[0]["few"], samples[0]["many"])))
              for subject, samples in results if samples}
    return "names", "MB", series, False


def rows(entries):
    few, many = entries
    return [
        Row("memory", "Memory", f"RSS when idle, and after {few:,} and {many:,} names that were each asked for once, "
            "with room for all of them; the octets of one cached answer are what it grew by from idle, shared by the "
            "answers.",
            [Column("idle", "idle MB", 1), Column("few", f"{few:,} names MB", 1),
             Column("many", f"{many:,} names MB", 1),
             Column("each", "octets/answer"), Column("lost", "not answered", 0, "sum")],
            memory, rounds=1, compared=(), lines=lambda results: lines_of_memory(results, entries),
            brief=(("idle", "idle, MB", 1), ("each", "one cached answer, octets", 0))),
        Row("start", "From start to first answer", "Of a name that is forwarded.",
            [Column("ms", "ms", 1, "spread")], start, compared=("ms",),
            brief=(("ms", "start to first answer, ms", 1),)),
        Row("workers", "From one worker to two", "Cached answers, 200 client sockets. The share is of CPU time.",
            [*COST, Column("least", "share of the least busy %", 1)], workers, compared=()),
        Row("expiry", "Hits while others run out", f"Cached answers at 1,000 a second, while {few:,} other names that "
            "came in together reach the end of their TTL.",
            [Column("highest", "highest µs"), Column("p99", "p99 µs", 0), Column("p50", "p50 µs", 0),
             Column("within", "came within s", 1), Column("answered", "names answered")], expiry, rounds=1, compared=()),
        Row("sizes", "Large configurations", "Cached answers of zerohop, whatever else it has loaded.",
            [*COST, Column("start", "start to first answer ms", 1), Column("rss", "RSS MB", 1)],
            sizes, compared=(), lines=lines_of_sizes),
    ]
