//! From the file to a policy with every default filled in, and what is refused before anything is asked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::{
    Action, ApplyPolicy, Assumption, Cap, Caps, Keep, LeasePlace, MissingType, Orphans, Pattern, Pins, Policy,
    PolicyRegistry, Providers, PullThrough, PullTimes, Quarantine, ReplicationPolicy, Rule, Untagged, Window,
};
use crate::document;
use crate::error::Result;
use crate::images::inventory::{Scan, Switch};
use crate::images::{HostMap, Mapping, Maps};

/// Kinds without which an inventory says nothing.
const REQUIRED_KINDS: &[&str] = &[
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "controllerrevisions.apps",
    "jobs.batch",
    "cronjobs.batch",
];

impl Policy {
    /// Version of the file.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the file.
    pub const KIND: &'static str = "CleanPolicy";

    /// Reads a policy; `file` is only named in errors.
    ///
    /// # Errors
    /// [`crate::Error::File`](crate::error::Error::File) with line and column: unknown or doubled keys, wrong types, windows
    /// outside their limits, rules without repositories or action, patterns that are none.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let written: Written = document::read(file, text)?;
        let refuse = |problem: String, hint: &str| Err(document::invalid(file, problem, hint));
        if (written.api_version.as_str(), written.kind.as_str()) != (Self::API_VERSION, Self::KIND) {
            let found = format!("{}, {}", written.api_version, written.kind);
            return refuse(format!("this is no policy: {found}"), "apiVersion: kubeguard.dev/v1 and kind: CleanPolicy");
        }
        if written.rules.is_empty() {
            return refuse("a policy without rules cleans nothing".to_owned(), "rules: with at least one");
        }
        let aliases: Vec<Mapping> =
            written.aliases.iter().map(|(from, to)| Mapping { from: from.clone(), to: to.clone() }).collect();
        if let Err(problem) = HostMap::new(&aliases) {
            return refuse(format!("aliases: {problem}"), "");
        }
        for (list, mappings) in [("mirrors", &written.mirrors), ("rewrites", &written.rewrites)] {
            if mappings.iter().any(|mapping| mapping.from.is_empty() || mapping.to.is_empty()) {
                return refuse(format!("{list}: from and to must not be empty"), "");
            }
        }
        let mut skipped = written.scan.skip_kinds.iter().map(|kind| (kind, Pattern::new(kind)));
        if let Some((kind, Err(problem))) = skipped.clone().find(|(_, pattern)| pattern.is_err()) {
            return refuse(format!("scan.skipKinds: {kind:?}: {problem}"), "");
        }
        let needed = skipped.find_map(|(kind, pattern)| {
            let pattern = pattern.ok()?;
            REQUIRED_KINDS.iter().find(|needed| pattern.matches(needed)).map(|needed| (kind, needed))
        });
        if let Some((kind, needed)) = needed {
            return refuse(format!("scan.skipKinds: {kind:?} leaves out {needed}, which cannot be left out"), "");
        }
        let Providers { inspector, ecs, lambda, .. } = &written.providers;
        for (name, switch) in [("inspector", inspector), ("ecs", ecs), ("lambda", lambda)] {
            if *switch == Switch::On {
                let hint = "declare what it uses in pins.keepLists";
                return refuse(format!("providers.{name} is not part of this build"), hint);
            }
        }
        let mut rules = Vec::new();
        for rule in written.rules {
            if rules.iter().any(|known: &Rule| known.name == rule.name) {
                return refuse(format!("two rules are named {:?}", rule.name), "");
            }
            rules.push(rule.with(&written.defaults));
        }
        Ok(Self {
            api_version: written.api_version,
            kind: written.kind,
            registry: written.registry,
            max_inventory_age: written.max_inventory_age,
            inventory_margin: written.inventory_margin,
            max_plan_age: written.max_plan_age,
            max_usage_age: written.max_usage_age,
            max_clock_skew: written.max_clock_skew,
            pull_through_rules: written.pull_through_rules,
            opt_in_tag: written.opt_in_tag,
            aliases: written.aliases,
            mirrors: written.mirrors,
            rewrites: written.rewrites,
            scan: written.scan,
            pins: written.pins,
            replication: written.replication,
            pull_times: written.pull_times,
            providers: written.providers,
            caps: Caps {
                share: written.caps.share,
                per_repository: written.caps.per_repository,
                per_run: written.caps.per_run,
            },
            apply: written.apply,
            lease: written.lease,
            rules,
        })
    }

    /// Returns the sha256 of everything it says, defaults filled in: what plans know it by.
    #[must_use]
    pub fn hash(&self) -> String {
        // A policy has no fractions, and its keys are text.
        crate::canonical::sha256(self, &[]).unwrap_or_default()
    }

    /// Returns the first rule that is for a repository.
    #[must_use]
    pub fn rule_for(&self, repository: &str) -> Option<&Rule> {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(repository));
        self.rules.iter().find(|rule| matches(&rule.repositories) && !matches(&rule.exclude))
    }

    /// Returns the names that stand for ECR hosts.
    #[must_use]
    pub fn hosts(&self) -> HostMap {
        self.maps().hosts().clone()
    }

    /// Returns every name that leads to an image without asking the registry.
    #[must_use]
    pub fn maps(&self) -> Maps {
        let aliases = self.aliases.iter().map(|(from, to)| Mapping { from: from.clone(), to: to.clone() });
        // They were checked when the policy was read.
        Maps::new(aliases.collect(), self.mirrors.clone(), self.rewrites.clone()).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    #[serde(default, deserialize_with = "registry")]
    registry: Option<PolicyRegistry>,
    #[serde(default = "six_hours", deserialize_with = "a_minute_or_more")]
    max_inventory_age: Window,
    #[serde(default = "one_hour")]
    inventory_margin: Window,
    #[serde(default = "one_day", deserialize_with = "a_minute_to_a_week")]
    max_plan_age: Window,
    #[serde(default = "five_minutes")]
    max_usage_age: Window,
    #[serde(default = "five_minutes")]
    max_clock_skew: Window,
    #[serde(default)]
    pull_through_rules: Assumption,
    #[serde(default, deserialize_with = "tag_key")]
    opt_in_tag: String,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    mirrors: Vec<Mapping>,
    #[serde(default)]
    rewrites: Vec<Mapping>,
    #[serde(default)]
    scan: Scan,
    #[serde(default)]
    pins: Pins,
    #[serde(default)]
    replication: ReplicationPolicy,
    #[serde(default)]
    pull_times: PullTimes,
    #[serde(default)]
    providers: Providers,
    #[serde(default)]
    caps: WrittenCaps,
    #[serde(default, deserialize_with = "apply")]
    apply: ApplyPolicy,
    #[serde(default)]
    lease: Option<LeasePlace>,
    #[serde(default)]
    defaults: Defaults,
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenCaps {
    #[serde(deserialize_with = "share")]
    share: Cap,
    #[serde(deserialize_with = "count")]
    per_repository: Cap,
    #[serde(deserialize_with = "count")]
    per_run: Cap,
}

impl Default for WrittenCaps {
    fn default() -> Self {
        Self { share: Cap::Percent(50), per_repository: Cap::Entries(1000), per_run: Cap::Entries(5000) }
    }
}

/// Declares what `defaults` may hold, and a rule with the same fields and its own.
macro_rules! rule_fields {
    ($($(#[$attribute:meta])* $field:ident: $type:ty = $default:expr,)*) => {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        struct Defaults {
            $($(#[$attribute])* $field: Option<$type>,)*
            untagged_min_age: Option<AtLeast<3600>>,
        }

        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct WrittenRule {
            #[serde(deserialize_with = "word")]
            name: String,
            #[serde(deserialize_with = "some_patterns")]
            repositories: Vec<Pattern>,
            #[serde(default)]
            exclude: Vec<Pattern>,
            action: Action,
            #[serde(default)]
            untagged_min_age: Option<AtLeast<3600>>,
            $(#[serde(default)] $(#[$attribute])* $field: Option<$type>,)*
        }

        impl WrittenRule {
            /// Fills in what the rule leaves out, from the policy's defaults and then from ours.
            fn with(self, defaults: &Defaults) -> Rule {
                $(let $field: $type = self.$field.or_else(|| defaults.$field.clone()).unwrap_or_else(|| $default);)*
                let untagged_min_age = self.untagged_min_age.or(defaults.untagged_min_age).map(Window::from);
                let mut rule = Rule {
                    name: self.name,
                    repositories: self.repositories,
                    exclude: self.exclude,
                    action: self.action,
                    untagged_min_age: Window::default(),
                    $($field: $field.into(),)*
                };
                rule.untagged_min_age = untagged_min_age.unwrap_or(rule.min_age);
                rule
            }
        }
    };
}

rule_fields! {
    min_age: AtLeast<3600> = AtLeast(Window::days(30)),
    foreign_pull_min_age: Window = Window::days(90),
    keep_newest: u64 = 5,
    keep_tags: Vec<Pattern> = Vec::new(),
    select_tags: Vec<Pattern> = Vec::new(),
    untagged: Untagged = Untagged::Include,
    keep_pulled_within: PullWindow = PullWindow(Window::default()),
    keep_used_within: Window = Window::days(7),
    quarantine: WrittenQuarantine = WrittenQuarantine(Some(Quarantine { plans: 2, apart: Window::days(1) })),
    rollback: WrittenRollback = WrittenRollback(None),
    keep_deployed: u64 = 3,
    finished_jobs: Keep = Keep::Keep,
    artifacts: Vec<Pattern> = Vec::new(),
    orphaned_artifacts: Orphans = Orphans::Keep,
    missing_artifact_type: MissingType = MissingType::Keep,
    archive_for: AtLeast<{ 90 * 86400 }> = AtLeast(Window::days(90)),
    pull_through: PullThrough = PullThrough::Keep,
    pull_through_min_age: Window = Window::days(90),
}

const fn six_hours() -> Window {
    Window::hours(6)
}

const fn one_hour() -> Window {
    Window::hours(1)
}

const fn one_day() -> Window {
    Window::days(1)
}

const fn five_minutes() -> Window {
    Window::minutes(5)
}

/// A window of so many seconds or more.
#[derive(Clone, Copy)]
struct AtLeast<const SECONDS: i64>(Window);

impl<'de, const SECONDS: i64> Deserialize<'de> for AtLeast<SECONDS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let window = Window::deserialize(deserializer)?;
        if window.0.as_secs() >= SECONDS {
            return Ok(Self(window));
        }
        let least = Window(jiff::SignedDuration::from_secs(SECONDS));
        let minutes = window.0.as_secs() / 60;
        // The letter that means months elsewhere.
        let months = (minutes > 0 && window.0.as_secs() % 60 == 0 && minutes < 60)
            .then(|| format!("; \"{minutes}m\" is {minutes} minutes, write days as {}d", minutes * 30));
        Err(D::Error::custom(format!("{window} is too short, the smallest is {least}{}", months.unwrap_or_default())))
    }
}

impl<const SECONDS: i64> From<AtLeast<SECONDS>> for Window {
    fn from(window: AtLeast<SECONDS>) -> Self {
        window.0
    }
}

/// Zero, or long enough for pull times that lag.
#[derive(Clone, Copy)]
struct PullWindow(Window);

impl<'de> Deserialize<'de> for PullWindow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let window = Window::deserialize(deserializer)?;
        if window.is_zero() || window >= Window::hours(48) {
            Ok(Self(window))
        } else {
            Err(D::Error::custom("pull times lag up to a day; use 48h or more"))
        }
    }
}

impl From<PullWindow> for Window {
    fn from(window: PullWindow) -> Self {
        window.0
    }
}

#[derive(Clone, Copy)]
struct WrittenQuarantine(Option<Quarantine>);

impl<'de> Deserialize<'de> for WrittenQuarantine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let quarantine = super::quarantine::deserialize(deserializer)?;
        match quarantine {
            Some(Quarantine { plans, .. }) if plans < 2 => {
                Err(D::Error::custom("a quarantine of fewer than 2 plans is none; write off"))
            }
            Some(Quarantine { apart, .. }) if apart < Window::hours(1) => {
                Err(D::Error::custom(format!("plans that lie {apart} apart see the same; the smallest is 1h")))
            }
            quarantine => Ok(Self(quarantine)),
        }
    }
}

impl From<WrittenQuarantine> for Option<Quarantine> {
    fn from(written: WrittenQuarantine) -> Self {
        written.0
    }
}

#[derive(Clone, Copy)]
struct WrittenRollback(Option<u64>);

impl<'de> Deserialize<'de> for WrittenRollback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        super::rollback::deserialize(deserializer).map(Self)
    }
}

impl From<WrittenRollback> for Option<u64> {
    fn from(written: WrittenRollback) -> Self {
        written.0
    }
}

fn a_minute_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Window, D::Error> {
    AtLeast::<60>::deserialize(deserializer).map(Into::into)
}

fn a_minute_to_a_week<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Window, D::Error> {
    let window = a_minute_or_more(deserializer)?;
    if window <= Window::days(7) { Ok(window) } else { Err(D::Error::custom("a plan older than 7d tells nothing")) }
}

fn registry<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<PolicyRegistry>, D::Error> {
    let registry = Option::<PolicyRegistry>::deserialize(deserializer)?;
    let account = registry.as_ref().and_then(|registry| registry.account.as_deref());
    match account {
        Some(account) if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(D::Error::custom(format!("{account:?} is no account: twelve digits, in quotes")))
        }
        _ => Ok(registry),
    }
}

fn tag_key<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    let key = String::deserialize(deserializer)?;
    if key.chars().count() <= 128 { Ok(key) } else { Err(D::Error::custom("AWS tags have at most 128 characters")) }
}

fn apply<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<ApplyPolicy, D::Error> {
    let apply = ApplyPolicy::deserialize(deserializer)?;
    if (1..=50).contains(&apply.requests_per_second) {
        Ok(apply)
    } else {
        Err(D::Error::custom(format!("requestsPerSecond is 1 to 50, not {}", apply.requests_per_second)))
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Cap, D::Error> {
    match Cap::deserialize(deserializer)? {
        Cap::Entries(entries) => Err(D::Error::custom(format!("share is a percentage; write {entries}%"))),
        cap => Ok(cap),
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Cap, D::Error> {
    match Cap::deserialize(deserializer)? {
        Cap::Percent(percent) => Err(D::Error::custom(format!("{percent}% is no number of entries"))),
        cap => Ok(cap),
    }
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(D::Error::custom(format!("{name:?} is no name: one word")));
    }
    Ok(name)
}

fn some_patterns<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Pattern>, D::Error> {
    let patterns = Vec::<Pattern>::deserialize(deserializer)?;
    if patterns.is_empty() {
        Err(D::Error::custom("an empty list means no repository; name them"))
    } else {
        Ok(patterns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(more: &str, rule: &str) -> std::result::Result<Policy, String> {
        let text = format!(
            "apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\n{more}\nrules:\n- name: apps\n  repositories: [\"app\", \"team/*\"]\n  action: delete\n{rule}\n"
        );
        Policy::parse("clean.yaml", &text).map_err(|error| match error.hint() {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        })
    }

    #[test]
    fn what_is_left_out_has_the_documented_default() {
        let policy = policy("scan: {events: off, secrets: off}", "").unwrap();
        assert_eq!(policy.max_inventory_age, Window::hours(6));
        assert_eq!(policy.pins.tags.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>(), ["pin-*"]);
        assert_eq!(policy.caps.share, Cap::Percent(50));
        let rule = &policy.rules[0];
        assert_eq!((rule.min_age, rule.untagged_min_age, rule.keep_newest), (Window::days(30), Window::days(30), 5));
        assert_eq!(rule.quarantine, Some(Quarantine { plans: 2, apart: Window::days(1) }));
        assert_eq!((rule.rollback, rule.archive_for), (None, Window::days(90)));
    }

    #[test]
    fn a_rule_beats_the_defaults_of_the_file() {
        let defaults = "defaults: {minAge: 10d, quarantine: off, rollback: 3, keepTags: [\"v*\"]}";
        let policy = policy(defaults, "  minAge: 7d\n  rollback: all").unwrap();
        let rule = &policy.rules[0];
        assert_eq!((rule.min_age, rule.untagged_min_age), (Window::days(7), Window::days(7)));
        assert_eq!((rule.quarantine, rule.rollback, rule.keep_tags.len()), (None, None, 1));
    }

    #[test]
    fn a_policy_is_read_back_from_the_plan_that_repeats_it() {
        let policy = policy("defaults: {quarantine: \"off\"}\ncaps: {share: off}", "").unwrap();
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_the_word_that_was_meant() {
        let wrong = |more: &str, rule: &str| policy(more, rule).unwrap_err();
        assert_eq!(wrong("", "  keepTag: [x]"), "clean.yaml:8:3: unknown field \"keepTag\" (did you mean keepTags?)");
        assert_eq!(
            wrong("", "  minAge: 3m"),
            "clean.yaml:8:11: 3m is too short, the smallest is 1h; \"3m\" is 3 minutes, write days as 90d"
        );
        for (more, rule, said) in [
            ("maxInventoryAge: 10s", "", "3:18: 10s is too short"),
            ("maxPlanAge: 8d", "", "a plan older than 7d"),
            ("caps: {share: 40}", "", "write 40%"),
            ("caps: {perRun: 10%}", "", "10% is no number of entries"),
            ("apply: {requestsPerSecond: 60}", "", "1 to 50"),
            ("registry: {account: \"123\"}", "", "twelve digits"),
            ("aliases: {a.example: b.example}", "", "no ECR host"),
            ("rewrites: [{from: \"\", to: x}]", "", "must not be empty"),
            ("scan: {skipKinds: [\"*.apps\"]}", "", "which cannot be left out"),
            ("scan: {customResources: maybe}", "", "unknown word \"maybe\""),
            ("providers: {ecs: \"on\"}", "", "not part of this build"),
            ("lease: {context: prod}", "", "missing field `namespace`"),
            ("", "  minAge: 1w", "not a span of time"),
            ("", "  keepPulledWithin: 24h", "use 48h or more"),
            ("", "  quarantine: {plans: 1, apart: 24h}", "write off"),
            ("", "  quarantine: {plans: 2, apart: 1m}", "the smallest is 1h"),
            ("", "  archiveFor: 30d", "the smallest is 90d"),
            ("", "  exclude: [\"\"]", "empty pattern"),
            ("", "  exclude: [\"/[/\"]", "not a regular expression"),
            ("", "- name: apps\n  repositories: [x]\n  action: report", "two rules are named"),
            ("", "- name: b\n  repositories: []\n  action: report", "an empty list"),
            ("", "- name: b\n  repositories: [x]", "missing field `action`"),
            ("", "  minAge: 30d\n  minAge: 40d", "uplicate"),
        ] {
            let told = wrong(more, rule);
            assert!(told.contains(said), "{more} {rule}: {told}");
        }
        let none = Policy::parse("p", "apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\nrules: []\n").unwrap_err();
        assert_eq!(none.to_string(), "p:1:1: a policy without rules cleans nothing");
    }
}
