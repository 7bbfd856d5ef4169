//! Looks at a registry that is written down here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::ecr::registry::{
    BATCH, Caller, Deleted, EntryPage, ImageId, ItemFailure, Manifests, PreviewPage, Replication, StorageClass,
};
use crate::ecr::snapshot::{Entry, MediaType, Status};
use crate::images::{Digest, RegistryId};

const ACCOUNT: &str = "111122223333";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const PUSHED: &str = "2026-06-01T00:00:00Z";
const PULLED: &str = "2026-11-22T10:00:00Z";

/// A registry of pages, with failures by operation and repository.
#[derive(Default)]
struct Written {
    pages: BTreeMap<String, Vec<EntryPage>>,
    manifests: BTreeMap<Digest, Bytes>,
    failures: BTreeMap<(&'static str, String), ErrorKind>,
    /// Listed, and gone when described.
    gone: BTreeSet<Digest>,
    caller: Option<&'static str>,
    calls: Mutex<Vec<String>>,
}

impl Written {
    fn new(repositories: &[(&str, Vec<EntryPage>)]) -> Self {
        let pages = repositories.iter().map(|(name, pages)| ((*name).to_owned(), pages.clone())).collect();
        Self { pages, ..Self::default() }
    }

    fn fails(mut self, operation: &'static str, about: &str, kind: ErrorKind) -> Self {
        self.failures.insert((operation, about.to_owned()), kind);
        self
    }

    fn has(mut self, manifest: &Bytes) -> Self {
        self.manifests.insert(Digest::of(manifest), manifest.clone());
        self
    }

    fn call(&self, operation: &'static str, about: &str) -> Result<(), CallError> {
        self.calls.lock().unwrap().push(format!("{operation} {about}").trim_end().to_owned());
        match self.failures.get(&(operation, about.to_owned())) {
            None => Ok(()),
            Some(kind) => Err(failure(operation, about, *kind)),
        }
    }

    fn calls(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.starts_with(operation)).count()
    }

    fn row(&self, repository: &str, digest: Digest) -> Option<Entry> {
        let rows = self.pages.get(repository)?.iter().flat_map(|page| page.entries.iter().flatten());
        rows.clone().find(|entry| entry.digest == digest && !self.gone.contains(&digest)).cloned()
    }
}

fn failure(operation: &'static str, about: &str, kind: ErrorKind) -> CallError {
    CallError { operation, about: about.to_owned(), kind, code: None, message: "its words".to_owned() }
}

impl Registry for Written {
    fn id(&self) -> &RegistryId {
        static ID: std::sync::LazyLock<RegistryId> = std::sync::LazyLock::new(|| RegistryId::new(ACCOUNT, "us-east-1"));
        &ID
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    async fn caller(&self) -> Result<Caller, CallError> {
        self.call("GetCallerIdentity", "")?;
        let account = self.caller.unwrap_or(ACCOUNT).to_owned();
        Ok(Caller { arn: format!("arn:aws:iam::{account}:user/ci"), account })
    }

    async fn repositories(&self) -> Result<Vec<Repository>, CallError> {
        self.call("DescribeRepositories", "")?;
        Ok(self.pages.keys().map(|name| repository(name)).collect())
    }

    async fn repository(&self, name: &str) -> Result<Option<Repository>, CallError> {
        self.call("DescribeRepositories", name)?;
        Ok(self.pages.contains_key(name).then(|| repository(name)))
    }

    async fn repository_tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        self.call("ListTagsForResource", arn.rsplit('/').next().unwrap_or_default())?;
        Ok(BTreeMap::from([("team".to_owned(), "web".to_owned())]))
    }

    async fn entries(&self, repository: &str, next: Option<String>) -> Result<EntryPage, CallError> {
        self.call("DescribeImages", repository)?;
        let page: usize = next.map_or(0, |token| token.parse().unwrap());
        Ok(self.pages[repository][page].clone())
    }

    async fn describe(&self, repository: &str, digests: &[Digest]) -> Result<Vec<Entry>, CallError> {
        self.call("Describe", repository)?;
        assert!(!digests.is_empty() && digests.len() <= BATCH);
        let found: Option<Vec<Entry>> = digests.iter().map(|digest| self.row(repository, *digest)).collect();
        let mut found = found.ok_or_else(|| failure("DescribeImages", repository, ErrorKind::ImageNotFound))?;
        for entry in &mut found {
            entry.last_pulled_at = PULLED.parse().ok();
        }
        Ok(found)
    }

    async fn manifests(&self, repository: &str, digests: &[Digest]) -> Result<Manifests, CallError> {
        self.call("BatchGetImage", repository)?;
        assert!(!digests.is_empty() && digests.len() <= BATCH);
        let mut answer = Manifests::default();
        for digest in digests {
            match self.manifests.get(digest) {
                Some(manifest) => drop(answer.found.insert(*digest, manifest.clone())),
                None => answer.failures.push(ItemFailure {
                    digest: Some(*digest),
                    tag: None,
                    code: "KmsError".to_owned(),
                    reason: "the key is disabled".to_owned(),
                }),
            }
        }
        Ok(answer)
    }

    async fn replication(&self) -> Result<Replication, CallError> {
        self.call("DescribeRegistry", "")?;
        Ok(Replication { account: self.caller.unwrap_or(ACCOUNT).to_owned(), rules: Vec::new() })
    }

    async fn pull_through_rules(&self) -> Result<Vec<PullThroughRule>, CallError> {
        self.call("DescribePullThroughCacheRules", "")?;
        Ok(Vec::new())
    }

    async fn pull_time_exclusions(&self) -> Result<Vec<String>, CallError> {
        self.call("ListPullTimeUpdateExclusions", "")?;
        Ok(Vec::new())
    }

    async fn lifecycle_policy(&self, _: &str) -> Result<Option<String>, CallError> {
        unreachable!("a look reads no lifecycle policies")
    }

    async fn start_lifecycle_preview(&self, _: &str) -> Result<(), CallError> {
        unreachable!("a look starts nothing")
    }

    async fn lifecycle_preview(&self, _: &str, _: Option<String>) -> Result<PreviewPage, CallError> {
        unreachable!("a look reads no previews")
    }

    async fn delete(&self, _: &str, _: &[ImageId]) -> Result<Deleted, CallError> {
        unreachable!("a look deletes nothing")
    }

    async fn set_storage_class(&self, _: &str, _: Digest, _: StorageClass) -> Result<Status, CallError> {
        unreachable!("a look archives nothing")
    }
}

fn repository(name: &str) -> Repository {
    let arn = format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}");
    Repository { name: name.to_owned(), arn, immutable_tags: false }
}

fn entry(digest: Digest, media_type: &str) -> Entry {
    Entry {
        digest,
        tags: Vec::new(),
        pushed_at: PUSHED.parse().ok(),
        bytes: None,
        media_type: Some(MediaType::new(media_type)),
        artifact_type: None,
        last_pulled_at: None,
        subject: None,
        status: Status::Active,
        last_archived_at: None,
        last_activated_at: None,
        conflicting: false,
    }
}

fn image(name: &str) -> Entry {
    entry(Digest::of(name.as_bytes()), IMAGE)
}

/// An index of one image, and its entry.
fn index(child: &str) -> (Bytes, Entry) {
    let manifest = json!({"manifests": [{"mediaType": IMAGE, "digest": Digest::of(child.as_bytes()), "size": 1}]});
    let manifest = Bytes::from(manifest.to_string());
    let entry = entry(Digest::of(&manifest), INDEX);
    (manifest, entry)
}

fn page(entries: &[Entry], next: Option<&str>) -> EntryPage {
    EntryPage { entries: entries.iter().cloned().map(Ok).collect(), next: next.map(str::to_owned) }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of what chooses")]
fn all(repositories: &[Repository]) -> Result<Vec<String>> {
    Ok(repositories.iter().map(|repository| repository.name.clone()).collect())
}

fn look(manifests: &ManifestCache) -> Look<'_> {
    let now = "2026-11-22T09:00:00Z".parse().unwrap();
    Look { replication: true, pull_through: true, indexes: true, manifests, progress: &|_| {}, now }
}

async fn seen(registry: &Written) -> RegistrySnapshot {
    let cache = ManifestCache::in_memory();
    snapshot(registry, all, &look(&cache)).await.unwrap()
}

fn problem(snapshot: &RegistrySnapshot, name: &str) -> Option<Problem> {
    snapshot.repositories.iter().find(|read| read.repository.name == name).unwrap().problem.clone()
}

#[tokio::test]
async fn pages_become_one_sorted_list_and_rows_that_come_twice_one_entry() {
    let pages = vec![page(&[image("a"), image("b")], Some("1")), page(&[image("b"), image("c")], Some(""))];
    let snapshot = seen(&Written::new(&[("app", pages)])).await;
    let app = &snapshot.repositories[0];
    assert_eq!(app.problem, None);
    assert_eq!(app.aws_tags["team"], "web");
    assert_eq!(app.entries.len(), 3);
    assert!(app.entries.is_sorted_by_key(|entry| entry.digest));
    assert_eq!(snapshot.taken_at, "2026-11-22T09:00:00Z".parse().unwrap(), "the registry tells no time");
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_a_problem_and_the_others_are_read() {
    let pages = || vec![page(&[image("a")], None)];
    let token = vec![page(&[image("a")], Some("0"))];
    let nameless = vec![EntryPage { entries: vec![Ok(image("a")), Err("no digest".to_owned())], next: None }];
    let registry = Written::new(&[
        ("denied", pages()),
        ("fine", pages()),
        ("gone", pages()),
        ("nameless", nameless),
        ("token", token),
        ("untold", pages()),
    ])
    .fails("DescribeImages", "denied", ErrorKind::AccessDenied)
    .fails("DescribeImages", "gone", ErrorKind::RepositoryNotFound)
    .fails("ListTagsForResource", "untold", ErrorKind::AccessDenied);
    let snapshot = seen(&registry).await;
    let kinds = snapshot.repositories.iter().map(|read| read.problem.as_ref().map(|problem| problem.kind));
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            Some(ProblemKind::AccessDenied),
            None,
            Some(ProblemKind::RegistryUnreadable),
            Some(ProblemKind::RegistryUnreadable),
            Some(ProblemKind::RegistryUnreadable),
            Some(ProblemKind::AccessDenied),
        ]
    );
    assert_eq!(problem(&snapshot, "denied").unwrap().message, "DescribeImages of denied: its words");
    assert!(problem(&snapshot, "token").unwrap().message.contains("page token"));
    assert!(registry.calls("DescribeImages token") == 2, "it does not go round and round");
}

#[tokio::test]
async fn a_repository_of_another_registry_is_not_read() {
    let registry = Written::new(&[("app", vec![page(&[image("a")], None)])]);
    let cache = ManifestCache::in_memory();
    for arn in
        ["arn:aws:ecr:us-east-1:444455556666:repository/app", "arn:aws-cn:ecr:us-east-1:111122223333:repository/app"]
    {
        let other = Repository { arn: arn.to_owned(), ..repository("app") };
        let read = super::repository(&registry, other, &look(&cache)).await.unwrap();
        let problem = read.problem.unwrap();
        assert_eq!(problem.kind, ProblemKind::RegistryUnreadable);
        assert_eq!(problem.message, format!("{arn} is no repository app of 111122223333/us-east-1"));
    }
    assert!(registry.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn credentials_that_end_stop_everything() {
    let pages = || vec![page(&[image("a")], None)];
    for (operation, about) in
        [("DescribeRepositories", ""), ("GetCallerIdentity", ""), ("DescribeRegistry", ""), ("DescribeImages", "b")]
    {
        let registry = Written::new(&[("a", pages()), ("b", pages())]).fails(operation, about, ErrorKind::Credentials);
        let cache = ManifestCache::in_memory();
        let error = snapshot(&registry, all, &look(&cache)).await.unwrap_err();
        assert!(matches!(&error, Error::Registry { source, .. } if source.kind == ErrorKind::Credentials), "{error}");
        assert!(error.hint().unwrap().contains("sign in again"));
    }
}

#[tokio::test]
async fn what_chooses_nothing_usable_ends_before_anything_else_is_asked() {
    let registry = Written::new(&[("app", vec![page(&[], None)])]);
    let cache = ManifestCache::in_memory();
    let nothing = |_: &[Repository]| {
        Err(Error::Rules { file: "policy.yaml".to_owned(), problem: "the pattern matches no repository".to_owned() })
    };
    let error = snapshot(&registry, nothing, &look(&cache)).await.unwrap_err();
    assert!(matches!(error, Error::Rules { .. }), "{error}");
    assert_eq!(*registry.calls.lock().unwrap(), ["DescribeRepositories"]);
}

#[tokio::test]
async fn settings_that_cannot_be_read_or_are_of_another_account_are_unread() {
    let pages = || vec![page(&[], None)];
    let registry = Written::new(&[("app", pages())])
        .fails("DescribeRegistry", "", ErrorKind::Unsupported)
        .fails("DescribePullThroughCacheRules", "", ErrorKind::AccessDenied)
        .fails("ListPullTimeUpdateExclusions", "", ErrorKind::Unsupported);
    let snapshot = seen(&registry).await;
    assert!(matches!(snapshot.replication, Reading::Failed(_)));
    assert!(matches!(snapshot.pull_through, Reading::Failed(_)));
    assert!(matches!(snapshot.exclusions, Reading::Failed(_)));

    let registry = Written { caller: Some("444455556666"), ..Written::new(&[("app", pages())]) };
    let snapshot = seen(&registry).await;
    let words = |reading: String| assert!(reading.contains("own registry 444455556666, not of 111122223333"));
    let (Reading::Failed(replication), Reading::Failed(exclusions)) = (snapshot.replication, snapshot.exclusions)
    else {
        panic!("another account's settings are not these")
    };
    words(replication);
    words(exclusions);
    assert_eq!(registry.calls("ListPullTimeUpdateExclusions"), 0);

    let cache = ManifestCache::in_memory();
    let declared = Look { replication: false, pull_through: false, ..look(&cache) };
    let settings = settings(&registry, &declared).await.unwrap();
    assert_eq!(settings.replication, Reading::Read(Vec::new()));
    assert_eq!(settings.pull_through, Reading::Read(Vec::new()));
}

#[tokio::test]
async fn only_indexes_are_read_once_in_their_life_and_count_as_pulled() {
    let (manifest, listed) = index("a");
    let registry = Written::new(&[("app", vec![page(&[image("a"), image("b"), listed.clone()], None)])]).has(&manifest);
    let folder = tempfile::tempdir().unwrap();
    let cache = ManifestCache::in_folder(folder.path());
    let first = snapshot(&registry, all, &look(&cache)).await.unwrap();
    let app = &first.repositories[0];
    assert_eq!(app.indexes[&listed.digest].children[0].digest, Digest::of(b"a"));
    assert_eq!(app.manifests_read, [listed.digest]);
    for entry in &app.entries {
        let pulled = (entry.digest == listed.digest).then(|| PULLED.parse().unwrap());
        assert_eq!(entry.last_pulled_at, pulled, "as it is after our own read");
    }

    let second = snapshot(&registry, all, &look(&ManifestCache::in_folder(folder.path()))).await.unwrap();
    assert_eq!(second.repositories[0].indexes, app.indexes);
    assert!(second.repositories[0].manifests_read.is_empty());
    assert_eq!((registry.calls("BatchGetImage"), registry.calls("Describe ")), (1, 1));
}

#[tokio::test]
async fn indexes_can_be_left_unread_and_read_one_by_one() {
    let ((first, a), (second, b)) = (index("a"), index("b"));
    let entries = [a.clone(), b.clone(), image("a")];
    let registry = Written::new(&[("app", vec![page(&entries, None)])]).has(&first).has(&second);
    let cache = ManifestCache::in_memory();
    let sparing = Look { indexes: false, ..look(&cache) };
    let mut app = snapshot(&registry, all, &sparing).await.unwrap().repositories.remove(0);
    assert_eq!((app.problem.clone(), app.indexes.len(), registry.calls("BatchGetImage")), (None, 0, 0));

    let wanted = BTreeSet::from([a.digest, image("a").digest]);
    assert_eq!(read_indexes(&registry, &mut app, &wanted, &cache).await.unwrap(), None);
    assert_eq!((app.indexes.keys().collect::<Vec<_>>(), app.manifests_read.clone()), (vec![&a.digest], vec![a.digest]));
    let again = snapshot(&registry, all, &sparing).await.unwrap();
    assert_eq!(again.repositories[0].indexes, app.indexes, "what was read once is told");
}

#[tokio::test]
async fn many_indexes_are_read_in_batches_and_one_that_vanishes_hides_no_other() {
    let indexes: Vec<_> = (0..250).map(|n| index(&n.to_string())).collect();
    let entries: Vec<Entry> = indexes.iter().map(|(_, entry)| entry.clone()).collect();
    let mut registry = Written::new(&[("app", vec![page(&entries, None)])]);
    registry.manifests = indexes.into_iter().map(|(manifest, entry)| (entry.digest, manifest)).collect();
    registry.gone = BTreeSet::from([entries[7].digest]);
    let snapshot = seen(&registry).await;
    let app = &snapshot.repositories[0];
    assert_eq!((app.problem.clone(), app.indexes.len(), registry.calls("BatchGetImage")), (None, 250, 3));
    let unread = app.entries.iter().filter(|entry| entry.last_pulled_at.is_none()).map(|entry| entry.digest);
    assert_eq!(unread.collect::<Vec<_>>(), [entries[7].digest]);
}

#[tokio::test]
async fn an_index_that_cannot_be_had_or_is_another_makes_its_repository_unreadable() {
    let (manifest, listed) = index("a");
    let repository = || [("app", vec![page(std::slice::from_ref(&listed), None)])];
    let missing = Written::new(&repository());
    let message = problem(&seen(&missing).await, "app").unwrap();
    assert_eq!(message.kind, ProblemKind::ManifestUnreadable);
    assert!(message.message.ends_with("KmsError: the key is disabled"), "{}", message.message);

    let mut forged = Written::new(&repository());
    forged.manifests.insert(listed.digest, Bytes::from_static(b"{}"));
    let snapshot = seen(&forged).await;
    assert_eq!(problem(&snapshot, "app").unwrap().kind, ProblemKind::ManifestUnreadable);
    assert_eq!(snapshot.repositories[0].manifests_read, [listed.digest], "it counts as pulled all the same");

    let empty = Bytes::from_static(b"{}");
    let unparsed = [("app", vec![page(&[entry(Digest::of(&empty), INDEX)], None)])];
    let snapshot = seen(&Written::new(&unparsed).has(&empty)).await;
    assert_eq!(problem(&snapshot, "app").unwrap().kind, ProblemKind::ManifestUnreadable);

    let refused = Written::new(&repository()).has(&manifest).fails("BatchGetImage", "app", ErrorKind::AccessDenied);
    assert_eq!(problem(&seen(&refused).await, "app").unwrap().kind, ProblemKind::AccessDenied);
}

#[tokio::test]
async fn images_are_read_only_when_asked_for() {
    let (config, layer) = (Digest::of(b"config"), Digest::of(b"layer"));
    let manifest = json!({"config": {"digest": config, "size": 1}, "layers": [{"digest": layer, "size": 7}]});
    let manifest = Bytes::from(manifest.to_string());
    let listed = entry(Digest::of(&manifest), IMAGE);
    let registry = Written::new(&[("app", vec![page(std::slice::from_ref(&listed), None)])]).has(&manifest);
    let cache = ManifestCache::in_memory();
    let mut app = snapshot(&registry, all, &look(&cache)).await.unwrap().repositories.remove(0);
    assert_eq!(registry.calls("BatchGetImage"), 0);
    assert_eq!(read_images(&registry, &mut app, &BTreeSet::from([listed.digest]), &cache).await.unwrap(), None);
    assert_eq!(app.configs[&listed.digest], config);
    assert_eq!(app.layers[&listed.digest], [(layer, 7)]);
    assert_eq!(app.manifests_read, [listed.digest]);

    let absent = Digest::of(b"absent");
    let problem = read_images(&registry, &mut app, &BTreeSet::from([absent]), &cache).await.unwrap().unwrap();
    assert_eq!(problem.kind, ProblemKind::ManifestUnreadable);
}

#[tokio::test]
async fn progress_tells_what_is_chosen_and_done() {
    let pages = || vec![page(&[image("a")], None)];
    let registry = Written::new(&[("a", pages()), ("b", pages()), ("other", pages())]);
    let cache = ManifestCache::in_memory();
    let chosen = |_: &[Repository]| Ok(vec!["a".to_owned(), "b".to_owned()]);
    let told = Mutex::new(Vec::new());
    let progress = |progress: Progress<'_>| told.lock().unwrap().push(format!("{progress:?}"));
    snapshot(&registry, chosen, &Look { progress: &progress, ..look(&cache) }).await.unwrap();
    let told = told.into_inner().unwrap();
    assert_eq!(told[0], "Listed { all: 3, chosen: 2 }");
    assert!(told.last().unwrap().contains("done: 2, of: 2"), "{told:?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("Page")).count(), 2);
    assert_eq!(registry.calls("DescribeImages other"), 0);
}
