//! PA206 to PA210: commands of probes, and what they depend on.

use super::command::{Target, base, has_shell, place, run, target};
use super::{Probe, ProbeKind, TEMPLATES, about, any, below, replicas, staying};
use crate::audit::facts::Carrier;
use crate::audit::kinds::Container;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Absorbs, Check, Context, Findings, Rule, absorbs};
use crate::pods::Member;

const HOST: &[Absorbs] = &[absorbs("PA109")];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA206",
        name: "exec-shell-syntax",
        severity: Severity::High,
        summary: "a probe's command uses a shell's syntax without a shell",
        why: "the kubelet hands the words over as they are: `&&` becomes an argument",
        remedy: "run it as [sh, -c, SCRIPT]",
        traps: &["$(NAME) is Kubernetes' own expansion", "an operator of the program's own"],
        needs: TEMPLATES,
        check: Check::Container(syntax),
        ..Rule::BASE
    },
    Rule {
        id: "PA207",
        name: "exec-env-literal",
        severity: Severity::High,
        summary: "a probe's command names a variable that nobody expands",
        why: "without a shell $VAR stays as it is, and the kubelet expands $(VAR) in probes only where its value is written in the container",
        remedy: "run it as [sh, -c, SCRIPT] and use $VAR there",
        traps: &["a shell expands it", "an interpreter's own variable"],
        needs: TEMPLATES,
        check: Check::Container(literal),
        ..Rule::BASE
    },
    Rule {
        id: "PA208",
        name: "exec-missing-shell",
        proof: Proof::Hint,
        summary: "a probe needs a shell and the image is known to have none",
        why: "the probe always fails",
        remedy: "use httpGet, grpc or tcpSocket, or a program of the image",
        traps: &["a variant of the image for debugging has one"],
        needs: TEMPLATES,
        check: Check::Container(no_shell),
        ..Rule::BASE
    },
    Rule {
        id: "PA209",
        name: "liveness-remote-dependency",
        severity: Severity::Critical,
        absorbs: HOST,
        summary: "liveness depends on something outside of the pod",
        why: "when that is down, the whole fleet restarts, and helps nobody",
        remedy: "ask the process itself",
        traps: &[
            "a socket or loopback check of a database",
            "a client without a host is local",
            "the pod's own name or address",
            "the node's own address, which the command names",
        ],
        needs: TEMPLATES,
        check: Check::Container(liveness),
        ..Rule::BASE
    },
    Rule {
        id: "PA210",
        name: "readiness-remote-dependency",
        severity: Severity::High,
        absorbs: HOST,
        summary: "readiness depends on something outside of the pod",
        why: "when that is down, all replicas are unready together and the service has no endpoint",
        remedy: "ask the process itself, and let the application answer errors of what it depends on",
        traps: &["one replica shares it with nobody"],
        links: &["https://github.com/GoogleCloudPlatform/cloud-sql-proxy/issues/2207"],
        needs: REPLICATED,
        check: Check::Container(readiness),
        ..Rule::BASE
    },
];

super::needs_of!(
    REPLICATED,
    "Templates and what scales them.",
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none()
);

/// Returns the first word that only a shell would understand.
fn shell_word(argv: &[String]) -> Option<&str> {
    let program = argv.first().map_or("", |program| base(program));
    let globs = matches!(program, "cat" | "ls" | "test" | "stat" | "[");
    // What an interpreter is given is its own language; a word that is an operator alone is in nobody's.
    let foreign = interprets(argv);
    // These have operators of their own.
    let own: &[&str] = match program {
        "find" => &[";"],
        "test" | "[" | "[[" | "expr" => &["<", ">", "|"],
        _ => &[],
    };
    argv.iter().skip(1).map(String::as_str).find(|word| {
        let alone = matches!(*word, "&&" | "||" | "|" | ";" | ">" | ">>" | "<" | "2>&1") && !own.contains(word);
        let substitution = word.match_indices("$(").any(|(at, _)| {
            let inner = word.get(at + 2..).and_then(|rest| rest.split(')').next());
            inner.is_some_and(|inner| inner.contains(' '))
        });
        alone || !foreign && (word.contains('`') || substitution || (globs && word.contains('*')))
    })
}

fn syntax<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in any(context, &carrier, &member) {
        let argv = probe.exec();
        if argv.is_empty() || has_shell(argv) {
            continue;
        }
        let Some(word) = shell_word(argv) else { continue };
        let (kind, name) = (probe.word(), &member.container.name);
        let message = format!(
            "{kind} of {name} gives {word:?} to {} as an argument: there is no shell that reads it",
            argv.first().map_or("", String::as_str)
        );
        let at = below(&carrier, &member, probe.kind, "exec/command");
        let mut finding = about(context, &carrier, &member, &probe, message).evidence(at.clone(), argv.to_vec());
        let simple = |word: &String| !word.is_empty() && !word.contains([' ', '"', '\'']);
        if argv.iter().all(simple) {
            finding = finding.set(&carrier, at, vec!["sh".to_owned(), "-c".to_owned(), argv.join(" ")]);
        }
        findings.push(finding);
    }
}

/// Returns whether a command hands a script to something that is no shell.
fn interprets(argv: &[String]) -> bool {
    const KNOWN: &[&str] = &[
        "awk",
        "gawk",
        "mawk",
        "perl",
        "ruby",
        "php",
        "node",
        "jq",
        "sed",
        "lua",
        "psql",
        "mongo",
        "mongosh",
        "redis-cli",
        "mysql",
        "pwsh",
        "powershell",
        "cmd",
        "grep",
        "egrep",
    ];
    // The program itself, behind `timeout 5` and the like.
    run(argv).first().and_then(|words| words.first()).is_some_and(|program| {
        let name = base(program);
        KNOWN.contains(&name.trim_end_matches(".exe")) || name.starts_with("python")
    })
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|letter| letter.is_ascii_uppercase() || letter == '_');
    first
        && text.len() > 1
        && text.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

/// Returns the variables in a word: those of a shell, and those of Kubernetes.
fn variables(word: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut shell, mut own) = (Vec::new(), Vec::new());
    for (at, _) in word.match_indices('$') {
        // `$$` is an escaped `$`.
        if word.get(..at).is_some_and(|before| before.ends_with('$')) {
            continue;
        }
        let rest = word.get(at + 1..).unwrap_or_default();
        let until = |text: &'_ str, end: char| text.find(end);
        if let Some(inner) = rest.strip_prefix('(') {
            own.extend(until(inner, ')').and_then(|end| inner.get(..end)));
        } else if let Some(inner) = rest.strip_prefix('{') {
            shell.extend(until(inner, '}').and_then(|end| inner.get(..end)));
        } else {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
            shell.extend(rest.get(..end));
        }
    }
    shell.retain(|name| is_name(name));
    own.retain(|name| is_name(name));
    (shell, own)
}

fn unexpanded<'p>(argv: &'p [String], container: &Container) -> Option<(&'p str, &'static str)> {
    let shell = has_shell(argv);
    let interpreted = interprets(argv);
    argv.iter().skip(1).find_map(|word| {
        let (of_shell, own) = variables(word);
        if let Some(name) = of_shell.first().filter(|_| !shell && !interpreted) {
            return Some((*name, "there is no shell that expands it"));
        }
        let hidden = own.into_iter().find(|name| {
            match container.env.iter().find(|variable| variable.name == **name) {
                Some(variable) => variable.value_from.is_some(),
                // In a shell it may as well be a command of that name.
                None => !shell && !container.env_from.is_empty(),
            }
        });
        hidden.map(|name| (name, "probes know only values that are written in the container"))
    })
}

fn literal<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in any(context, &carrier, &member) {
        let Some((name, then)) = unexpanded(probe.exec(), member.container) else { continue };
        let message = format!("{} of {} names the variable {name}: {then}", probe.word(), member.container.name);
        let at = below(&carrier, &member, probe.kind, "exec/command");
        findings.push(about(context, &carrier, &member, &probe, message).evidence(at, probe.exec().to_vec()));
    }
}

fn no_shell<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let image = &member.container.image;
    if !image.contains("distroless") || image.contains("debug") {
        return;
    }
    for probe in any(context, &carrier, &member) {
        let Some(shell) = probe.exec().first().filter(|program| super::command::is_shell(program)) else { continue };
        let message =
            format!("{} of {} runs {shell}, and image {image} has no shell", probe.word(), member.container.name);
        let at = below(&carrier, &member, probe.kind, "exec/command");
        let finding = about(context, &carrier, &member, &probe, message).evidence(at, probe.exec().to_vec());
        findings.push(finding.assuming("images called distroless have no shell"));
    }
}

/// Returns the host outside of the pod that a probe asks, how sure that is, and the field that says so.
fn remote(probe: &Probe<'_>, container: &Container) -> Option<(String, Proof, &'static str)> {
    if let Some((host, part)) = probe.host() {
        return match place(host) {
            Target::Remote(host) => Some((host.to_owned(), Proof::Exact, part)),
            _ => None,
        };
    }
    match target(probe.exec(), container) {
        Target::Remote(host) => Some((host, Proof::Model, "exec/command")),
        _ => None,
    }
}

/// Returns whether a host is the pod itself: by a name that it is given, or in the node's own network by an address
/// that its own command names as well.
pub(super) fn is_own(host: &str, carrier: &Carrier<'_>, container: &Container) -> bool {
    let spec = carrier.spec;
    let named =
        !spec.hostname.is_empty() && (host == spec.hostname || host.starts_with(&format!("{}.", spec.hostname)));
    let own = || {
        let words = container.command.iter().chain(&container.args);
        let texts = words.chain(container.env.iter().map(|variable| &variable.value));
        let parts = texts.flat_map(|text| text.split(|c: char| !c.is_ascii_hexdigit() && !matches!(c, '.' | ':')));
        parts
            .map(|part| part.split_once(':').filter(|(_, port)| !port.contains(':')).map_or(part, |(host, _)| host))
            .any(|part| part == host)
    };
    named || spec.host_network && host.parse::<std::net::IpAddr>().is_ok() && own()
}

/// Returns whether a probe of a container asks something outside of the pod.
pub(super) fn is_remote(probe: &Probe<'_>, container: &Container) -> bool {
    remote(probe, container).is_some()
}

fn depends<'a>(
    context: &Context<'a>,
    carrier: &Carrier<'a>,
    member: &Member<'a>,
    kind: ProbeKind,
) -> Option<crate::audit::rule::Draft<'a>> {
    let probe = staying(context, carrier, member).into_iter().find(|probe| probe.kind == kind)?;
    let (host, proof, part) = remote(&probe, member.container)?;
    if is_own(&host, carrier, member.container) {
        return None;
    }
    let name = &member.container.name;
    let then = match kind {
        ProbeKind::Readiness => "when that is down, the service has no endpoint",
        _ => "when that is down, every replica restarts",
    };
    let message = format!("{} of {name} asks {host}, which is outside of the pod: {then}", probe.word());
    let at = below(carrier, member, kind, part);
    let finding = about(context, carrier, member, &probe, message).proof(proof);
    let finding = match part {
        "exec/command" => {
            let finding = finding.evidence(at, probe.exec().to_vec());
            finding.assuming(format!("the command reaches {host} and fails when that does not answer"))
        }
        _ => finding.evidence(at.clone(), host).unset(carrier, at),
    };
    Some(finding)
}

fn liveness<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if let Some(finding) = depends(context, &carrier, &member, ProbeKind::Liveness) {
        findings.push(finding);
    }
}

fn readiness<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let Some(finding) = depends(context, &carrier, &member, ProbeKind::Readiness) else { return };
    let several =
        carrier.object.fact() == Fact::DaemonSet || replicas(context.facts, &carrier).is_some_and(|count| count > 1);
    findings.push(finding.severity(if several { Severity::High } else { Severity::Medium }));
}
