//! Metadata that every object carries.

use super::{Time, message};

message! {
    /// Metadata of an object. managedFields are read where they are needed and never kept.
    struct ObjectMeta {
        1 name: String,
        3 namespace: String,
        5 uid: String,
        6 resource_version: String,
        7 generation: i64?,
        8 creation_timestamp: {Time},
        9 deletion_timestamp: {Time},
        11 labels: Map,
        12 annotations: Map,
        13 owner_references: [{OwnerReference}],
        14 finalizers: [String],
    }
}

message! {
    /// Who owns an object.
    struct OwnerReference {
        5 api_version: String,
        1 kind: String,
        3 name: String,
        4 uid: String,
        6 controller: bool?,
    }
}

message! {
    /// Which labels a workload's pods carry; the pods are found by owner, this only narrows a list.
    struct LabelSelector {
        1 match_labels: Map,
    }
}

impl ObjectMeta {
    /// Returns the owner that controls the object, at most one by the API's contract.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Returns whether the object is being deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Returns an annotation, empty when it is not there.
    #[must_use]
    pub fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }

    /// Returns a label, empty when it is not there.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// What rules ask of a condition; the protobuf tags differ between kinds, the meaning does not.
pub trait Condition {
    /// Returns type, status, reason and message.
    fn words(&self) -> [&str; 4];

    /// Returns when the status changed last.
    fn changed_at(&self) -> Option<jiff::Timestamp>;

    /// Returns whether its status is `"True"`.
    fn is_true(&self) -> bool {
        self.words()[1] == "True"
    }

    /// Returns whether its status is `"False"`.
    fn is_false(&self) -> bool {
        self.words()[1] == "False"
    }

    /// Returns its reason.
    fn reason(&self) -> &str {
        self.words()[2]
    }

    /// Returns its message.
    fn message(&self) -> &str {
        self.words()[3]
    }
}

/// Returns the first condition of a type.
#[must_use]
pub fn condition<'a, C: Condition>(conditions: &'a [C], name: &str) -> Option<&'a C> {
    conditions.iter().find(|condition| condition.words()[0] == name)
}

/// Implements [`Condition`] for message types with the usual field names.
macro_rules! conditions {
    ($($type:ident),*) => {
        $(impl $crate::kinds::Condition for $type {
            fn words(&self) -> [&str; 4] {
                [&self.r#type, &self.status, &self.reason, &self.message]
            }

            fn changed_at(&self) -> Option<jiff::Timestamp> {
                self.last_transition_time.as_ref().and_then($crate::kinds::Time::timestamp)
            }
        })*
    };
}
pub(crate) use conditions;
