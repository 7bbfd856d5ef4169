//! Which images of one ECR registry may go, and how they go safely.
//!
//! [`registry`] is what is asked of a registry, [`aws`] who answers, [`snapshot`] what one look at it gives and [`look`]
//! how it is gathered, [`policy`] and [`clusters`] what people decide, [`state`] what earlier runs saw,
//! [`planning`] the judgement and [`plan`](mod@plan) the answer, which [`apply`] carries out, [`verify`](mod@verify)
//! checks and [`restore`](mod@restore) takes back; [`findings`] are the rules of what is noticed. [`lint`](mod@lint) looks
//! for what AWS' own lifecycle rules would do, [`report`](mod@report) tells sizes and costs, [`iam`] the rights that each
//! needs. One vote keeps an image; deletion needs no vote at all and complete evidence.

pub mod apply;
pub mod aws;
pub mod clusters;
pub mod explain;
pub mod findings;
pub mod iam;
pub mod lint;
pub mod look;
pub mod manifests;
pub mod plan;
pub mod planning;
pub mod policy;
pub mod registry;
pub mod report;
pub mod restore;
pub mod snapshot;
pub mod state;
pub mod verify;
