//! `zerohop explain`: how a question would be answered by a configuration, and why.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::check::CONFIG_FAULT;
use crate::config::{self, Config, NextOn, Source, UpstreamServer};
use crate::daemon::build::{Parts, tables};
use crate::daemon::nameservers::Nameservers;
use crate::dns::answer_text::describe;
use crate::dns::name::{label_count, suffixes, write_text};
use crate::dns::{Name, Question, Rcode, RecordType, StoredAnswer};
use crate::forward::Plan;
use crate::handler::Tables;
use crate::handler::walk::{Alias, End, walk};
use crate::metrics::Registry;
use crate::upstream;
use crate::zone::OwnSource;

/// The exit code of a command line that cannot be understood, as clap has it.
const USAGE: u8 = 2;

#[derive(Clone, Debug, Args)]
pub(super) struct Explain {
    /// The name to look up; without a final dot it is complete all the same
    name: String,
    /// The record type, by mnemonic or as TYPE1234
    #[arg(default_value = "A")]
    r#type: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How a question is answered.
#[derive(Debug, Serialize)]
struct Explanation {
    name: String,
    r#type: String,
    /// From the question, over aliases, to where it ends.
    steps: Vec<Step>,
    /// What is answered without anybody being asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    /// Who is asked, unless the cache knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<Forwarding>,
}

#[derive(Debug, Serialize)]
struct Step {
    name: String,
    /// The zone that the name is in.
    zone: Option<String>,
    /// A word for what decides.
    by: &'static str,
    /// The same as a sentence.
    because: String,
    /// The zone that would have the name, but for its `except`.
    #[serde(skip_serializing_if = "Option::is_none")]
    excepted_by: Option<String>,
    /// The records that lead to the next step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leads: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    rcode: String,
    answers: Vec<String>,
    authorities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended_error: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Forwarding {
    /// In the order they are asked.
    groups: Vec<Group>,
    /// What makes the next group be asked.
    next_on: Vec<&'static str>,
    min_ttl: u32,
    max_ttl: u32,
    negative_max_ttl: u32,
    /// Whether NXDOMAIN answers for all below its name.
    nxdomain_cut: bool,
    /// Seconds beyond that, for when nobody answers.
    stale_max_age: u64,
}

#[derive(Debug, Serialize)]
struct Group {
    upstream: String,
    servers: Vec<String>,
}

/// Explains a question by the file that `zerohop run` would use. Returns the exit code: 0, 2 for a
/// name or type that is none, 78 for a configuration with errors, 1 if nothing could be written.
pub(super) fn explain(config: Option<PathBuf>, said: &Explain, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    tell(&Source::find(config), said, out, err).unwrap_or(1)
}

fn tell(source: &Source, said: &Explain, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let question = match question(said) {
        Ok(question) => question,
        Err(fault) => {
            writeln!(err, "error: {fault}")?;
            return Ok(USAGE);
        }
    };
    let loaded = match config::load(source) {
        Ok(loaded) => loaded,
        Err(faults) => {
            write!(err, "{faults}")?;
            return Ok(CONFIG_FAULT);
        }
    };
    let config = loaded.config;
    let nameservers = Nameservers::read(&config, &config.addresses());
    for problem in &nameservers.problems {
        writeln!(err, "warning: {problem}")?;
    }
    let parts = Parts { config: &config, nameservers: &nameservers, registry: &Registry::new(1), previous: None };
    match tables(parts) {
        Ok(tables) => {
            let explanation = Explanation::of(&question, &tables, &config);
            if said.json {
                serde_json::to_writer_pretty(&mut *out, &explanation)?;
                writeln!(out)?;
            } else {
                write!(out, "{}", explanation.text())?;
            }
            Ok(0)
        }
        Err(unfit) => {
            writeln!(err, "error: {unfit}")?;
            Ok(CONFIG_FAULT)
        }
    }
}

fn question(said: &Explain) -> Result<Question, String> {
    let name = Name::from_text(&said.name, &Name::root())
        .map_err(|error| format!("{:?} is no domain name: {error}; write one, as \"www.example.com\"", said.name))?;
    let no_type = || format!("{:?} is no record type; write one, as \"AAAA\" or \"TYPE65\"", said.r#type);
    let rtype = RecordType::from_mnemonic(&said.r#type).ok_or_else(no_type)?;
    if rtype.is_meta() {
        return Err(format!("{rtype} is no type that a zone is asked for; write one, as \"AAAA\""));
    }
    Question::new(name.wire(), rtype, false, false).ok_or_else(no_type)
}

impl Explanation {
    fn of(question: &Question, tables: &Tables, config: &Config) -> Self {
        let walk = walk(&tables.zones, question);
        let last = walk.question();
        let mut steps: Vec<Step> = Vec::new();
        let mut walked = Vec::new();
        for (question, Alias { zone, answer, source, .. }) in walk.steps() {
            let leads = describe(question, answer).answers;
            walked.extend_from_slice(&leads);
            steps.push(Step { leads, ..Step::owned(question, *zone, *source, config) });
        }
        let (step, answer, forward) = match &walk.end {
            End::Own { zone, answer, source } => {
                let said = Answer::of(last, answer, walked);
                (Step::owned(last, *zone, *source, config), Some(said), None)
            }
            &End::Elsewhere { zone } => {
                let forward =
                    tables.forwarding.get(zone).and_then(Option::as_deref).map(|plan| Forwarding::of(plan, config));
                let because = "no record, wildcard or pattern of the zone is of this name".to_owned();
                let step = Step::new(last, Some((zone, config)), "forward", because);
                (step.excepted(last, config), None, forward)
            }
            End::NoZone => {
                let because = "no zone covers the name".to_owned();
                let (rcode, error) = if walk.aliases.is_empty() { ("REFUSED", Some(20)) } else { ("NOERROR", None) };
                (
                    Step::new(last, None, "no-zone", because).excepted(last, config),
                    Some(Answer::bare(rcode, walked, error)),
                    None,
                )
            }
            End::TooLong => {
                let because = "it is led to by more than eight aliases, or by a loop of them".to_owned();
                (Step::new(last, None, "too-long", because), Some(Answer::bare("SERVFAIL", Vec::new(), Some(0))), None)
            }
        };
        steps.push(step);
        Self { name: text_of(question.name()), r#type: question.rtype().to_string(), steps, answer, forward }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for step in &self.steps {
            lines.push(format!("{} {}", step.name, self.r#type));
            lines.extend(step.zone.iter().map(|zone| format!("  zone {zone}")));
            lines.extend(step.excepted_by.iter().map(|zone| format!("  the zone {zone} excepts it")));
            lines.push(format!("  {}", step.because));
            lines.extend(step.leads.iter().map(|record| format!("    {record}")));
        }
        if let Some(answer) = &self.answer {
            let error = answer.extended_error.map(|code| format!(", extended error {code}")).unwrap_or_default();
            lines.push(format!("answer: {}{error}", answer.rcode));
            lines.extend(answer.answers.iter().chain(&answer.authorities).map(|record| format!("  {record}")));
        }
        if let Some(forward) = &self.forward {
            lines.push("answer: of the cache, else of".to_owned());
            for (index, Group { upstream, servers }) in forward.groups.iter().enumerate() {
                let after = if index == 0 { String::new() } else { format!(", after {}", forward.next_on.join(", ")) };
                let servers = if servers.is_empty() { "no server".to_owned() } else { servers.join(", ") };
                lines.push(format!("  {upstream}: {servers}{after}"));
            }
            let Forwarding { min_ttl, max_ttl, negative_max_ttl, nxdomain_cut, stale_max_age, .. } = forward;
            lines.push(format!("  kept {min_ttl} to {max_ttl} s, denials at most {negative_max_ttl} s"));
            if *stale_max_age > 0 {
                lines.push(format!("  given for {stale_max_age} s more while nobody answers"));
            }
            lines.extend(nxdomain_cut.then(|| "  NXDOMAIN answers for all below its name, too".to_owned()));
        }
        lines.join("\n") + "\n"
    }
}

impl Step {
    fn new(question: &Question, zone: Option<(usize, &Config)>, by: &'static str, because: String) -> Self {
        let zone = zone.and_then(|(zone, config)| config.zones.get(zone)).map(|zone| zone.name.to_string());
        Self { name: text_of(question.name()), zone, by, because, excepted_by: None, leads: Vec::new() }
    }

    /// Says which zone keeps the name out of itself: of those that cover it, the nearest.
    fn excepted(self, question: &Question, config: &Config) -> Self {
        let covers = |name: &Name| suffixes(question.name()).any(|suffix| suffix == name.wire());
        let has = |zone: &&config::Zone| zone.forward.iter().flat_map(|forward| &forward.except).any(covers);
        let nearest = config.zones.iter().filter(has).max_by_key(|zone| label_count(zone.name.wire()));
        // A deeper zone has it all the same.
        let shown = self.zone.as_deref().and_then(|zone| Name::from_text(zone, &Name::root()).ok());
        let nearest = nearest.filter(|zone| shown.is_none_or(|shown| !shown.is_within(&zone.name)));
        Self { excepted_by: nearest.map(|zone| zone.name.to_string()), ..self }
    }

    fn owned(question: &Question, zone: usize, source: OwnSource, config: &Config) -> Self {
        let special = config.zones.get(zone).is_some_and(|zone| zone.special);
        let (by, because) = match source {
            _ if special => ("special", "special: names of this zone never leave the node".to_owned()),
            OwnSource::Record => ("record", "records of this name".to_owned()),
            OwnSource::Wildcard { labels } => {
                let above = label_count(question.name()).saturating_sub(labels);
                let encloser = suffixes(question.name()).nth(above).map(text_of).unwrap_or_default();
                ("wildcard", format!("the wildcard *.{}", encloser.trim_start_matches('.')))
            }
            OwnSource::Dname => ("dname", "a DNAME above the name".to_owned()),
            OwnSource::EmptyNonTerminal => ("empty", "no records of this name, but of names below it".to_owned()),
            OwnSource::Cut => ("zone-cut", "at or below a zone cut, where names are not ours".to_owned()),
            OwnSource::Absent => ("absent", "the zone is owned whole, and has no such name".to_owned()),
            OwnSource::Pattern(place) => {
                let pattern = config.zones.get(zone).and_then(|zone| zone.patterns.get(place));
                ("pattern", format!("the pattern {}", pattern.map_or("", |pattern| pattern.regex.as_str())))
            }
            OwnSource::TooDeep => {
                let forward = config.zones.get(zone).and_then(|zone| zone.forward.as_ref());
                let most = forward.and_then(|forward| forward.max_labels).unwrap_or_default();
                ("too-deep", format!("it has more labels than `max-labels`, {most}, and is not owned"))
            }
        };
        Self::new(question, Some((zone, config)), by, because).excepted(question, config)
    }
}

impl Answer {
    fn of(question: &Question, answer: &StoredAnswer, mut answers: Vec<String>) -> Self {
        let text = describe(question, answer);
        answers.extend(text.answers);
        let rcode = match answer.rcode() {
            Rcode::NOERROR if answers.is_empty() => "NOERROR (no records of this type)".to_owned(),
            rcode => rcode.to_string(),
        };
        Self { rcode, answers, authorities: text.authorities, extended_error: answer.extended_error() }
    }

    fn bare(rcode: &str, answers: Vec<String>, extended_error: Option<u16>) -> Self {
        Self { rcode: rcode.to_owned(), answers, authorities: Vec::new(), extended_error }
    }
}

impl Forwarding {
    fn of(plan: &Plan, config: &Config) -> Self {
        let group = |group: &Arc<upstream::Group>| {
            // Where hosts are only a running daemon knows.
            let configured = config.upstreams.iter().filter(|upstream| upstream.name == group.name);
            let hosts = configured.flat_map(|upstream| &upstream.servers).filter_map(UpstreamServer::spelled_host);
            let servers = group.servers.iter().map(ToString::to_string).chain(hosts).collect();
            Group { upstream: group.name.clone(), servers }
        };
        Self {
            groups: plan.groups.iter().map(group).collect(),
            next_on: words(plan.next_on),
            min_ttl: plan.ttl.min,
            max_ttl: plan.ttl.max,
            negative_max_ttl: plan.ttl.negative_max,
            nxdomain_cut: plan.nxdomain_cut,
            stale_max_age: plan.stale.max_age.as_secs(),
        }
    }
}

fn words(next_on: NextOn) -> Vec<&'static str> {
    let NextOn { nxdomain, nodata, servfail, refused, timeout } = next_on;
    let all = [
        (nxdomain, "NXDOMAIN"),
        (nodata, "NODATA"),
        (servfail, "SERVFAIL"),
        (refused, "REFUSED"),
        (timeout, "TIMEOUT"),
    ];
    all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word).collect()
}

fn text_of(name: &[u8]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(name, &mut text);
    text
}
