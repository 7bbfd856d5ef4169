//! Inventories that hide every name: what an isolated cluster may hand out without telling what it runs.
//!
//! A name becomes `hmac-sha256(salt, key)` in lower-case hexadecimal digits. Keys are texts in one spelling: `HOST/PATH` for
//! a repository, `HOST/PATH:TAG` and `HOST/PATH@sha256:HEX` for its images, `sha256:HEX` for a digest without a repository.
//! Hosts, paths and digits are in lower case, tags as they are; hosts of ECR in the spelling of
//! [`RegistryId::host`](super::RegistryId::host). Where a list of pins names no host, the text begins with the slash.
//!
//! Whoever has the salt and knows a name can tell whether it is there; nobody can read the others. A reference has as many
//! rows as aliases, mirrors and rewrites give it spellings, so both sides must have the same of them.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use sha2::Digest as _;

use super::inventory::{
    Coverage, Hashed, Inventory, Pinned, Reference, Rewritten, Suspicion, Suspicious, Templated, TextWithoutTag, Use,
};
use super::maps::{Maps, Readable, Spelling};
use super::parse::is_ecr_like;
use super::reference::ImageRef;
use super::status::StatusImages;

/// The only algorithm.
pub(crate) const ALGORITHM: &str = "hmac-sha256";
/// Bytes of the shortest salt: names can be guessed, so the salt must not be.
const LEAST_SALT: usize = 16;

/// What makes hashes of names useless to whoever does not have it. Its `Debug` shows the id alone.
#[derive(Clone)]
pub struct Salt {
    key: hmac::Key,
    id: String,
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salt").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A hidden name.
pub(crate) type Hash = [u8; 32];

impl Salt {
    /// Takes the content of a salt's file: any bytes, without the line's end behind them.
    ///
    /// # Errors
    /// In words, for fewer than 16 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() < LEAST_SALT {
            return Err(format!("a salt has at least {LEAST_SALT} bytes, this one has {}", bytes.len()));
        }
        let id = sha2::Sha256::digest(bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes), id })
    }

    /// Returns the first 8 hexadecimal digits of its sha256, which tell salts apart.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Hides a key, part by part.
    pub(crate) fn hash(&self, parts: &[&str]) -> Hash {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part.as_bytes());
        }
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        hash
    }

    fn hidden(&self, parts: &[&str]) -> String {
        self.hash(parts).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn repository(&self, spelling: &Spelling) -> String {
        self.hidden(&[&spelling.host, "/", &spelling.path])
    }

    fn tag(&self, spelling: &Spelling) -> Option<String> {
        spelling.tag.as_ref().map(|tag| self.hidden(&[&spelling.host, "/", &spelling.path, ":", tag]))
    }

    fn digest(&self, spelling: &Spelling) -> Option<String> {
        spelling.digest.map(|digest| self.hidden(&[&spelling.host, "/", &spelling.path, "@", &digest.to_string()]))
    }
}

impl Inventory {
    /// Returns the same inventory without a name in it; one that is hashed already stays as it is.
    ///
    /// References, pins and rewrites become hashes in every spelling that `maps` give. A pin of tags by a pattern becomes one
    /// of its whole repository. A text that looks like a reference and is none becomes the hash of its repository; where
    /// none can be read, the inventory is incomplete, for nobody could tell later what it protects. The signature is left
    /// out: it was one of something else.
    #[must_use]
    pub fn hashed(&self, salt: &Salt, maps: &Maps) -> Self {
        if self.hashed.is_some() {
            return self.clone();
        }
        let hide = Hide { salt, maps };
        let beside = StatusImages::of(self);
        let mut rows: BTreeSet<Reference> =
            self.references.iter().flat_map(|one| hide.reference(one, &beside)).collect();
        let (mut suspicious, mut unreadable) = (BTreeSet::new(), 0);
        for pinned in &self.pinned {
            match hide.pinned(pinned) {
                Some(found) => rows.extend(found),
                None => unreadable += 1,
            }
        }
        for text in &self.suspicious {
            match hide.suspicious(text, self) {
                Told::Nothing => {}
                Told::Repositories(hidden) => suspicious.extend(hidden),
                Told::Unreadable => unreadable += 1,
            }
        }
        let rewritten: BTreeSet<Rewritten> = self.rewritten.iter().filter_map(|one| hide.rewritten(one)).collect();
        let mut kinds = self.kinds.clone();
        for kind in &mut kinds {
            // A server's words name users and namespaces.
            kind.message = kind.message.as_ref().map(|_| "hidden".to_owned());
        }
        let mut hashed = Self {
            complete: self.complete && unreadable == 0,
            kinds,
            references: rows.into_iter().collect(),
            pinned: Vec::new(),
            rewritten: rewritten.into_iter().collect(),
            suspicious: suspicious.into_iter().collect(),
            coverage: Coverage {
                too_deep: self.coverage.too_deep.iter().map(|_| "-".to_owned()).collect(),
                unreadable,
                ..self.coverage.clone()
            },
            hashed: Some(Hashed {
                algorithm: ALGORITHM.to_owned(),
                salt_id: salt.id.clone(),
                maps_sha256: maps.sha256(),
            }),
            signature: None,
            ..self.clone()
        };
        hashed.sha256 = hashed.hash();
        hashed
    }
}

/// What remains of a suspicious text.
enum Told {
    /// It can mean no image of any registry of ECR, or the scan says that it counts for nothing.
    Nothing,
    Repositories(Vec<Suspicious>),
    Unreadable,
}

struct Hide<'a> {
    salt: &'a Salt,
    maps: &'a Maps,
}

impl Hide<'_> {
    fn reference(&self, reference: &Reference, images: &StatusImages<'_>) -> Vec<Reference> {
        let bare = match ImageRef::parse(&reference.image, self.maps.hosts()) {
            ImageRef::Bare(digest) => Some(digest),
            _ => None,
        };
        let beside: Vec<&str> = match &reference.spec {
            _ if bare.is_some() => images.beside(reference).collect(),
            Some(spec) if reference.r#use == Use::Status => vec![spec],
            _ => Vec::new(),
        };
        let spec: Vec<Spelling> = beside.iter().flat_map(|image| self.maps.spellings(image)).collect();
        let keys = |spelling: &Spelling| [self.salt.tag(spelling), self.salt.digest(spelling)].into_iter().flatten();
        let mut spec_hashes: Vec<String> = spec.iter().flat_map(keys).collect();
        spec_hashes.sort();
        spec_hashes.dedup();
        // Revisions are counted by their workload: it needs a name, not its own.
        let owner = reference.owner.as_ref().filter(|_| reference.r#use == Use::Revision);
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let owner = owner.map(|owner| self.salt.hidden(&["owner ", namespace, " ", owner]));
        let row = Reference {
            r#use: reference.r#use,
            platforms: reference.platforms.clone(),
            revision: reference.revision.filter(|_| owner.is_some()),
            owner,
            spec_hashes,
            ..Reference::default()
        };
        if let Some(digest) = bare {
            let repositories: BTreeSet<String> = spec.iter().map(|spelling| self.salt.repository(spelling)).collect();
            // Without a repository beside it nobody can say where it might be.
            let row = Reference {
                bare_hash: Some(self.salt.hidden(&[&digest.to_string()])),
                spec_repositories: repositories.into_iter().collect(),
                started_at: reference.started_at,
                ..row
            };
            return Some(row).filter(|row| !row.spec_repositories.is_empty()).into_iter().collect();
        }
        self.maps.spellings(&reference.image).iter().map(|spelling| self.row(spelling, row.clone())).collect()
    }

    /// Adds the hashes of one spelling.
    fn row(&self, spelling: &Spelling, row: Reference) -> Reference {
        let (tag, digest) = (self.salt.tag(spelling), self.salt.digest(spelling));
        let (hash, digest_hash) = if tag.is_some() { (tag, digest) } else { (digest, None) };
        Reference { hash, digest_hash, repository_hash: Some(self.salt.repository(spelling)), ..row }
    }

    /// Returns the rows of a pin; `None` for one of which no repository can be read.
    fn pinned(&self, pinned: &Pinned) -> Option<Vec<Reference>> {
        let (name, pattern) = match pinned.image.rsplit_once(':') {
            Some((name, tag)) if tag.contains(['*', '?']) && !tag.contains('/') && !name.contains('@') => (name, true),
            _ => (pinned.image.as_str(), false),
        };
        let first = name.split('/').next().unwrap_or_default();
        let has_host = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let spellings = if has_host {
            self.maps.spellings(name)
        } else {
            // Any registry's host does: the path is read as that of a registry of ECR, and the host left out.
            let image = ImageRef::parse(&format!("{ANY}/{name}"), self.maps.hosts());
            Spelling::of(&image).map(|spelling| Spelling { host: String::new(), ..spelling }).into_iter().collect()
        };
        let row = Reference { r#use: Use::Declared, ..Reference::default() };
        let rows = spellings.iter().map(|spelling| {
            if pattern {
                Reference { repository_hash: Some(self.salt.repository(spelling)), ..row.clone() }
            } else {
                self.row(spelling, row.clone())
            }
        });
        // What is no reference pins nothing, hidden or not, unless it speaks of ECR.
        (!spellings.is_empty() || !is_ecr_like(name)).then(|| rows.collect())
    }

    fn suspicious(&self, suspicious: &Suspicious, inventory: &Inventory) -> Told {
        let hidden = |hash: String| Suspicious {
            namespace: None,
            kind: String::new(),
            name: String::new(),
            path: String::new(),
            text: String::new(),
            reason: suspicious.reason,
            spec_place: suspicious.spec_place,
            repository_hash: Some(hash),
        };
        let readable = Readable::of(&suspicious.text, self.maps.hosts());
        if suspicious.spec_place && suspicious.reason != Suspicion::NoTag {
            return match readable {
                None if !is_ecr_like(&suspicious.text) => Told::Nothing,
                // It counts in any registry.
                Some(found) if found.whole => {
                    Told::Repositories(vec![hidden(self.salt.hidden(&["/", &found.repository]))])
                }
                _ => Told::Unreadable,
            };
        }
        let counts_not = match suspicious.reason {
            Suspicion::Templated => inventory.scan.templated == Templated::Report,
            Suspicion::NoTag => inventory.scan.text_without_tag == TextWithoutTag::Latest,
            Suspicion::Unparsed => false,
        };
        match readable {
            _ if counts_not => Told::Nothing,
            Some(found) if found.whole => {
                let (host, repository) = (found.registry.host(), found.repository);
                let others = self.maps.spellings(&format!("{host}/{repository}"));
                let mut hashes: BTreeSet<String> = others.iter().map(|other| self.salt.repository(other)).collect();
                hashes.insert(self.salt.hidden(&[&host, "/", &repository]));
                Told::Repositories(hashes.into_iter().map(hidden).collect())
            }
            None if !is_ecr_like(&suspicious.text) => Told::Nothing,
            _ => Told::Unreadable,
        }
    }

    /// Returns a rewrite that no map explains; the registry's own rules may.
    fn rewritten(&self, rewritten: &Rewritten) -> Option<Rewritten> {
        let repositories = |image: &str| -> BTreeSet<String> {
            self.maps.spellings(image).iter().map(|spelling| self.salt.repository(spelling)).collect()
        };
        let (from, to) = (repositories(&rewritten.from), repositories(&rewritten.to));
        from.is_disjoint(&to).then(|| Rewritten {
            from_hashes: from.into_iter().collect(),
            to_hashes: to.into_iter().collect(),
            ..Rewritten::default()
        })
    }
}

/// A host of ECR that no account has.
const ANY: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";
