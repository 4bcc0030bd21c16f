"""Which servers take part: those that were asked for, and of them those that are there."""

import os
import shutil
import subprocess
import sys

import packages
import peers


def add_arguments(parser):
    parser.add_argument("--only", metavar="SERVER,…", help="these servers")
    parser.add_argument("--zerohop", metavar="PATH", help="this binary, in place of what packaging/static builds")
    parser.add_argument("--coredns", metavar="PATH", help="CoreDNS, too")
    parser.add_argument("--nodelocal", metavar="PATH", help="NodeLocal DNSCache (node-cache), too")


def chosen(said, known, what):
    """Those that were asked for, in the order of `known`; all of them if nothing was said."""
    if not said:
        return known
    unknown = set(said.split(",")) - set(known)
    if unknown:
        sys.exit(f"no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if name in said.split(",")]


def servers(said, bare=None):
    """The servers, and the names of those that are not there. Relative paths are of the directory that
    was current at the start, cargo's of the repository."""
    kinds = {**({"bare": peers.Bare} if bare else {}), "zerohop": peers.Zerohop,
             **{kind.name: kind for kind in peers.DEBIAN}}
    paths = {"bare": bare, "zerohop": said.zerohop}
    for kind, path in ((peers.CoreDns, said.coredns), (peers.NodeLocal, said.nodelocal)):
        if path:
            kinds[kind.name], paths[kind.name] = kind, path
    names = chosen(said.only, list(kinds), "server")
    packages.install([kinds[name].package for name in names if kinds[name].package and not kinds[name]().path]
                     + ([] if shutil.which("dnsperf") else ["dnsperf"]))
    if not shutil.which("dnsperf"):
        sys.exit("this needs dnsperf (Debian package dnsperf)")
    if "zerohop" in names and not said.zerohop:
        top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        # What is shipped. Where it is, relative to the repository, is all that is said on its output.
        built = subprocess.run(["packaging/static"], check=True, cwd=top, stdout=subprocess.PIPE, text=True)
        paths["zerohop"] = os.path.join(top, built.stdout.strip())
    found = [kinds[name](os.path.abspath(paths[name]) if paths.get(name) else None) for name in names]
    for peer in found:
        if peer.path and not os.access(peer.path, os.X_OK):
            sys.exit(f"{peer.path} is no program that can be run")
    return [peer for peer in found if peer.path], [peer.name for peer in found if not peer.path]
