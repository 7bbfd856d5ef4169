//! The audits at the prompt: one family in `kubectl zombie-jobs` and `kubectl probe-audit`, all in `kubectl guard`.

mod args;
mod ask;
mod blast;
mod facts;
mod fix;
mod sidecars;
mod suggest;
mod timeline;
mod watch;

use std::io::BufWriter;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use kubeguard_core::access::Environment;
use kubeguard_core::audit::gather::Scope;
use kubeguard_core::audit::probes::blast as radius;
use kubeguard_core::audit::snapshot::record;
use kubeguard_core::audit::{AuditReport, Audited, Rule, Selection, Suppressed, audited, needs, rules};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::pods::SidecarTable;

use self::args::{
    AuditCommandArgs, Guard, GuardCommand, ProbeAudit, ProbeCommand, RulesArgs, SnapshotArgs, ZombieCommand, ZombieJobs,
};
use crate::cli::ChatterArgs;
use crate::exit::ExitCode;
use crate::output::audit::{AuditFormat, Frame, RuleRow};
use crate::start;
use crate::terminal::Terminal;

pub(crate) use self::timeline::{TimelineReport, Told};

/// What every audit judges beside its own family: suppressions and annotations that cannot be read.
const ALWAYS: [&str; 2] = ["SUP", "ANN"];

const EXIT_CODES: &str = "Exit codes:
  0    nothing at or above --fail-on
  1    findings at or above --fail-on
  2    no answer: wrong usage, cluster cannot be reached, no permission, unreadable file
  6    partly: some rules could not be judged, the others found nothing
  130  interrupted
";

/// Runs `kubectl zombie-jobs` with the arguments of this process.
#[must_use]
pub fn zombie_jobs() -> std::process::ExitCode {
    run::<ZombieJobs>(
        |args| &args.chatter,
        async |args, terminal| {
            let who =
                Who { name: "kubectl zombie-jobs", binary: "kubectl-zombie_jobs", family: "ZJ", kind: Some("job") };
            match &args.command {
                Some(ZombieCommand::Sidecars(asked)) => {
                    sidecars::run(asked, &args.audit.access, who.binary, terminal).await
                }
                None if args.fix.is_asked() => fix::run(&args.audit, &args.fix, who, terminal).await,
                None => match args.watch.every() {
                    Some(every) => watch::run(&args.audit, who, every, terminal).await,
                    None => judge(&args.audit, who, terminal).await,
                },
            }
        },
    )
}

/// Runs `kubectl probe-audit` with the arguments of this process.
#[must_use]
pub fn probe_audit() -> std::process::ExitCode {
    run::<ProbeAudit>(
        |args| &args.chatter,
        async |args, terminal| match &args.command {
            Some(ProbeCommand::Blast(asked)) => blast::run(asked, terminal).await,
            Some(ProbeCommand::Timeline(asked)) => timeline::run(asked, terminal).await,
            Some(ProbeCommand::Suggest(asked)) => suggest::run(asked, terminal).await,
            None => {
                judge(
                    &args.audit,
                    Who { name: "kubectl probe-audit", binary: PROBE_AUDIT, family: "PA", kind: None },
                    terminal,
                )
                .await
            }
        },
    )
}

/// Runs `kubectl guard` with the arguments of this process.
#[must_use]
pub fn guard() -> std::process::ExitCode {
    run::<Guard>(
        |args| &args.chatter,
        async |args, terminal| match &args.command {
            GuardCommand::Audit(asked) => {
                judge(asked, Who { name: "kubectl guard audit", binary: GUARD, family: "", kind: None }, terminal).await
            }
            GuardCommand::Rules(asked) => tell_rules(asked, terminal),
            GuardCommand::Snapshot(asked) => snapshot(asked, terminal).await,
            GuardCommand::Policy(asked) => crate::guard::policy::run(asked, terminal),
            GuardCommand::Rollout(asked) => crate::guard::rollout::run(asked, terminal).await,
        },
    )
}

/// The program, as servers see it.
const GUARD: &str = "kubectl-guard";
/// The program, as servers see it.
const PROBE_AUDIT: &str = "kubectl-probe_audit";

/// Which plugin judges.
#[derive(Clone, Copy)]
struct Who {
    name: &'static str,
    binary: &'static str,
    /// Its family; all where empty.
    family: &'static str,
    /// What a bare name is the name of.
    kind: Option<&'static str>,
}

/// Parses the arguments of this process and answers them, until it is done or interrupted.
#[expect(clippy::needless_pass_by_value, reason = "the types of a closure behind a reference are not inferred")]
fn run<A: CommandFactory + FromArgMatches>(
    chatter: impl Fn(&A) -> &ChatterArgs,
    answer: impl AsyncFn(&A, Terminal) -> Result<ExitCode>,
) -> std::process::ExitCode {
    let command = A::command();
    // A command whose help says more has its own.
    let told = command.get_after_help().is_some();
    let command = if told { command } else { command.after_help(EXIT_CODES) };
    start::run(command, chatter, async |args: &A, terminal| {
        tokio::select! {
            ended = answer(args, terminal) => ended,
            () = start::interrupted() => Ok(ExitCode::Interrupted),
        }
    })
}

fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}

/// Returns the rules of a plugin that `--select` and `--ignore` leave.
fn selected(asked: &AuditCommandArgs, who: Who) -> Result<Vec<&'static Rule>> {
    let selection = Selection { select: asked.select.clone(), ignore: asked.ignore.clone() };
    let own = |rule: &&Rule| {
        let family = rule.id.starts_with(who.family) || ALWAYS.contains(&rule.family());
        // What is selected by its id is wanted, whatever the family.
        family || asked.select.iter().any(|id| rule.id.starts_with(id.as_str()))
    };
    let chosen = selection.of(rules()).map_err(|error| usage(error.to_string(), "kubectl guard rules lists them"))?;
    Ok(chosen.into_iter().filter(own).collect())
}

async fn judge(asked: &AuditCommandArgs, who: Who, terminal: Terminal) -> Result<ExitCode> {
    let chosen = selected(asked, who)?;
    let named = ask::named(&asked.names, who.kind)?;
    let wanted = ask::with_named(needs(chosen.iter().copied()), &named)?;
    if asked.print_rbac {
        terminal.answer(&wanted.rbac(asked.scope.namespace.as_deref()));
        return Ok(ExitCode::Yes);
    }
    let mut policy = asked.policy()?;
    let read = facts::read(&asked.scope, &asked.access, who.binary, &wanted).await?;
    for note in read.facts.notes() {
        tracing::info!("{note}");
    }
    let now = asked.now.or(read.now).unwrap_or_else(Timestamp::now);
    policy.only = ask::only(&named, &read.facts)?;
    let Audited { report, suppressed, .. } = audited(&read.facts, &chosen, &policy, now);
    if report.summary.objects == 0 && report.complete {
        terminal.say("nothing that these rules judge was found");
    }
    // A picture of what falls with what, where the rules that were asked for have read what it takes.
    let pictured = asked.audit.output == AuditFormat::Html && chosen.iter().any(|rule| rule.id == "PA607");
    let picture = pictured.then(|| blast::of_all(&read.facts, &policy, now));
    let beside = Beside { now, suppressed: &suppressed, picture: picture.as_ref() };
    answer(asked, who, &chosen, &report, beside, terminal);
    Ok(asked.audit.code(&report))
}

/// What belongs to a report and is not in it.
#[derive(Clone, Copy)]
struct Beside<'a> {
    now: Timestamp,
    suppressed: &'a [Suppressed],
    picture: Option<&'a radius::BlastReport>,
}

impl Beside<'_> {
    /// Nothing beside a report of that time.
    const fn at(now: Timestamp) -> Self {
        Self { now, suppressed: &[], picture: None }
    }
}

/// Writes a report; tells whether anybody still reads.
fn answer(
    asked: &AuditCommandArgs,
    who: Who,
    chosen: &[&Rule],
    report: &AuditReport,
    beside: Beside<'_>,
    terminal: Terminal,
) -> bool {
    let rows: Vec<RuleRow<'_>> = chosen.iter().map(|rule| row(rule)).collect();
    let frame = Frame {
        suppressed: beside.suppressed,
        blast: beside.picture,
        command: who.name,
        rules: &rows,
        fail_on: asked.audit.fail_on(),
        taken_at: beside.now,
        kind: None,
        colour: terminal.colour(),
    };
    let is_read = terminal.answer(&asked.audit.output.writer().report(report, &frame));
    for line in asked.audit.output.beside(report) {
        terminal.complain(&line);
    }
    is_read
}

/// Reads a user's table of sidecars.
fn sidecar_table(path: &Path) -> Result<SidecarTable> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
    SidecarTable::with(&file, &text).map_err(|error| usage(error.to_string(), ""))
}

fn row(rule: &Rule) -> RuleRow<'_> {
    let Rule { id, name, severity, summary, remedy, .. } = *rule;
    RuleRow { id, name, severity, summary, remedy }
}

/// Prints the table of rules, or one rule.
fn tell_rules(asked: &RulesArgs, terminal: Terminal) -> Result<ExitCode> {
    let Some(id) = &asked.id else {
        let mut lines = vec![["ID", "SEVERITY", "PROOF", "NAME", "SUMMARY"].map(ToOwned::to_owned).to_vec()];
        lines.extend(rules().iter().map(|rule| {
            let cells = [rule.id, rule.severity.word(), rule.proof.word(), rule.name, rule.summary];
            cells.map(ToOwned::to_owned).to_vec()
        }));
        terminal.answer(&(crate::output::columns(lines).join("\n") + "\n"));
        return Ok(ExitCode::Yes);
    };
    let selection = Selection { select: vec![id.clone()], ignore: Vec::new() };
    selection.of(rules()).map_err(|error| usage(error.to_string(), "kubectl guard rules lists them"))?;
    let mut text = String::new();
    // Opt-in rules too: who reads about them has not asked for them yet.
    for rule in rules().iter().filter(|rule| rule.id.starts_with(id.as_str())) {
        text += &format!("{} {}   {} · {}\n", rule.id, rule.name, rule.severity, rule.proof);
        for (word, said) in [("what", rule.summary), ("why", rule.why), ("fix", rule.remedy)] {
            if !said.is_empty() {
                text += &format!("{word:<9} {said}\n");
            }
        }
        if !rule.traps.is_empty() {
            text += &format!("{:<9} {}\n", "avoids", rule.traps.join(" · "));
        }
        let reads: Vec<&str> = rule.reads().map(|need| need.fact.plural()).collect();
        if !reads.is_empty() {
            text += &format!("{:<9} {}\n", "reads", reads.join(", "));
        }
    }
    terminal.answer(&text);
    Ok(ExitCode::Yes)
}

/// Writes a snapshot of what all rules, or the selected ones, read.
async fn snapshot(asked: &SnapshotArgs, terminal: Terminal) -> Result<ExitCode> {
    let selection = Selection { select: asked.select.clone(), ignore: Vec::new() };
    let chosen = selection.of(rules()).map_err(|error| usage(error.to_string(), "kubectl guard rules lists them"))?;
    let cluster = asked.access.access(GUARD).connect(&Environment::of_process()).await?;
    let scope = match (&asked.namespace, asked.all_namespaces) {
        (Some(namespace), false) => Scope { namespaces: vec![namespace.clone()] },
        _ => Scope::default(),
    };
    let file = asked.output.display().to_string();
    let io = |source| Error::Io { doing: "write", file: file.clone(), source };
    // A file of that name is replaced by a whole one, or not at all.
    let folder = asked.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut written = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(io)?;
    let wanted = needs(chosen.iter().copied());
    // Without a choice, what the commands beside the rules read is kept too.
    let wanted = if asked.select.is_empty() { wanted.with(radius::needs()) } else { wanted };
    let keep = asked.keep();
    let now = Timestamp::now();
    let (header, left_out) = if asked.output.extension().is_some_and(|extension| extension == "gz") {
        let mut packed = GzEncoder::new(&mut written, Compression::default());
        let recorded = record(&cluster, &wanted, &scope, keep, now, &mut packed).await?;
        packed.finish().map_err(io)?;
        recorded
    } else {
        record(&cluster, &wanted, &scope, keep, now, BufWriter::new(&mut written)).await?
    };
    written.persist(&asked.output).map_err(|error| io(error.error))?;
    let whole = header.lists.iter().filter(|list| list.error.is_none() && !list.unserved);
    let (kinds, objects) =
        whole.fold((0_u64, 0), |(kinds, objects), list| (kinds + 1, objects + list.count.unwrap_or(0)));
    terminal.say(&format!("wrote {file}: {kinds} kinds, {objects} objects, taken {}", header.taken_at));
    terminal.say(&format!("left out: {}; {left_out} environment values", header.left_out.join(", ")));
    let unread: Vec<String> =
        header.lists.iter().filter_map(|list| Some(format!("{} ({})", list.resource, list.error.as_ref()?))).collect();
    if unread.is_empty() {
        return Ok(ExitCode::Yes);
    }
    terminal.complain(&format!("not readable: {}", unread.join(", ")));
    Ok(ExitCode::Partly)
}
