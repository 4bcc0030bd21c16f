"""The servers that are compared: what starts each, and the same set-up in its own words.

`run` and `outages` share these. Every server gets one thread that answers, the same upstreams, and a
cache that has room for as many names. What a server has no way to do raises `Cannot`.
"""

import dataclasses
import getpass
import os
import re
import shutil
import subprocess

LOCAL = "lan.bench.example"
PATTERN = "pod.bench.example"
# What a fixed answer gives where a server cannot take the address from the name.
FIXED = "10.0.0.1"


class Cannot(Exception):
    """Why a server has no part in a row."""


@dataclasses.dataclass
class Setup:
    """What a server is told."""

    port: int
    upstreams: list  # of (address, port)
    names: int = 100_000  # how many answers the cache has room for
    records: list = dataclasses.field(default_factory=list)  # of (name, address), below LOCAL
    pattern: bool = False  # ip-A-B-C-D below PATTERN is A.B.C.D
    tls: tuple = ()  # port, certificate, key
    health_checks: bool = True
    # zerohop only.
    workers: int = 1
    max_bytes: int = 64 << 20
    more: str = ""


@dataclasses.dataclass
class Launch:
    """A command line, its environment, and the files that are written for it."""

    command: list
    files: dict
    environment: dict = dataclasses.field(default_factory=dict)


class Peer:
    """One server. `nearest` says how a row is done that the server has no exact word for."""

    name = program = package = version_of = ""
    nearest = {}

    def __init__(self, path=None):
        self.path = path or shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin:/usr/local/sbin")

    def version(self):
        said = subprocess.run([self.path, *self.version_of.split()], capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+[.\w-]*", said.stdout + said.stderr)
        return found[0] if found else ""

    def launch(self, setup, directory):
        raise NotImplementedError


class Bare(Peer):
    name = "bare"

    def version(self):
        return ""

    def launch(self, setup, directory):
        if setup.tls:
            raise Cannot("UDP only")
        return Launch([self.path, str(setup.port)], {})


class Zerohop(Peer):
    name, program, version_of = "zerohop", "zerohop", "--version"

    def launch(self, setup, directory):
        listed = lambda words: "[" + ", ".join(f"'{word}'" for word in words) + "]"
        text = f"[server]\nlisten = ['127.0.0.1:{setup.port}']\nworkers = {setup.workers}\n"
        if setup.tls:
            port, certificate, key = setup.tls
            text += f"[server.tls]\nlisten = ['127.0.0.1:{port}']\ncertificate = '{certificate}'\nkey = '{key}'\n"
        text += f"[admin]\nlisten = 'off'\ncontrol = 'off'\n[log]\nlevel = 'error'\n[cache]\nmax-bytes = {setup.max_bytes}\n"
        text += f"[[upstream]]\nname = 'all'\nservers = {listed(f'{a}:{p}' for a, p in setup.upstreams)}\n"
        text += "[[zone]]\nname = '.'\nforward = ['all']\n"
        if setup.records:
            text += f"[[zone]]\nname = '{LOCAL}'\nrecords = {listed(f'{n}. A {a}' for n, a in setup.records)}\n"
        if setup.pattern:
            pattern = r"^ip-(\d+)-(\d+)-(\d+)-(\d+)\." + re.escape(PATTERN) + "$"
            text += f"[[zone]]\nname = '{PATTERN}'\n[[zone.match]]\npattern = '{pattern}'\nanswer = ['A $1.$2.$3.$4']\n"
        return Launch([self.path, "run", "--config", f"{directory}/zerohop.toml"], {"zerohop.toml": text + setup.more})


class Dnsdist(Peer):
    name, program, package, version_of = "dnsdist", "dnsdist", "dnsdist", "--version"
    nearest = {"local": "a table in Lua", "patterns": "RegexRule and Lua"}

    def launch(self, setup, directory):
        text = f'setLocal("127.0.0.1:{setup.port}")\nsetSecurityPollSuffix("")\nsetMaxTCPClientThreads(1)\n'
        for number, (address, port) in enumerate(setup.upstreams):
            text += f'newServer("{address}:{port}")\n'
            text += "" if setup.health_checks else f"getServer({number}):setUp()\n"
        text += f'getPool(""):setCache(newPacketCache({setup.names}))\n'
        if setup.tls:
            text += 'addTLSLocal("127.0.0.1:{}", "{}", "{}")\n'.format(*setup.tls)
        if setup.records:
            table = ", ".join(f'["{name}."]="{address}"' for name, address in setup.records)
            text += f"local hosts = {{{table}}}\naddAction(\"{LOCAL}\", LuaAction(function(dq)\n"
            text += " local a = hosts[dq.qname:toString()]\n if a then return DNSAction.Spoof, a end\n"
            text += ' return DNSAction.Nxdomain, ""\nend))\n'
        if setup.pattern:
            text += f'addAction(RegexRule("^ip-[0-9]+-[0-9]+-[0-9]+-[0-9]+\\\\.{PATTERN}$"), LuaAction(function(dq)\n'
            text += ' local digits = string.match(dq.qname:toString(), "^ip%-([%d-]+)")\n'
            text += ' return DNSAction.Spoof, (digits:gsub("-", "."))\nend))\n'
        return Launch([self.path, "--supervised", "--disable-syslog", "-C", f"{directory}/dnsdist.conf"],
                      {"dnsdist.conf": text})


class Unbound(Peer):
    name, program, package, version_of = "unbound", "unbound", "unbound", "-V"
    nearest = {"patterns": "one answer for all names of the zone"}

    def launch(self, setup, directory):
        size = max(64 << 20, setup.names * 512)
        text = (f'server:\n interface: 127.0.0.1@{setup.port}\n username: ""\n chroot: ""\n directory: "{directory}"\n'
                f' pidfile: ""\n use-syslog: no\n do-not-query-localhost: no\n module-config: "iterator"\n'
                f" num-threads: 1\n msg-cache-size: {size}\n rrset-cache-size: {size}\n"
                " outgoing-range: 8192\n num-queries-per-thread: 4096\n incoming-num-tcp: 256\n")
        if setup.tls:
            port, certificate, key = setup.tls
            text += f" interface: 127.0.0.1@{port}\n tls-port: {port}\n"
            text += f' tls-service-pem: "{certificate}"\n tls-service-key: "{key}"\n'
        if setup.records:
            text += f' local-zone: "{LOCAL}." static\n'
            text += "".join(f' local-data: "{name}. 30 A {address}"\n' for name, address in setup.records)
        if setup.pattern:
            text += f' local-zone: "{PATTERN}." redirect\n local-data: "{PATTERN}. 30 A {FIXED}"\n'
        text += 'remote-control:\n control-enable: no\nforward-zone:\n name: "."\n'
        text += "".join(f" forward-addr: {address}@{port}\n" for address, port in setup.upstreams)
        return Launch([self.path, "-d", "-c", f"{directory}/unbound.conf"], {"unbound.conf": text})


class Kresd(Peer):
    name, program, package, version_of = "kresd", "kresd", "knot-resolver", "--version"
    nearest = {"patterns": "one answer for all names of the pattern"}

    def launch(self, setup, directory):
        stubs = ", ".join(f"'{address}@{port}'" for address, port in setup.upstreams)
        text = f"net.listen('127.0.0.1', {setup.port}, {{ kind = 'dns' }})\ntrust_anchors.remove('.')\n"
        text += f"cache.size = {max(64 << 20, setup.names * 1024)}\n"
        files = {}
        if setup.tls:
            port, certificate, key = setup.tls
            text += f"net.tls('{certificate}', '{key}')\nnet.listen('127.0.0.1', {port}, {{ kind = 'tls' }})\n"
        if setup.records:
            files["hosts"] = hosts(setup.records)
            text += f"modules.load('hints > iterate')\nhints.add_hosts('{directory}/hosts')\n"
        if setup.pattern:
            wire = "".join(f"\\{len(label)}{label}" for label in PATTERN.split("."))
            text += (f"policy.add(policy.pattern(policy.ANSWER({{ [kres.type.A] = {{ rdata = kres.str2ip('{FIXED}'),"
                     f" ttl = 30 }} }}), 'ip%-%d+%-%d+%-%d+%-%d+{wire}'))\n")
        text += f"policy.add(policy.all(policy.STUB({{{stubs}}})))\n"
        return Launch([self.path, "-n", "-c", f"{directory}/kresd.conf", directory], {"kresd.conf": text, **files})


class Recursor(Peer):
    name, program, package, version_of = "pdns-rec", "pdns_recursor", "pdns-recursor", "--version"
    nearest = {"local": "hosts file", "patterns": "Lua"}

    def launch(self, setup, directory):
        servers = ";".join(f"{address}:{port}" for address, port in setup.upstreams)
        text = (f"local-address=127.0.0.1\nlocal-port={setup.port}\nforward-zones-recurse=.={servers}\ndont-query=\n"
                f"threads=1\npdns-distributes-queries=no\ndaemon=no\nsocket-dir={directory}\nwrite-pid=no\ndnssec=off\n"
                f"disable-syslog=yes\nloglevel=3\nquiet=yes\nsecurity-poll-suffix=\nmax-mthreads=4096\n"
                f"max-cache-entries={setup.names}\nmax-packetcache-entries={setup.names}\n")
        files = {}
        if setup.tls:
            raise Cannot("no DNS over TLS for clients")
        if setup.records:
            files["hosts"] = hosts(setup.records)
            text += f"export-etc-hosts=yes\netc-hosts-file={directory}/hosts\n"
        if setup.pattern:
            labels = PATTERN.replace(".", "%.")
            files["pattern.lua"] = (
                "function preresolve(dq)\n"
                f' local pattern = "^ip%-(%d+)%-(%d+)%-(%d+)%-(%d+)%.{labels}%.$"\n'
                ' local a, b, c, d = string.match(dq.qname:toString(), pattern)\n'
                ' if not a or dq.qtype ~= pdns.A then return false end\n'
                ' dq:addAnswer(pdns.A, a .. "." .. b .. "." .. c .. "." .. d, 30)\n return true\nend\n')
            text += f"lua-dns-script={directory}/pattern.lua\n"
        return Launch([self.path, f"--config-dir={directory}"], {"recursor.conf": text, **files})


class Bind(Peer):
    name, program, package, version_of = "bind", "named", "bind9", "-v"
    nearest = {"local": "a zone", "patterns": "one answer for all names of the zone"}

    def launch(self, setup, directory):
        servers = " ".join(f"{address} port {port};" for address, port in setup.upstreams)
        tls, files = "", {}
        text = ""
        if setup.tls:
            port, certificate, key = setup.tls
            text += f'tls own {{ cert-file "{certificate}"; key-file "{key}"; }};\n'
            tls = f" listen-on port {port} tls own {{ 127.0.0.1; }};"
        text += (f'options {{ directory "{directory}"; listen-on port {setup.port} {{ 127.0.0.1; }};{tls}'
                 f" listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion yes; dnssec-validation no;"
                 f" max-cache-size {max(64 << 20, setup.names * 1024)}; recursive-clients 10000; tcp-clients 1000;"
                 f" forward only; forwarders {{ {servers} }}; }};\ncontrols {{ }};\n")
        head = "$TTL 30\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n"
        for zone, records in ((LOCAL, setup.records), (PATTERN, [(f"*.{PATTERN}", FIXED)] if setup.pattern else [])):
            if records:
                files[zone] = head + "".join(f"{name}. A {address}\n" for name, address in records)
                text += f'zone "{zone}" {{ type primary; file "{directory}/{zone}"; }};\n'
        return Launch([self.path, "-g", "-n", "1", "-c", f"{directory}/named.conf"], {"named.conf": text, **files})


class Dnsmasq(Peer):
    name, program, package, version_of = "dnsmasq", "dnsmasq", "dnsmasq-base", "--version"
    nearest = {"local": "hosts file", "patterns": "synth-domain"}

    def launch(self, setup, directory):
        if setup.tls:
            raise Cannot("no DNS over TLS")
        text = (f"port={setup.port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n"
                f"user={getpass.getuser()}\npid-file={directory}/pid\ncache-size={setup.names}\n"
                "dns-forward-max=10000\n")
        text += "".join(f"server={address}#{port}\n" for address, port in setup.upstreams)
        files = {}
        if setup.records:
            files["hosts"] = hosts(setup.records)
            text += f"addn-hosts={directory}/hosts\n"
        if setup.pattern:
            text += f"synth-domain={PATTERN},10.0.0.0/8,ip-\n"
        return Launch([self.path, "--keep-in-foreground", f"--conf-file={directory}/dnsmasq.conf"],
                      {"dnsmasq.conf": text, **files})


class CoreDns(Peer):
    name, program, version_of = "coredns", "coredns", "-version"
    nearest = {"local": "hosts file", "patterns": "template"}

    def launch(self, setup, directory):
        body = f" bind 127.0.0.1\n cache {{\n  success {setup.names}\n  denial {setup.names}\n }}\n"
        files = {}
        if setup.records:
            files["hosts"] = hosts(setup.records)
            body += f" hosts {directory}/hosts {LOCAL} {{\n  fallthrough\n }}\n"
        if setup.pattern:
            number = "".join(f"-(?P<{group}>[0-9]+)" for group in "abcd")
            labels = PATTERN.replace(".", "[.]")
            groups = ".".join(f"{{{{ .Group.{group} }}}}" for group in "abcd")
            body += (f' template IN A {PATTERN} {{\n  match "^ip{number}[.]{labels}[.]$"\n'
                     f'  answer "{{{{ .Name }}}} 30 IN A {groups}"\n }}\n')
        body += " forward . " + " ".join(f"{address}:{port}" for address, port in setup.upstreams) + "\n"
        text = f".:{setup.port} {{\n{body}}}\n"
        if setup.tls:
            port, certificate, key = setup.tls
            text += f"tls://.:{port} {{\n tls {certificate} {key}\n{body}}}\n"
        return Launch([self.path, *self.arguments(setup, directory), "-conf", f"{directory}/Corefile"],
                      {"Corefile": text, **files}, {"GOMAXPROCS": "1"})

    def arguments(self, setup, directory):
        return ["-dns.port", str(setup.port)]


class NodeLocal(CoreDns):
    name, program = "nodelocal", "node-cache"

    def arguments(self, setup, directory):
        return ["-dns.port", str(setup.port), "-localip", "127.0.0.1", "-setupinterface=false",
                "-setupiptables=false", "-metrics-listen-address", "127.0.0.1:0"]


def hosts(records):
    return "".join(f"{address} {name}\n" for name, address in records)


def write(launch, directory):
    for name, text in launch.files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)


DEBIAN = [Dnsdist, Kresd, Unbound, Recursor, Bind, Dnsmasq]
