//! Digests that run, and the images that the same container names beside them.

use std::collections::HashMap;

use super::inventory::{Inventory, Reference};

/// The image that a container's status names, beside the digest that it runs.
pub(crate) struct StatusImages<'a>(HashMap<Place<'a>, Vec<&'a str>>);

type Place<'a> = (Option<&'a str>, &'a str, &'a str, Option<&'a str>);

fn place(reference: &Reference) -> Place<'_> {
    let Reference { namespace, kind, name, container, .. } = reference;
    (namespace.as_deref(), kind, name, container.as_deref())
}

impl<'a> StatusImages<'a> {
    pub(crate) fn of(inventory: &'a Inventory) -> Self {
        let mut images: HashMap<_, Vec<&str>> = HashMap::new();
        let named = |reference: &&Reference| reference.spec.is_some() && reference.path.ends_with("].image");
        for reference in inventory.references.iter().filter(named) {
            images.entry(place(reference)).or_default().push(&reference.image);
        }
        Self(images)
    }

    /// Returns the images that the spec and the status of the same container name.
    pub(crate) fn beside<'r>(&'r self, reference: &'r Reference) -> impl Iterator<Item = &'r str> {
        let images = self.0.get(&place(reference)).into_iter().flatten().copied();
        let spec = reference.spec.as_deref();
        spec.into_iter().chain(images.filter(move |image| spec.is_some() && *image != reference.image))
    }
}
