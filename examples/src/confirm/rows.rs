//! The assumptions, one by one.

use kubeguard_core::ecr::registry::{Registry as _, StorageClass};
use kubeguard_core::ecr::snapshot::Status;

use super::scratch::{Failed, Scratch};
use super::{Row, Seen};

type Tried = Result<(Seen, String), Failed>;

const LISTED: &str = "ImageReferencedByManifestList";

/// Tries all of them, in their order.
pub(super) async fn all(scratch: &Scratch) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut tell = |id, assumed, tried: Tried| {
        let (seen, because) = tried.unwrap_or_else(|failed| (Seen::Open, failed));
        rows.push(Row { id, assumed, seen, because });
    };
    tell("A1", "a pair of tag and digest takes that tag only, and the image with its last tag", pairs(scratch).await);
    tell("A2", "index and child in one call: the index goes, the child is refused", together(scratch).await);
    tell("A3", "the answer has a row for an untagged digest", untagged(scratch).await);
    tell("A4", "an index is archived before its children", archive(scratch).await);
    tell("A5", "reading a manifest moves the pull time", pull_time(scratch).await);
    tell(
        "A6",
        "throttled calls are refused with a code",
        not_tried("it takes more calls than a quota that others share"),
    );
    tell("A7", "without a lifecycle policy referrers stay behind their subject", referrers(scratch).await);
    tell("A8", "DescribeRegistry answers, with the delete flag of its rules", replication(scratch).await);
    tell("A10", "archived images can be deleted", archived(scratch).await);
    tell("A11", "the last tag of an image with referrers can be deleted", last_tag(scratch).await);
    tell(
        "A12",
        "deletions reach copies that are in use",
        not_tried("it takes a second registry with delete replication"),
    );
    tell("A13", "pull times of index and child move separately", apart(scratch).await);
    tell("A14", "an archived cached copy is fetched anew", not_tried("it takes a pull-through rule and its upstream"));
    tell("A15", "a child can be restored before its index", restored(scratch).await);
    tell("A9", "an image is described as soon as it is pushed", Ok(visible(scratch)));
    rows.sort_by_key(|row| row.id.get(1..).and_then(|number| number.parse::<u32>().ok()));
    rows
}

fn not_tried(because: &str) -> Tried {
    Ok((Seen::NotTried, because.to_owned()))
}

fn holds(does: bool, because: String) -> Tried {
    Ok((if does { Seen::Holds } else { Seen::Fails }, because))
}

async fn tags(scratch: &Scratch, digest: kubeguard_core::images::Digest) -> Result<Option<Vec<String>>, Failed> {
    Ok(scratch.entry(digest).await?.map(|entry| entry.tags))
}

async fn pairs(scratch: &Scratch) -> Tried {
    let image = scratch.image("A1", &["a1-one", "a1-two"]).await?;
    let other = scratch.image("A1 other", &["a1-other"]).await?;
    scratch.delete(&[(Some("a1-one"), Some(image))]).await?;
    let after_one = tags(scratch, image).await?;
    let moved = scratch.delete(&[(Some("a1-other"), Some(image))]).await?.refused;
    let unknown = scratch.delete(&[(Some("a1-none"), Some(other))]).await?.refused;
    scratch.delete(&[(Some("a1-two"), Some(image))]).await?;
    let after_all = tags(scratch, image).await?;
    let child = scratch.image("A1 child", &["a1-child"]).await?;
    scratch.index(&[child], &["a1-index"]).await?;
    let listed = scratch.delete(&[(Some("a1-child"), Some(child))]).await?.refused;
    let codes = |refused: &[(Option<String>, String)]| refused.iter().map(|(_, code)| code.clone()).collect::<Vec<_>>();
    let reading = match (&after_one, &after_all) {
        (None, _) => "B",
        (Some(_), None) => "A",
        (Some(_), Some(_)) => "C",
    };
    let (moved, unknown, listed) = (codes(&moved), codes(&unknown), codes(&listed));
    let because = format!(
        "reading {reading}; a tag of another image: {moved:?}; no such tag: {unknown:?}; the only tag of a child: {listed:?}"
    );
    let does =
        reading == "A" && moved == ["ImageTagDoesNotMatchDigest"] && unknown == ["ImageNotFound"] && listed == [LISTED];
    holds(does, because)
}

async fn together(scratch: &Scratch) -> Tried {
    let child = scratch.image("A2", &[]).await?;
    let index = scratch.index(&[child], &["a2"]).await?;
    let answer = scratch.delete(&[(None, Some(index)), (None, Some(child))]).await?;
    let (index_is, child_is) = (scratch.entry(index).await?.is_some(), scratch.entry(child).await?.is_some());
    let mut second = false;
    if child_is {
        scratch.delete(&[(None, Some(child))]).await?;
        second = scratch.entry(child).await?.is_none();
    }
    let because = format!("refused: {:?}; after a second call the child is gone: {second}", answer.refused);
    holds(!index_is && child_is && second && answer.refused.iter().any(|(_, code)| code == LISTED), because)
}

async fn untagged(scratch: &Scratch) -> Tried {
    let image = scratch.image("A3", &[]).await?;
    let answer = scratch.delete(&[(None, Some(image))]).await?;
    let row = answer.gone == [(None, Some(image.to_string()))];
    holds(row && scratch.entry(image).await?.is_none(), format!("rows: {:?}", answer.gone))
}

async fn archive(scratch: &Scratch) -> Tried {
    let child = scratch.image("A4", &[]).await?;
    let index = scratch.index(&[child], &["a4"]).await?;
    let set = |digest| scratch.ecr.set_storage_class(scratch.repository(), digest, StorageClass::Archive);
    let first = set(child).await;
    let listed = first.as_ref().map_or_else(ToString::to_string, |status| format!("{status:?}"));
    let parent = set(index).await.map_err(|error| error.to_string())?;
    let then = set(child).await.map_err(|error| error.to_string());
    let because = format!("child first: {listed}; index: {parent:?}; child then: {then:?}");
    holds(first.is_err() && then.is_ok(), because)
}

async fn pull_time(scratch: &Scratch) -> Tried {
    let image = scratch.image("A5", &["a5"]).await?;
    let before = scratch.entry(image).await?.and_then(|entry| entry.last_pulled_at);
    scratch.read(image).await?;
    let after = scratch.entry(image).await?.and_then(|entry| entry.last_pulled_at);
    let caller = scratch.ecr.caller().await.map_err(|error| error.to_string())?;
    let excluded = scratch.ecr.pull_time_exclusions().await.unwrap_or_default();
    Ok(match (after > before, excluded.contains(&caller.arn)) {
        (true, _) => (Seen::Holds, format!("{before:?}, after the read {after:?}")),
        (false, true) => (Seen::Open, format!("{} is excluded: its reads are not recorded", caller.arn)),
        (false, false) => (Seen::Open, "not moved yet: it may lag by a day".to_owned()),
    })
}

async fn referrers(scratch: &Scratch) -> Tried {
    let subject = scratch.image("A7", &["a7"]).await?;
    let note = scratch.referrer(subject).await?;
    let policy = scratch.ecr.lifecycle_policy(scratch.repository()).await.map_err(|error| error.to_string())?;
    scratch.delete(&[(Some("a7"), Some(subject))]).await?;
    let (gone, stays) = (scratch.entry(subject).await?.is_none(), scratch.entry(note).await?.is_some());
    match (gone, stays, policy) {
        (_, _, Some(_)) => Ok((Seen::Open, "the repository has a lifecycle policy: take it away".to_owned())),
        (true, true, None) => holds(true, "the referrer is there, so far".to_owned()),
        (gone, stays, None) => holds(false, format!("subject gone: {gone}, referrer there: {stays}")),
    }
}

async fn replication(scratch: &Scratch) -> Tried {
    let read = scratch.ecr.replication().await;
    match read {
        Ok(read) => {
            let deletes = read.rules.iter().filter(|rule| rule.deletes).count();
            holds(
                true,
                format!("registry {}, {} destinations, {deletes} with the flag", read.account, read.rules.len()),
            )
        }
        Err(error) => holds(false, error.to_string()),
    }
}

fn visible(scratch: &Scratch) -> (Seen, String) {
    let (pushed, late) = scratch.visibility();
    let seen = if late == 0 { Seen::Holds } else { Seen::Fails };
    (seen, format!("{late} of {pushed} were not described at once"))
}

async fn archived(scratch: &Scratch) -> Tried {
    let (one, two) = (scratch.image("A10 one", &["a10-one"]).await?, scratch.image("A10 two", &["a10-two"]).await?);
    for digest in [one, two] {
        let archived = scratch.ecr.set_storage_class(scratch.repository(), digest, StorageClass::Archive).await;
        archived.map_err(|error| error.to_string())?;
    }
    scratch.delete(&[(Some("a10-one"), Some(one))]).await?;
    let gone = scratch.entry(one).await?.is_none();
    let back = scratch.ecr.set_storage_class(scratch.repository(), two, StorageClass::Standard).await;
    let back = back.map_err(|error| error.to_string())?;
    let activating = if back == Status::Activating {
        let refused = scratch.delete(&[(Some("a10-two"), Some(two))]).await?.refused;
        format!("while it is activating: gone {}, refused {refused:?}", scratch.entry(two).await?.is_none())
    } else {
        format!("it was {back:?} at once, so nothing is known of ACTIVATING")
    };
    holds(gone, format!("archived: gone {gone}; {activating}"))
}

async fn last_tag(scratch: &Scratch) -> Tried {
    let subject = scratch.image("A11", &["a11"]).await?;
    scratch.referrer(subject).await?;
    let answer = scratch.delete(&[(Some("a11"), Some(subject))]).await?;
    let gone = scratch.entry(subject).await?.is_none();
    holds(gone, format!("gone: {gone}, refused: {:?}", answer.refused))
}

async fn apart(scratch: &Scratch) -> Tried {
    let child = scratch.image("A13", &[]).await?;
    let index = scratch.index(&[child], &["a13"]).await?;
    scratch.read(index).await?;
    let pulled = |entry: Option<kubeguard_core::ecr::snapshot::Entry>| entry.and_then(|entry| entry.last_pulled_at);
    let (of_index, of_child) = (pulled(scratch.entry(index).await?), pulled(scratch.entry(child).await?));
    Ok(match (of_index, of_child) {
        (Some(_), None) => (Seen::Holds, "the index was read, and only its time moved".to_owned()),
        (Some(_), Some(_)) => (Seen::Fails, "the index was read, and the child's time moved too".to_owned()),
        (None, _) => (Seen::Open, "not moved yet: it may lag by a day".to_owned()),
    })
}

async fn restored(scratch: &Scratch) -> Tried {
    let child = scratch.image("A15", &[]).await?;
    let index = scratch.index(&[child], &["a15"]).await?;
    let set = |digest, class| scratch.ecr.set_storage_class(scratch.repository(), digest, class);
    for digest in [index, child] {
        set(digest, StorageClass::Archive).await.map_err(|error| error.to_string())?;
    }
    let first = set(child, StorageClass::Standard).await;
    let told = first.as_ref().map_or_else(ToString::to_string, |status| format!("{status:?}"));
    let then = set(index, StorageClass::Standard).await.map_err(|error| error.to_string());
    holds(first.is_ok(), format!("child first: {told}; then the index: {then:?}"))
}
