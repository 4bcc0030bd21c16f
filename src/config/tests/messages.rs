//! A snapshot of every message. A case is a small file; what each file needs to be whole is added
//! around it.

use std::collections::BTreeSet;
use std::path::Path;

use super::certificates;
use crate::config::{Faults, Source, load, parse};

/// The name of the snapshot, and the file.
const CASES: &[(&str, &str)] = &[
    ("syntax", "[[zone]]\nname = a.b\nttl == 5\n[cache\n"),
    ("syntax-duplicate", "[cache]\nmax-bytes = 1\nmax-bytes = '1GiB'\n[log]\n[log]\n"),
    ("section-unknown", "[sever]\n[metrics]\n"),
    ("section-missing", "ttl = 5\nlisten = ['127.0.0.1']\n"),
    ("section-brackets", "[upstream]\nname = 'a'\n[[cache]]\n"),
    ("section-in-a-list", "zone = ['a', 5]\n"),
    ("key-unknown", "[cache]\nmax_bytes = 1\nttl = 5\nsparkles = true\n"),
    ("key-later", "[admin]\nfamilies = ['zerohop']\n[log]\nsample-rate = 5\n"),
    ("key-missing", "[server]\n[[upstream]]\n[[zone]]\nname = 'a'\nrecords = ['a A 10.0.0.1']\n[[zone.match]]\n"),
    (
        "type-wrong",
        "[server]\nlisten = 5\nworkers = '2'\ntcp-idle = [1]\ndrain = 1.5\n[cache]\nmax-bytes = true\n[log]\nlevel = 3\n[[zone]]\nname = {}\nptr = 1979-05-27\nrecords = 'a A 10.0.0.1'\n",
    ),
    ("type-wrong-in-a-list", "[server]\nlisten = ['127.0.0.1', 53]\n"),
    ("word-unknown", "[log]\nlevel = 'inf'\nformat = 'xml'\n"),
    (
        "number-range",
        "[server]\nlisten = ['127.0.0.1']\nworkers = 65\ntcp-connections = -1\ndrain = 99999999999999999999\n[[upstream]]\nname = 'a'\nservers = ['10.0.0.1']\nin-flight = 0\n[[zone]]\nname = 'a'\nforward = ['a']\nin-flight = 70000\n",
    ),
    ("duration", "[server]\nlisten = ['127.0.0.1']\ntcp-idle = 'ten'\ntcp-read = '5ms'\ndrain = '2m'\n"),
    ("ttl", "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\nttl = '400ms'\nmin-ttl = 2147483648\n"),
    ("ttl-order", "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\nmin-ttl = '2d'\n"),
    ("size", "[cache]\nmax-bytes = '64MB'\n"),
    ("persist", "[cache]\npersist = 'cache'\n[log]\n"),
    ("persist-directory", "[cache]\npersist = '/var/lib/zerohop/'\n"),
    ("size-range", "[cache]\nmax-bytes = '64KiB'\n"),
    ("listen", "[server]\nlisten = ['eth0', '127.0.0.1:0', '127.0.0.1', '127.0.0.1:53']\n"),
    ("listen-empty", "[server]\nlisten = []\n"),
    (
        "interface",
        "[server]\nlisten = ['169.254.20.10', '10.96.0.11']\n[interface]\nname = 'zero hop'\naddresses = ['169.254.20.10/24', '127.0.0.1', '169.254.20.10', 'zerohop0', '169.254.20.12', '10.96.0.10']\nintercept = ['10.96.0.10', '10.96.0.11', '10.96.0.12:53']\n",
    ),
    ("interface-empty", "[interface]\n"),
    (
        "server-tls",
        "[server]\nlisten = ['127.0.0.1', '127.0.0.1:853']\n[server.tls]\nlisten = ['127.0.0.1', 'eth0', '::1', '[::1]:853']\ncertificate = 'old.pem'\nkey = 'old.key'\n[admin]\nlisten = '[::1]:853'\n[[upstream]]\nname = 'a'\nservers = ['tls://[::1]']\nca = 'ca.pem'\n[[zone]]\nname = '.'\nforward = ['a']\n",
    ),
    ("server-tls-missing", "[server]\nlisten = ['127.0.0.1']\n[server.tls]\ncert = 'node.pem'\n"),
    (
        "server-tls-empty",
        "[server]\nlisten = ['127.0.0.1']\ntls = { listen = [], certificate = 'absent.pem', key = 'node.pem' }\n",
    ),
    ("server-tls-no-table", "[server]\nlisten = ['127.0.0.1']\ntls = true\n"),
    (
        "server-tls-key",
        "[server]\nlisten = ['127.0.0.1']\ntls = { listen = ['127.0.0.1'], certificate = 'node.pem', key = 'other.key' }\n",
    ),
    (
        "server-tls-chain",
        "[server]\nlisten = ['127.0.0.1']\ntls = { listen = ['127.0.0.1'], certificate = 'node.key', key = 'broken.pem' }\n",
    ),
    ("allow", "[server]\nlisten = ['127.0.0.1']\nallow = ['10.0.0.1/8', '10/8', '10.0.0.0/33']\n"),
    ("admin", "[admin]\nlisten = '127.0.0.1'\nmetrics-listen = ['127.0.0.1:53', '::1']\n"),
    (
        "upstream-name",
        "[[upstream]]\nname = ''\nservers = ['10.0.0.1']\n[[upstream]]\nname = 'a'\nservers = ['10.0.0.1']\n[[upstream]]\nname = 'a'\nservers = ['10.0.0.2']\n[[zone]]\nname = '.'\nforward = ['', 'a']\n",
    ),
    (
        "upstream-servers",
        "[[upstream]]\nname = 'a'\nservers = ['https://10.0.0.1/{?dns}', 'sctp://10.0.0.1', 'tls://10.0.0.1#a b', 'quic://10.0.0.1/q', 'https://10.0.0.1#a b', 'dns.example:0', 'resolv-conf:', '0.0.0.0', '1.2.3.4.5', '10.0.0.1', '10.0.0.1:53']\n[[zone]]\nname = '.'\nforward = ['a']\n",
    ),
    (
        "upstream-tls-files",
        "[[upstream]]\nname = 'a'\nservers = ['tls://10.0.0.1']\nca = 'absent.pem'\ncertificate = 'hosts'\nkey = 'ca.pem'\n[[upstream]]\nname = 'b'\nservers = ['tls://10.0.0.2#b']\nca = 'broken.pem'\ncertificate = 'node.pem'\nkey = 'other.key'\n[[upstream]]\nname = 'c'\nservers = ['tls://10.0.0.3']\nca = 'nonsense.pem'\ncertificate = 'node.pem'\n[[upstream]]\nname = 'd'\nservers = ['tls://10.0.0.4']\nkey = 'node.key'\n[[zone]]\nname = '.'\nforward = ['a', 'b', 'c', 'd']\n",
    ),
    (
        "upstream-tls-files-without-effect",
        "[[upstream]]\nname = 'a'\nservers = ['tcp://10.0.0.1']\nca = 'ca.pem'\ncertificate = 'node.pem'\nkey = 'node.key'\n[[zone]]\nname = '.'\nforward = ['a']\n",
    ),
    (
        "upstream-tls-system",
        "[[upstream]]\nname = 'a'\nservers = ['https://10.0.0.1']\n[[zone]]\nname = '.'\nforward = ['a', 'quic://10.0.0.2']\n",
    ),
    (
        "upstream-host-name",
        "[[upstream]]\nname = 'a'\nservers = ['a..example', 'tcp://this-label-is-longer-than-the-sixty-three-octets-that-a-label-may-have.example']\n[[zone]]\nname = '.'\nforward = ['a']\n",
    ),
    (
        "upstream-bootstrap",
        "[server]\nlisten = ['127.0.0.1']\n[[upstream]]\nname = 'a'\nservers = ['dns.example']\n[[upstream]]\nname = 'b'\nservers = ['tcp://dns.example']\nbootstrap = []\n[[upstream]]\nname = 'c'\nservers = ['tcp://dns.example']\nbootstrap = ['dns.example', 'tcp://10.0.0.1', '127.0.0.1', '0.0.0.0']\n[[zone]]\nname = '.'\nforward = ['a', 'b', 'c', 'quic://dns.example:853']\n",
    ),
    (
        "upstream-bootstrap-without-effect",
        "[[upstream]]\nname = 'a'\nservers = ['10.0.0.1']\nbootstrap = ['10.0.0.2']\n[[zone]]\nname = '.'\nforward = ['a']\n",
    ),
    ("upstream-empty", "[[upstream]]\nname = 'a'\nservers = []\n[[zone]]\nname = '.'\nforward = ['a']\n"),
    (
        "upstream-is-zerohop",
        "[interface]\nintercept = ['10.96.0.10']\n[[zone]]\nname = '.'\nforward = ['10.96.0.10', 'tcp://127.0.0.1', '10.96.0.10:5353']\n",
    ),
    ("upstream-unused", "[[upstream]]\nname = 'a'\nservers = ['10.0.0.1']\n"),
    ("zone-name", "[[zone]]\nnames = ['*.a', 'bücher.example', 'a..b', '@', 'a b', '*']\nrecords = ['a A 10.0.0.1']\n"),
    (
        "zone-name-twice",
        "[[zone]]\nname = 'Example.'\nforward = ['10.0.0.1']\n[[zone]]\nnames = ['example', 'b']\nforward = ['10.0.0.1']\n",
    ),
    (
        "zone-name-and-names",
        "[[zone]]\nname = 'a'\nnames = ['b']\nforward = ['10.0.0.1']\n[[zone]]\nforward = ['10.0.0.1']\n[[zone]]\nnames = []\nforward = ['10.0.0.1']\n",
    ),
    ("zone-empty", "[[zone]]\nname = 'a'\n"),
    ("zone-root-missing", "[[zone]]\nname = 'a'\nforward = ['10.0.0.1']\n#no root\n"),
    (
        "forward",
        "[[upstream]]\nname = 'kube-dns'\nservers = ['10.0.0.1']\n[[zone]]\nname = 'a'\nforward = ['kube-dsn', 'cloud', 'kube-dns', 'kube-dns', 'tls://10.0.0.1']\n",
    ),
    ("forward-without-upstreams", "[[zone]]\nname = '.'\nforward = ['cloud']\n"),
    ("forward-empty", "[[zone]]\nname = '.'\nforward = []\n"),
    (
        "next-on",
        "[[zone]]\nname = '.'\nforward = ['10.0.0.1', '10.0.0.2']\nnext-on = ['nxdomain', 'NXDOMIAN', 'ALWAYS']\n",
    ),
    ("next-on-without-a-next", "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\nnext-on = ['NXDOMAIN']\n"),
    (
        "without-effect",
        "[[zone]]\nname = 'a'\nrecords = ['a A 10.0.0.1']\nother-types = 'forward'\nin-flight = 9\nnext-on = ['NXDOMAIN']\nmin-ttl = 1\nmax-ttl = 2\nnegative-max-ttl = 1\nexcept = ['b.a']\nnxdomain-cut = true\nmax-labels = 4\n",
    ),
    (
        "serve-stale",
        "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\nserve-stale = { max-age = '8d', after = '5s', ttl = 0, older = 1 }\n[[zone]]\nname = 'a'\nforward = ['10.0.0.1']\nserve-stale = false\n[[zone]]\nname = 'b'\nrecords = ['a A 10.0.0.1']\nserve-stale = { max-age = 0 }\n",
    ),
    (
        "except",
        "[[zone]]\nname = 'a'\nforward = ['10.0.0.1']\nrecords = ['x.y A 10.0.0.1']\nexcept = ['*.b.a', 'a', 'b.c', 'y.a', 'x.y.a', 'z.d.a']\n[[zone]]\nname = 'd.a'\nforward = ['10.0.0.1']\n",
    ),
    ("max-labels", "[[zone]]\nname = '.'\nforward = ['10.0.0.1']\nmax-labels = 0\nnxdomain-cut = 1\n"),
    ("record", "[[zone]]\nname = 'a'\nrecords = ['a  A 10.0.0', \"b\\tADDRESS x\", 'c A']\n"),
    ("record-outside", "[[zone]]\nnames = ['a', 'b']\nrecords = ['x.c. A 10.0.0.1', 'x.b. A 10.0.0.1']\n"),
    (
        "record-cname",
        "[[zone]]\nname = 'a'\nrecords = ['x CNAME y', 'x A 10.0.0.1', 'z A 10.0.0.1', 'z CNAME x', 'w CNAME x', 'w CNAME y']\n",
    ),
    (
        "record-soa",
        "[[zone]]\nname = 'a'\nrecords = ['@ SOA ns h 1 2 3 4 5', '@ SOA ns h 2 2 3 4 5', 'x SOA ns h 1 2 3 4 5']\n",
    ),
    (
        "record-of-a-deeper-zone",
        "[[zone]]\nname = 'a'\nrecords = ['x.b A 10.0.0.1', 'b DS 1 8 2 00']\n[[zone]]\nname = 'b.a'\nforward = ['10.0.0.1']\n",
    ),
    ("record-of-a-special-name", "[[zone]]\nname = '.'\nrecords = ['x.test A 10.0.0.1']\nforward = ['10.0.0.1']\n"),
    (
        "ptr-uncovered",
        "[[zone]]\nname = 'a'\nptr = true\nrecords = ['x AAAA fd00::1']\n#no root\n[[zone]]\nname = 'ip6.arpa.example'\nforward = ['10.0.0.1']\n",
    ),
    ("files-missing", "[[zone]]\nname = 'a'\nhosts = ['absent']\nzone-file = '/absent/zone'\n"),
    ("files-faulty", "[[zone]]\nname = 'a'\nhosts = ['hosts']\nzone-file = 'a.zone'\n"),
    (
        "pattern",
        "[[zone]]\nname = 'a'\n[[zone.match]]\npattern = 'é(ab'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '\\p{Greek}'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '(\\w{200}){200}'\nrcode = 'NXDOMAIN'\n",
    ),
    (
        "pattern-case",
        "[[zone]]\nname = 'a'\n[[zone.match]]\npattern = '^Node(\\d+)\\.a$'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '^[A-Z]+\\.a$'\nrcode = 'NXDOMAIN'\n",
    ),
    (
        "pattern-ends",
        "[[zone]]\nname = 'b.a'\n[[zone.match]]\npattern = '^x\\.b\\.a\\.$'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '\\.c\\.a$'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '\\.c\\.b\\.a$'\nrcode = 'NXDOMAIN'\n",
    ),
    (
        "pattern-twice",
        "[[zone]]\nname = 'a'\n[[zone.match]]\npattern = '^x'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '^x'\nrcode = 'REFUSED'\n",
    ),
    (
        "pattern-behind-a-zone",
        "[[zone]]\nname = 'a'\n[[zone.match]]\npattern = '\\.b\\.a$'\nrcode = 'NXDOMAIN'\n[[zone]]\nname = 'b.a'\nforward = ['10.0.0.1']\n",
    ),
    (
        "pattern-behind-a-wildcard",
        "[[zone]]\nname = 'a'\nrecords = ['*.b A 10.0.0.1', 'c A 10.0.0.1', 'x.d.b A 10.0.0.2']\n[[zone.match]]\npattern = '\\.c\\.b\\.a$'\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = '\\.d\\.b\\.a$'\nrcode = 'NXDOMAIN'\n",
    ),
    (
        "reaction",
        "[[zone]]\nname = 'a'\n[[zone.match]]\npattern = 'x'\n[[zone.match]]\npattern = 'y'\nanswer = ['A 10.0.0.1']\nrcode = 'NXDOMAIN'\n[[zone.match]]\npattern = 'z'\nrcode = 'YXDOMAIN'\n[[zone.match]]\npattern = 'w'\nanswer = []\n",
    ),
    (
        "template",
        "[[zone]]\nname = 'a'\n[[zone.match]]\npattern = '(?<x>.)(.)'\nanswer = ['${1}', 'A', 'A 10.0.0.$x', 'A 10.0.0.${y}', 'A 10.0.0', 'CNAME b']\n[[zone.match]]\npattern = 'x'\nanswer = ['A ${1}']\n[[zone.match]]\npattern = '(x)'\nanswer = ['A ${2}']\n[[zone.match]]\npattern = '(x)(y)'\nanswer = ['A ${3}']\n[[zone.match]]\npattern = '(x)(y)'\nanswer = ['A 10.0.0.${1}', 'CNAME b']\n",
    ),
];

fn complete(case: &str) -> String {
    let mut text = case.to_owned();
    if !case.contains("[server]") {
        text.push_str("[server]\nlisten = ['127.0.0.1']\n");
    }
    if !case.contains("'.'") && !case.contains("#no root") {
        text.push_str("[[zone]]\nname = '.'\nforward = ['192.0.2.1']\n");
    }
    text
}

fn faults_of(directory: &Path, text: &str) -> Faults {
    match parse(&directory.join("zerohop.toml"), text) {
        Ok(loaded) => loaded.warnings,
        Err(faults) => faults,
    }
}

#[test]
fn every_message_has_its_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content).unwrap();
    write("hosts", b"10.0.0.1 x.a x.b\n10.0.0.300 y.a\n10.0.0.1 x.a\n10.0.0.2 alias.a\n");
    write("a.zone", b"@ SOA ns h 1 2 3 4 5\nx A 10.0.0\nx.b. A 10.0.0.1\nalias CNAME x\n$INCLUDE absent\n");
    certificates::write(directory.path());
    write("octets.toml", b"[server]\nlisten = ['\xff']\n");
    let mut seen = BTreeSet::new();
    let mut snapshot = |name: &str, faults: &Faults| {
        let shown = faults.to_string().replace(directory.path().to_str().unwrap(), "");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
        seen.extend(faults.iter().map(|fault| (fault.worded_at.file(), fault.worded_at.line())));
    };
    for (name, case) in CASES {
        snapshot(name, &faults_of(directory.path(), &complete(case)));
    }
    let long = format!("[[zone]]\nname = '.'\n[[zone.match]]\npattern = '{}'\nrcode = 'NODATA'\n", "x".repeat(10_001));
    snapshot("pattern-too-long", &faults_of(directory.path(), &complete(&long)));
    for file in ["absent.toml", "octets.toml"] {
        let source = Source::File(directory.path().join(file));
        snapshot(file, &load(&source).unwrap_err());
    }
    let unseen: Vec<String> = worded()
        .into_iter()
        .filter(|(file, line)| !seen.contains(&(file, *line)))
        .map(|(file, line)| format!("{file}:{line}"))
        .collect();
    assert!(unseen.is_empty(), "messages without a case: {unseen:#?}");
}

/// Every line of the room that words a message.
fn worded() -> Vec<(String, u32)> {
    let mut lines = Vec::new();
    let mut directories = vec![Path::new("src/config").to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let wording = source.lines().zip(1..).filter(|(line, _)| line.contains("Message::new("));
                lines.extend(wording.map(|(_, line)| (path.to_str().unwrap().to_owned(), line)));
            }
        }
    }
    lines
}
