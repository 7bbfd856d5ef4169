//! The rules for custom resources: what there are, and what a file of one's own says of some objects.

use std::path::Path;

use jiff::Timestamp;
use kubeguard_core::error::Result;
use kubeguard_core::wait::object::{Object, ObjectKey};
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::rules::{Match, Rule, Rules, Sources};

use super::args::rule_file;
use super::input::Named;
use crate::cli::ScopeArgs;
use crate::output::columns;
use crate::terminal::Terminal;

fn kinds(wanted: &Match) -> String {
    let version = if wanted.version.to_string() == "*" { String::new() } else { format!("/{}", wanted.version) };
    format!("{}{version} {}", wanted.group, wanted.kind)
}

/// Returns the table for people.
pub(super) fn table() -> String {
    let mut rows = vec![["RULE", "KINDS", "ABOUT"].map(ToOwned::to_owned).to_vec()];
    rows.extend(Rules::default().all().iter().map(|rule| {
        let mut matches: Vec<String> = rule.r#match.iter().take(2).map(kinds).collect();
        matches.extend((rule.r#match.len() > 2).then(|| format!("{} more", rule.r#match.len() - 2)));
        vec![rule.id.clone(), matches.join(", "), rule.about.clone()]
    }));
    columns(rows).join("\n") + "\n"
}

/// Returns the table for programs.
pub(super) fn json() -> String {
    let rules = Rules::default();
    let item = |rule: &Rule| {
        let kinds = rule.r#match.iter().map(|wanted| {
            let [group, kind, version] = [&wanted.group, &wanted.kind, &wanted.version].map(ToString::to_string);
            serde_json::json!({"group": group, "kind": kind, "version": version})
        });
        serde_json::json!({"id": rule.id, "about": rule.about, "match": kinds.collect::<Vec<_>>()})
    };
    let items: Vec<_> = rules.all().iter().map(item).collect();
    let list = serde_json::json!({
        "apiVersion": "kubeguard.dev/v1", "kind": "HealthRuleList", "packHash": Rules::pack_hash(), "items": items,
    });
    serde_json::to_string_pretty(&list).map_or_else(|error| error.to_string(), |text| text + "\n")
}

/// Judges objects by a file with rules; the exit code is that of the worst object.
pub(super) fn test(path: &Path, filename: &[String], terminal: Terminal) -> Result<u8> {
    let rules = Rules::new(Sources { files: vec![rule_file(path)?], ..Sources::default() })?;
    let scope = ScopeArgs { filename: filename.to_vec(), ..ScopeArgs::default() };
    let (objects, targets) = Named::read(&[], &scope)?.manifests(false);
    let unused = rules.all().iter().filter(|rule| rule.is_own() && !objects.iter().any(|object| speaks(rule, object)));
    for rule in unused {
        terminal.say(&format!("warning: rule {} matches none of the objects", rule.id));
    }
    let policy = Policy { assume_observed: true, rules: rules.clone(), ..Policy::default() };
    let report = offline::judge_targets(objects, targets, policy, None, Timestamp::now()).report(true);
    let mut rows = vec![["OBJECT", "VERDICT", "RULE", "DETAIL"].map(ToOwned::to_owned).to_vec()];
    for item in &report.items {
        let group = item.api_version.split_once('/').map_or("", |(group, _)| group);
        let key = ObjectKey::new(group, &item.object_kind, &item.namespace, &item.name);
        let rule = item.explain.as_ref().map_or(String::new(), |explain| explain.rule.clone());
        let warnings = item.warnings.iter().map(|warning| format!("; warning {warning}")).collect::<String>();
        rows.push(vec![key.to_string(), item.verdict.to_string(), rule, format!("{}{warnings}", item.message)]);
    }
    terminal.answer(&(columns(rows).join("\n") + "\n"));
    Ok(report.exit_code)
}

fn speaks(rule: &Rule, object: &Object) -> bool {
    let version = object.api_version.rsplit('/').next().unwrap_or_default();
    rule.matches(&object.key.group, version, &object.key.kind)
}
