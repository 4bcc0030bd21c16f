"""The sets of questions, as files for dnsperf. The same seed gives the same files."""

import itertools
import random

import peers

HITS = 1000
KNOWN = 2000


def names(path, words):
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{name} A\n" for name in words)
    return path


def hits(path):
    return names(path, (f"host{number}.bench.example" for number in range(HITS)))


def unique(path, mark, count, first=0):
    """Names that nobody has asked for: `mark` differs from file to file."""
    return names(path, (f"n{number}.{mark}.bench.example" for number in range(first, first + count)))


def records():
    """Local names and their addresses."""
    return [(f"host{number}.{peers.LOCAL}", f"10.1.{number >> 8}.{number & 255}") for number in range(HITS)]


def local(path):
    return names(path, (name for name, _ in records()))


def patterns(path, count):
    """Names of the pattern, each once."""
    # Far apart, so that neighbours in the file share no prefix that a tree or cache could use.
    numbers = (number * 40503 % (1 << 24) for number in range(count))
    return names(path, (f"ip-10-{n >> 16}-{n >> 8 & 255}-{n & 255}.{peers.PATTERN}" for n in numbers))


def cluster(path, count, seed=1):
    """What pods of a cluster ask: A and AAAA in pairs, names of other services as they are and external
    ones through the search path (`ndots:5`). One look-up in ten is for a name that is new, the others
    for one of KNOWN, the nth of which is asked for 1/n as often as the first (Zipf)."""
    chance = random.Random(seed)
    serial = itertools.count(KNOWN)
    kinds = [chance.random() for _ in range(KNOWN)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, KNOWN + 1)))
    written = 0
    with open(path, "w", encoding="ascii") as file:
        while written < count:
            # By the thousand: one choice at a time is slow.
            for number in chance.choices(range(KNOWN), cum_weights=weights, k=1000):
                kind = kinds[number]
                if chance.random() < 0.1:
                    number, kind = next(serial), chance.random()
                for name in searched(number, kind):
                    file.write(f"{name} A\n{name} AAAA\n")
                    written += 2
    return path


def searched(number, kind):
    """The names that one look-up of a pod asks for, the last of which exists."""
    path = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
    if kind < 0.5:
        return [f"service{number}.{path[0]}"]
    if kind < 0.75:
        return [f"service{number}.space{number % 20}.{suffix}" for suffix in path[:2]]
    return [f"api{number}.example.com.{suffix}" for suffix in path] + [f"api{number}.example.com"]
