//! What a condition means, learnt from the words of its type.

use super::words::{among, is_going_on, split};
use crate::wait::rules::Role;

const TROUBLE: &str = "failure failures error errors warning warnings problem problems";
const NEGATIVE_LAST: &str = "pressure problem problems deadlock drift drifted failed failure failures error errors \
    errored degraded stall stalled invalid unhealthy aborted rejected blocked crashed orphan orphaned exceeded conflict \
    conflicted conflicting terminal missing lost fallback unreachable unavailable expired";
const NEGATIVE_FIRST: &str = "failed failing error invalid";
const POSITIVE_LAST: &str = "ready available healthy healthz succeeded success successful complete completed established \
    accepted admitted adopted programmed synced synchronized sync valid validated deployed configured applied \
    reconciled compliant discoverable advertised issued installed bootstrapped initialized launched registered created \
    exists resolved refs met published provisioned approved bound connected online operational ok finished done";
const SUSPENDED: &str = "paused pause pausing suspended suspend suspending hibernated hibernating hibernation stopped";
const SUMMARY: &str = "ready available healthy succeeded success complete completed finished done synced synchronized \
    valid compliant established reconciled deployed applied accepted admitted discoverable";
const STEP_LAST: &str = "launched registered initialized scheduled started created bootstrapped configured adopted \
    exists found accepted programmed admitted";

/// Returns the role of a condition type.
pub(in crate::wait) fn role(name: &str) -> Role {
    let words = split(name);
    let first = words.first().map_or("", String::as_str);
    let last = words.last().map_or("", String::as_str);
    if matches!(first, "not" | "non") || (first == "no" && !among(last, TROUBLE)) {
        Role::Negative
    } else if first == "no" {
        Role::Positive
    } else if words.iter().any(|word| among(word, SUSPENDED)) {
        Role::Suspend
    } else if among(last, NEGATIVE_LAST) || among(first, NEGATIVE_FIRST) {
        Role::Negative
    } else if matches!(last, "progress" | "pending") || is_going_on(last) || is_going_on(first) {
        Role::Progress
    } else if matches!(last, "warning" | "warnings") {
        Role::Warn
    } else if words.len() == 1 && among(last, SUMMARY) {
        Role::Summary
    } else if among(last, POSITIVE_LAST) {
        if among(last, STEP_LAST) { Role::Step } else { Role::Positive }
    } else {
        Role::Neutral
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_tell_their_role() {
        for (name, expected) in [
            ("Ready", Role::Summary),
            ("NotReady", Role::Negative),
            ("NoWarnings", Role::Positive),
            ("NoEndpoints", Role::Negative),
            ("cnpg.io/hibernation", Role::Suspend),
            ("Stalled", Role::Negative),
            ("ACK.Terminal", Role::Negative),
            ("SpecError", Role::Negative),
            ("Progressing", Role::Progress),
            ("ScalingUp", Role::Progress),
            ("EKSControlPlaneUpdating", Role::Progress),
            ("Warning", Role::Warn),
            ("SubnetsReady", Role::Positive),
            ("BucketCreated", Role::Step),
            ("Accepted", Role::Summary),
            ("ResolvedRefs", Role::Positive),
            ("Running", Role::Neutral),
            ("Upgradeable", Role::Neutral),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }
}
