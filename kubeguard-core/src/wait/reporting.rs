//! Turns the state of a wait into its report: items with their chain of causes, remedy, and the worst exit code.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::object::{Object, ObjectKey};
use super::policy::{Patience, Policy, Profile};
use super::reason::Word;
use super::report::{Cause, Ended, Explanation, ItemReport, WaitReport};
use super::state::{Item, State};
use super::verdict::{Evidence, Suspect, Verdict, Witness};
use crate::kinds::Event;

/// The order in which the worst item decides, worst first (contract, section 6).
const WORST: [u8; 7] = [2, 1, 5, 4, 6, 3, 0];
/// More causes than these help nobody; they are folded, and the worst come first.
const MOST_CAUSES: usize = 5;

impl State {
    /// Returns the report of the wait as it stands. `explain` adds the rule, the fields read and what would flip each
    /// verdict.
    #[must_use]
    pub fn report(&self, explain: bool) -> WaitReport {
        let (ended, at) = self.ended().unwrap_or((Ended::Once, self.now()));
        let items: Vec<ItemReport> =
            self.items().iter().map(|(key, item)| self.item_report(key, item, explain)).collect();
        let required = items.iter().filter(|item| !item.optional);
        let mut codes: Vec<u8> = required.clone().map(|item| item.verdict.exit_code()).collect();
        let is_open = self.is_open(ended);
        if is_open {
            codes.push(Verdict::Progressing.exit_code());
        }
        let mut skipped: Vec<_> = self.skipped().cloned().collect();
        let mut nothing_read = items.is_empty();
        if matches!(ended, Ended::TimedOut | Ended::Stalled) {
            let unread = self.unread();
            nothing_read |= !unread.is_empty() && unread.len() == self.targets().len();
            skipped.extend(unread);
        }
        if !skipped.is_empty() {
            codes.push(if nothing_read { 2 } else { 6 });
        }
        let worst = WORST.into_iter().find(|code| codes.contains(code)).unwrap_or(0);
        let verdict = required
            .map(|item| item.verdict)
            .chain(is_open.then_some(Verdict::Progressing))
            .min_by_key(|verdict| WORST.iter().position(|code| *code == verdict.exit_code()))
            .unwrap_or(if skipped.is_empty() { Verdict::Complete } else { Verdict::Unverifiable });
        let elapsed = self.start().map_or(0, |start| at.duration_since(start).as_millis());
        #[expect(clippy::cast_precision_loss, reason = "a wait of 285,000 years would lose a millisecond")]
        let elapsed_seconds = elapsed as f64 / 1000.0;
        WaitReport {
            api_version: "kubeguard.dev/v1",
            kind: "WaitReport",
            verdict,
            exit_code: if ended == Ended::Interrupted { 130 } else { worst },
            elapsed_seconds,
            until: self.policy().until,
            ended,
            items,
            skipped,
            requests: self.requests(),
        }
    }

    /// Returns the report of one item as it stands.
    #[must_use]
    pub fn item(&self, key: &ObjectKey) -> Option<ItemReport> {
        Some(self.item_report(key, self.items().get(key)?, false))
    }

    fn item_report(&self, key: &ObjectKey, item: &Item, explain: bool) -> ItemReport {
        let judged = &item.judgement;
        let settled = matches!(judged.verdict, Verdict::Complete | Verdict::Superseded);
        let worst = judged.suspects.first().filter(|_| !settled);
        let causes = if settled { Vec::new() } else { self.causes(key, &judged.suspects) };
        let remedy = worst.filter(|worst| judged.word.as_ref() == Some(&worst.word)).map(remedy).or_else(|| {
            let row = judged.word.as_ref().filter(|_| judged.verdict != Verdict::Complete)?.reason.row();
            Some(fill(row.remedy, &own_names(key, self.view().get(key))))
        });
        ItemReport {
            api_version: item.api_version.clone(),
            object_kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            source: item.source.clone(),
            verdict: judged.verdict,
            reason: judged.word.as_ref().map_or(String::new(), ToString::to_string),
            message: judged.message.clone(),
            evidence: judged.evidence.map(Evidence::word),
            witness: judged.evidence.and_then(witness),
            generation: judged.generations.current,
            observed_generation: judged.generations.observed,
            since: Some(item.since),
            fails_at: judged.fails_at,
            causes,
            remedy: remedy.unwrap_or_default(),
            looser: worst
                .filter(|_| judged.past_hold > 0 && !self.policy().once)
                .map(|worst| looser(worst, self.policy()))
                .unwrap_or_default(),
            notes: judged.notes.clone(),
            warnings: judged.warnings.clone(),
            optional: item.optional,
            explain: explain.then(|| Explanation {
                rule: judged.rule.to_string(),
                reads: judged.reads.clone(),
                flips: judged.flips.clone(),
            }),
        }
    }

    /// Folds equal suspects: the same reason, container and message, whatever the pods are called.
    fn causes(&self, item: &ObjectKey, suspects: &[Suspect]) -> Vec<Cause> {
        let mut folded: Vec<(String, &Suspect, u64)> = Vec::new();
        for suspect in suspects {
            let same = format!(
                "{}\u{0}{}\u{0}{}",
                suspect.word,
                suspect.container.as_deref().unwrap_or_default(),
                normalise(&suspect.message, &suspect.at.name)
            );
            match folded.iter_mut().find(|(known, ..)| *known == same) {
                Some((_, _, count)) => *count += 1,
                None => folded.push((same, suspect, 1)),
            }
        }
        let causes = folded.into_iter().take(MOST_CAUSES).map(|(_, suspect, count)| self.cause(item, suspect, count));
        // What the item says of itself is its reason already, unless an event adds to it.
        causes.filter(|cause| cause.name != item.name || cause.object_kind != item.kind || cause.tells_more()).collect()
    }

    fn cause(&self, item: &ObjectKey, suspect: &Suspect, count: u64) -> Cause {
        let object = self.view().get(&suspect.at);
        let owner = object.and_then(|object| object.meta().controller());
        let siblings = owner.map(|owner| self.view().controlled(&owner.uid, &suspect.at.kind).count());
        let events = object.and_then(|object| newest_warning(&self.view().events(&object.meta().uid)));
        let events = events.into_iter().collect();
        let mut unavailable = Vec::new();
        let mut log = Vec::new();
        if let Some(container) = &suspect.container {
            match self.log(&suspect.at.namespace, &suspect.at.name, container) {
                Some(Ok(lines)) => log.clone_from(lines),
                Some(Err(why)) => unavailable.push(why.clone()),
                None => {}
            }
        }
        if let super::view::Lookup::Denied(what) =
            self.view().reading("", "Event", &suspect.at.namespace, "list events")
        {
            unavailable.push(format!("cannot {what}"));
        }
        Cause {
            object_kind: suspect.at.kind.clone(),
            namespace: suspect.at.namespace.clone(),
            name: suspect.at.name.clone(),
            container: suspect.container.clone(),
            reason: suspect.word.to_string(),
            message: suspect.message.clone(),
            since: suspect.since,
            count,
            of: siblings.and_then(|siblings| u64::try_from(siblings).ok()),
            chain: self.chain(item, object),
            events,
            log,
            unavailable,
        }
    }

    /// Returns the owners between an object and the item, nearest first, as in `replicaset web-6c9f (revision 8)`.
    fn chain(&self, item: &ObjectKey, object: Option<&Object>) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = object;
        while let Some(owner) = next.and_then(|object| object.meta().controller()) {
            next = self.view().by_uid(&owner.uid);
            let Some(found) = next.filter(|found| found.key != *item && chain.len() < 8) else { break };
            let revision = found.meta().annotation("deployment.kubernetes.io/revision");
            let revision = if revision.is_empty() { String::new() } else { format!(" (revision {revision})") };
            chain.push(format!("{} {}{revision}", found.key.kind.to_lowercase(), found.key.name));
        }
        chain
    }
}

impl Cause {
    fn tells_more(&self) -> bool {
        self.container.is_some() || !self.events.is_empty() || !self.log.is_empty()
    }
}

fn witness(evidence: Evidence) -> Option<&'static str> {
    let Evidence::Weak(witness) = evidence else { return None };
    Some(match witness {
        Witness::Kind => "kind",
        Witness::FirstGeneration => "firstGeneration",
        Witness::ManagedFields => "managedFields",
        Witness::ConditionTime => "conditionTime",
        Witness::Changed => "changed",
    })
}

/// The newest event of an object, if it is a warning: one that is older than a normal event is superseded by it.
fn newest_warning(events: &[&Event]) -> Option<String> {
    let event = events.last().filter(|event| event.r#type == "Warning")?;
    let times = if event.times() > 1 { format!(" ({} times)", event.times()) } else { String::new() };
    Some(format!("{}: {}{times}", event.reason, event.message))
}

/// Replaces what differs between equal pods: names, hashes, addresses, numbers.
fn normalise(message: &str, name: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut digits = false;
    for c in message.replace(name, "…").chars() {
        if c.is_ascii_digit() {
            if !digits {
                text.push('#');
            }
            digits = true;
        } else {
            text.push(c);
            digits = false;
        }
    }
    text
}

fn remedy(suspect: &Suspect) -> String {
    let mut names: BTreeMap<&str, String> =
        suspect.names.iter().map(|(placeholder, name)| (*placeholder, name.clone())).collect();
    names.entry("kind").or_insert_with(|| suspect.at.kind.to_lowercase());
    names.entry("name").or_insert_with(|| suspect.at.name.clone());
    fill(suspect.word.reason.row().remedy, &names)
}

fn own_names<'a>(key: &ObjectKey, object: Option<&Object>) -> BTreeMap<&'a str, String> {
    let mut names = BTreeMap::from([("kind", key.kind.to_lowercase()), ("name", key.name.clone())]);
    let provenance = object.map(|object| &object.provenance);
    if let Some(write) = provenance.and_then(|provenance| provenance.spec.as_ref()) {
        names.insert("manager", write.manager.clone());
        names.extend(write.time.map(|time| ("time", time.to_string())));
    }
    if let Some(time) = provenance.and_then(|provenance| provenance.status.as_ref()?.time) {
        names.insert("written", time.to_string());
    }
    names
}

/// Fills `{name|default}`.
fn fill(template: &str, names: &BTreeMap<&str, String>) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((placeholder, after)) = after.split_once('}') else { break };
        let (name, default) = placeholder.split_once('|').unwrap_or((placeholder, ""));
        text.push_str(before);
        text.push_str(names.get(name).map_or(default, String::as_str));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Twice the time, as a flag takes it.
fn double(hold: SignedDuration) -> String {
    let seconds = hold.as_secs() * 2;
    if seconds % 60 == 0 { format!("{}m", seconds / 60) } else { format!("{seconds}s") }
}

/// Flags that would have waited longer.
fn looser(suspect: &Suspect, policy: &Policy) -> Vec<String> {
    let word: &Word = &suspect.word;
    let mut flags = match policy.patience(word, suspect.holds) {
        Patience::For(hold) if hold.as_secs() >= 30 => vec![format!("--tolerate {word}={}", double(hold))],
        Patience::For(_) | Patience::Restarts(_) => vec![format!("--tolerate {word}=5m")],
        Patience::Never => Vec::new(),
    };
    let patient = Policy { profile: Profile::Patient, ..policy.clone() };
    if policy.profile != Profile::Patient
        && patient.patience(word, suspect.holds) != policy.patience(word, suspect.holds)
    {
        flags.push("--profile patient".to_owned());
    }
    flags
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::wait::offline;

    #[test]
    fn a_remedy_names_the_container_also_while_nothing_has_failed_yet() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
            "status": {"phase": "Running", "containerStatuses": [{"name": "app", "restartCount": 1, "state": waiting}]},
        });
        let report =
            offline::judge(vec![Object::read(pod).unwrap()], Policy::default(), Timestamp::from_second(0).unwrap());
        let item = &report.items[0];
        assert_eq!((item.verdict, item.reason.as_str()), (Verdict::Progressing, "CrashLoop"));
        assert!(item.remedy.contains("container app"), "{}", item.remedy);
    }
}
