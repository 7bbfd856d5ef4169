//! The state machine behind the server: registries by account and region, callers by access key, a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::snapshot::Status;
use kubeguard_core::images::{Digest, RegistryId};
use serde_json::{Value, json};

use super::journal::{Change, Effect, Mutation};
use super::operations::{Operation, Refusal, Site};
use super::push::{Link, Push, missing_digest};
use super::repository::{Entry, Repository};
use super::traffic::{End, Fault, Met, Seen, Traffic};

/// The access key that is known from the start.
pub const ACCESS_KEY: &str = "AKIAFAKEFAKEFAKEFAKE";
/// The account it belongs to, whose registry in [`REGION`] is the one meant where a test names none.
pub const ACCOUNT: &str = "111122223333";
/// The region meant where a test names none.
pub const REGION: &str = "us-east-1";

/// How a delete of a tag together with a digest is read. AWS documents none of them in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// Removes that tag; the image goes with its last one.
    Tag,
    /// Removes the image with all its tags.
    Image,
    /// Removes that tag; the image stays, without a tag maybe.
    TagOnly,
}

impl Pairs {
    /// All readings: what deletes must be right under each of them.
    pub const ALL: [Self; 3] = [Self::Tag, Self::Image, Self::TagOnly];
}

/// What differs from registry to registry, or is not documented.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// How pairs are read.
    pub pairs: Pairs,
    /// A deleted image without tags has a row in the answer.
    pub untagged_row: bool,
    /// The child of an index cannot be deleted before the index.
    pub refuse_children: bool,
    /// Manifests of archived images can be read.
    pub archived_manifests: bool,
    /// How long a restore takes.
    pub activation: SignedDuration,
    /// Rows of a page at most, whatever is asked for.
    pub page_limit: Option<usize>,
    /// Code of the refusal of an operation that is not served; without one it answers 500 with a page of HTML.
    pub not_served: Option<&'static str>,
}

/// One registry: an account in a region.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// By name.
    pub repositories: BTreeMap<String, Repository>,
    /// Replication rules as AWS writes them.
    pub replication: Vec<Value>,
    /// Pull-through rules as AWS writes them.
    pub pull_through: Vec<Value>,
    /// ARNs whose pulls are not recorded.
    pub exclusions: Vec<String>,
    /// Other accounts that may use it.
    pub grants: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Principal {
    account: String,
    arn: String,
    expired: bool,
}

/// Who makes a call, and where: what the credential scope of its signature says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Access key.
    pub access_key: String,
    /// Region that the request is signed for.
    pub region: String,
}

/// What becomes of a call on its way back.
#[derive(Debug)]
pub struct Reply<T> {
    /// The answer comes after this time.
    pub delay: Duration,
    /// The answer, or how the call ended without one.
    pub outcome: Result<T, Failed>,
}

/// How a call ends without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// AWS refuses it.
    Refused(Refusal),
    /// The connection is closed.
    Closed,
    /// 500 with a page of HTML.
    UnknownOperation,
    /// Something that is no JSON.
    Garbage,
}

/// A repository: a name in the usual registry, or one of another registry.
#[derive(Debug, Clone)]
pub struct Place {
    registry: RegistryId,
    repository: String,
}

impl From<&str> for Place {
    fn from(repository: &str) -> Self {
        Self { registry: RegistryId::new(ACCOUNT, REGION), repository: repository.to_owned() }
    }
}

impl From<(&RegistryId, &str)> for Place {
    fn from((registry, repository): (&RegistryId, &str)) -> Self {
        Self { registry: registry.clone(), repository: repository.to_owned() }
    }
}

/// Registries, callers, clock, traffic and journal.
pub struct Store {
    /// What is not the same everywhere.
    pub behaviour: Behaviour,
    pub(super) traffic: Traffic,
    now: Timestamp,
    registries: BTreeMap<RegistryId, Registry>,
    principals: HashMap<String, Principal>,
    labels: HashMap<String, Digest>,
    platforms: HashMap<Digest, String>,
    journal: Vec<Mutation>,
    effects: Vec<Effect>,
    sessions: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self::new("2026-06-01T12:00:00Z".parse().expect("a time"))
    }
}

impl Store {
    /// Returns an empty store at a time, with [`ACCESS_KEY`] of the user `cleaner` in [`ACCOUNT`].
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let behaviour = Behaviour {
            pairs: Pairs::Tag,
            untagged_row: true,
            refuse_children: true,
            archived_manifests: false,
            activation: SignedDuration::from_mins(20),
            page_limit: None,
            not_served: None,
        };
        let mut store = Self {
            behaviour,
            now,
            traffic: Traffic::default(),
            registries: BTreeMap::new(),
            principals: HashMap::new(),
            labels: HashMap::new(),
            platforms: HashMap::new(),
            journal: Vec::new(),
            effects: Vec::new(),
            sessions: 0,
        };
        store.allow(ACCESS_KEY, ACCOUNT, &format!("arn:aws:iam::{ACCOUNT}:user/cleaner"));
        store
    }

    /// Returns the time by the store's clock, which nothing but the test moves.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets time pass; what is being restored may become active.
    ///
    /// # Panics
    /// When the time cannot be written.
    pub fn advance(&mut self, time: SignedDuration) {
        self.now = self.now.checked_add(time).expect("a time that can be written");
        for registry in self.registries.values_mut() {
            for repository in registry.repositories.values_mut() {
                repository.settle(self.now);
            }
        }
    }

    /// Makes an access key known, as that of an ARN in an account.
    pub fn allow(&mut self, access_key: &str, account: &str, arn: &str) {
        let principal = Principal { account: account.to_owned(), arn: arn.to_owned(), expired: false };
        self.principals.insert(access_key.to_owned(), principal);
    }

    /// Lets an access key expire.
    pub fn expire(&mut self, access_key: &str) {
        if let Some(principal) = self.principals.get_mut(access_key) {
            principal.expired = true;
        }
    }

    pub(super) fn session_key(&mut self) -> String {
        self.sessions += 1;
        format!("ASIAFAKE{:012}", self.sessions)
    }

    /// Returns a registry; a new one is empty.
    pub fn registry(&mut self, id: &RegistryId) -> &mut Registry {
        if !self.registries.contains_key(id) {
            self.registries.insert(id.clone(), Registry::default());
        }
        self.registries.get_mut(id).expect("it was just put in")
    }

    /// Returns the registry of [`ACCOUNT`] in [`REGION`].
    pub fn home(&mut self) -> &mut Registry {
        self.registry(&RegistryId::new(ACCOUNT, REGION))
    }

    /// Returns a repository; a new one is empty.
    pub fn repository(&mut self, place: impl Into<Place>) -> &mut Repository {
        let (Place { registry, repository }, now) = (place.into(), self.now);
        self.registry(&registry).repositories.entry(repository).or_insert_with(|| Repository::new(now))
    }

    /// Returns a repository, if there is one.
    #[must_use]
    pub fn look(&self, registry: &RegistryId, repository: &str) -> Option<&Repository> {
        self.registries.get(registry)?.repositories.get(repository)
    }

    /// Returns an entry, if there is one. Works while the store is not to be changed.
    pub fn entry(&self, place: impl Into<Place>, image: impl Into<Link>) -> Option<&Entry> {
        let place = place.into();
        self.look(&place.registry, &place.repository)?.entry(&self.resolve(&image.into()))
    }

    /// Returns an entry to change its dates, types or status.
    ///
    /// # Panics
    /// When it is not there.
    pub fn entry_mut(&mut self, place: impl Into<Place>, image: impl Into<Link>) -> &mut Entry {
        let digest = self.resolve(&image.into());
        self.repository(place).entry_mut(&digest).expect("an entry that is there")
    }

    /// Returns the digest of what was pushed under a label.
    ///
    /// # Panics
    /// When nothing was.
    #[must_use]
    pub fn digest(&self, label: &str) -> Digest {
        *self.labels.get(label).unwrap_or_else(|| panic!("nothing was pushed under the label {label:?}"))
    }

    /// Returns the digest of what was pushed under a label, if anything was.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<Digest> {
        self.labels.get(label).copied()
    }

    /// Returns the label that a digest was pushed under, for messages; else the digest.
    #[must_use]
    pub fn label(&self, digest: &Digest) -> String {
        let label = self.labels.iter().find(|(_, labelled)| *labelled == digest);
        label.map_or_else(|| digest.to_string(), |(label, _)| label.clone())
    }

    /// A label that nobody has pushed names a digest that is nowhere.
    fn resolve(&self, link: &Link) -> Digest {
        match link {
            Link::Digest(digest) => *digest,
            Link::Label(label) => self.labels.get(label).copied().unwrap_or_else(|| missing_digest(label)),
        }
    }

    /// Pushes an image, index or artifact, with its children where they are not there yet; returns its digest.
    ///
    /// This is somebody else's push: it is not in the journal.
    pub fn push(&mut self, place: impl Into<Place>, push: Push) -> Digest {
        let place = place.into();
        let mut children = Vec::new();
        let usual = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/ppc64le"];
        for (child, usual) in push.children.iter().flatten().zip(usual.iter().cycle()) {
            if let (Link::Label(label), false) = (&child.link, child.missing)
                && !self.labels.contains_key(label)
            {
                self.push_into(&place, push.sibling(label));
            }
            let digest = self.resolve(&child.link);
            let entry = self.look(&place.registry, &place.repository).and_then(|found| found.entry(&digest));
            let kind = if entry.is_some_and(|entry| !entry.children.is_empty()) {
                "application/vnd.oci.image.index.v1+json"
            } else {
                push.sibling("").media_type()
            };
            let own = child.platform.clone().or_else(|| self.platforms.get(&digest).cloned());
            let platform = own.unwrap_or_else(|| (*usual).to_owned());
            children.push((digest, Some(platform), kind));
        }
        self.push_children(&place, push, &children)
    }

    fn push_into(&mut self, place: &Place, push: Push) -> Digest {
        self.push_children(place, push, &[])
    }

    fn push_children(&mut self, place: &Place, push: Push, children: &[(Digest, Option<String>, &str)]) -> Digest {
        let subject = push.subject.as_ref().map(|subject| self.resolve(subject));
        let mut entry = push.entry(self.now, children, subject);
        let digest = entry.digest;
        let mut tags = push.tags;
        if let Some((subject, suffix)) = &push.cosign {
            let hex = self.resolve(subject).hex();
            tags.push(if suffix.is_empty() { format!("sha256-{hex}") } else { format!("sha256-{hex}.{suffix}") });
        }
        self.labels.insert(push.label, digest);
        if let Some(platform) = push.platform {
            self.platforms.insert(digest, platform);
        }
        let repository = self.repository(place.clone());
        let largest = entry.children.iter().filter_map(|child| repository.entry(child)?.size).max();
        entry.size = largest.or(entry.size);
        repository.insert(entry);
        for tag in tags {
            repository.tag(&tag, &digest);
        }
        digest
    }

    /// Fills a repository with so many images, each with a tag, for measurements: made-up digests, no manifests.
    ///
    /// The first is named by 0 and is the oldest, of the age given: a minute lies between two of them.
    pub fn generate(&mut self, place: impl Into<Place>, count: u32, age: SignedDuration) {
        let now = self.now;
        let repository = self.repository(place);
        let kind = super::image("").docker().entry(now, &[], None);
        for number in 0..count {
            let digest = Self::generated(number);
            let pushed_at = now.checked_sub(age - SignedDuration::from_mins(i64::from(number))).ok();
            repository.insert(Entry { digest, pushed_at, manifest: None, ..kind.clone() });
            repository.tag(&format!("build-{number}"), &digest);
        }
    }

    /// Returns the digest of a generated image.
    #[must_use]
    pub fn generated(number: u32) -> Digest {
        let mut bytes = [0x5a; 32];
        // Spread, as digests are: neighbours in time are none in order.
        for (byte, value) in bytes.iter_mut().zip(number.wrapping_mul(2_654_435_761).to_be_bytes()) {
            *byte = value;
        }
        Digest::new(bytes)
    }

    /// Somebody lets a tag point to an image, wherever it pointed before.
    pub fn tag(&mut self, place: impl Into<Place>, tag: &str, image: impl Into<Link>) {
        let digest = self.resolve(&image.into());
        self.repository(place).tag(tag, &digest);
    }

    /// Somebody takes a tag away and leaves the image.
    pub fn untag(&mut self, place: impl Into<Place>, tag: &str) {
        self.repository(place).untag(tag);
    }

    /// Somebody pulls an image.
    pub fn pull(&mut self, place: impl Into<Place>, image: impl Into<Link>) {
        let (digest, now) = (self.resolve(&image.into()), self.now);
        if let Some(entry) = self.repository(place).entry_mut(&digest) {
            entry.pulled_at = Some(now);
        }
    }

    /// Somebody else deletes an image, whatever depends on it.
    pub fn remove(&mut self, place: impl Into<Place>, image: impl Into<Link>) {
        let digest = self.resolve(&image.into());
        self.repository(place).remove(&digest);
    }

    /// Somebody else archives an image.
    pub fn archive(&mut self, place: impl Into<Place>, image: impl Into<Link>) {
        let (digest, now) = (self.resolve(&image.into()), self.now);
        if let Some(entry) = self.repository(place).entry_mut(&digest) {
            (entry.status, entry.archived_at, entry.active_from) = (Status::Archived, Some(now), None);
        }
    }

    /// Lets a registry copy its repositories with a prefix to others, and their deletions too if wanted.
    pub fn replicate(&mut self, from: &RegistryId, to: &[&RegistryId], prefix: Option<&str>, deletions: bool) {
        let to: Vec<Value> = to.iter().map(|to| json!({"region": to.region, "registryId": to.account})).collect();
        let mut rule = json!({"destinations": to});
        if let Some(prefix) = prefix {
            rule["repositoryFilters"] = json!([{"filter": prefix, "filterType": "PREFIX_MATCH"}]);
        }
        if deletions {
            rule["deleteReplication"] = json!({"enabled": true});
        }
        self.registry(from).replication.push(rule);
    }

    /// Returns the registries that deletions in a repository reach.
    pub(super) fn copies_of_deletions(&self, from: &RegistryId, repository: &str) -> Vec<RegistryId> {
        let rules = self.registries.get(from).into_iter().flat_map(|registry| &registry.replication);
        let reaching = rules.filter(|rule| {
            let filters = rule["repositoryFilters"].as_array().filter(|filters| !filters.is_empty());
            let fits = filters.is_none_or(|filters| {
                let mut prefixes = filters.iter().filter_map(|filter| filter["filter"].as_str());
                prefixes.any(|prefix| repository.starts_with(prefix))
            });
            fits && rule["deleteReplication"]["enabled"] == true
        });
        let destinations = reaching.flat_map(|rule| rule["destinations"].as_array().into_iter().flatten());
        let named =
            destinations.filter_map(|to| Some(RegistryId::new(to["registryId"].as_str()?, to["region"].as_str()?)));
        named.collect()
    }

    /// Returns every call that changes something, in order, whatever became of it.
    #[must_use]
    pub fn journal(&self) -> &[Mutation] {
        &self.journal
    }

    /// Returns everything that calls have changed, in order.
    pub fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.journal.iter().flat_map(|mutation| &mutation.effects)
    }

    pub(super) fn effect(&mut self, registry: &RegistryId, repository: &str, change: Change) {
        self.effects.push(Effect { registry: registry.clone(), repository: repository.to_owned(), change });
    }

    /// Returns a repository that a call names.
    pub(super) fn named_repository(&mut self, at: &Site, name: &str) -> Result<&mut Repository, Refusal> {
        let found = self.registries.get_mut(&at.registry).and_then(|registry| registry.repositories.get_mut(name));
        found.ok_or_else(|| Refusal {
            code: "RepositoryNotFoundException".to_owned(),
            message: format!(
                "The repository with name '{name}' does not exist in the registry with id '{}'",
                at.registry.account
            ),
        })
    }

    /// Makes a call: counts it, lets others act, applies limits and faults, runs the operation, and notes what it did.
    pub fn perform<O: Operation>(&mut self, caller: &Caller, input: &O) -> Reply<O::Output> {
        let principal = self.principals.get(&caller.access_key).cloned();
        let account = principal.as_ref().map_or("", |principal| &principal.account);
        let registry = RegistryId::new(input.registry_id().unwrap_or(account), &caller.region);
        let seen = Seen {
            operation: O::NAME,
            registry: registry.clone(),
            registry_id: input.registry_id().map(str::to_owned),
            repository: input.repository().map(str::to_owned),
            caller: principal.as_ref().map(|principal| principal.arn.clone()).unwrap_or_default(),
            ids: input.ids().len(),
        };
        let mut met = self.meet(seen.clone());
        if met.end.is_none() {
            // Others may have acted meanwhile, also on the key itself.
            met.end = self.check(caller, &seen).err().map(End::Refused);
        }
        let delay = met.delay;
        let outcome = self.finish(seen, met, input);
        Reply { delay, outcome }
    }

    fn check(&mut self, caller: &Caller, seen: &Seen) -> Result<(), Refusal> {
        let Some(principal) = self.principals.get(&caller.access_key) else {
            let words = "The security token included in the request is invalid.";
            return Err(Refusal::new("UnrecognizedClientException", words));
        };
        if principal.expired {
            return Err(Refusal::expired());
        }
        let account = principal.account.clone();
        if let Some(id) = &seen.registry_id
            && (id.len() != 12 || !id.bytes().all(|digit| digit.is_ascii_digit()))
        {
            return Err(Refusal::invalid("'registryId': 12 digits"));
        }
        if seen.registry.account != account && !self.registry(&seen.registry).grants.contains(&account) {
            return Err(Refusal::denied(seen));
        }
        Ok(())
    }

    fn finish<O: Operation>(&mut self, seen: Seen, met: Met, input: &O) -> Result<O::Output, Failed> {
        let site = Site {
            registry: seen.registry.clone(),
            caller: seen.caller.clone(),
            operation: O::NAME,
            repository: seen.repository.clone(),
            refused_items: met.items,
            page_limit: self.behaviour.page_limit,
            number: self.traffic.seen.len(),
        };
        let outcome = match met.end {
            Some(End::Refused(refusal)) => Err(Failed::Refused(refusal)),
            Some(End::Reset) => Err(Failed::Closed),
            Some(End::UnknownOperation) => Err(Failed::UnknownOperation),
            Some(End::Garbage) => Err(Failed::Garbage),
            None => input.run(self, &site).map_err(Failed::Refused),
        };
        let outcome = outcome.map(|mut output| {
            spoil::<O>(&mut output, input, &site, met.page.as_ref());
            output
        });
        if O::MUTATES {
            self.journal.push(Mutation {
                operation: O::NAME,
                caller: seen.caller,
                registry: seen.registry,
                registry_id: seen.registry_id,
                repository: seen.repository.unwrap_or_default(),
                ids: input.ids(),
                effects: std::mem::take(&mut self.effects),
                failures: outcome.as_ref().map(O::failures).unwrap_or_default(),
                refused: outcome.as_ref().err().map(|failed| match failed {
                    Failed::Refused(refusal) => refusal.code.clone(),
                    Failed::Closed => "Reset".to_owned(),
                    Failed::UnknownOperation => "UnknownOperation".to_owned(),
                    Failed::Garbage => "Garbage".to_owned(),
                }),
            });
        }
        if met.lost { Err(Failed::Closed) } else { outcome }
    }
}

/// Changes the page of an answer as a fault wants it.
fn spoil<O: Operation>(output: &mut O::Output, input: &O, site: &Site, fault: Option<&Fault>) {
    let (Some(fault), Some(listing)) = (fault, input.listing()) else { return };
    if *fault == Fault::NamelessRow {
        O::add_nameless_row(output);
        return;
    }
    let Some(token) = O::next_token(output) else { return };
    match fault {
        Fault::DuplicatePage => {
            let place = site.place(O::NAME, listing.token).unwrap_or(0);
            *token = Some(site.token(site.operation, place));
        }
        Fault::RepeatedToken => *token = Some(listing.token.map_or_else(|| site.token(O::NAME, 0), str::to_owned)),
        Fault::EmptyToken if token.is_none() => *token = Some(String::new()),
        _ => {}
    }
}
