//! STS: who is asking, and the keys of a role.

use super::{Operation, Refusal, Site};
use crate::fake_ecr::store::Store;

/// `GetCallerIdentity`.
#[derive(Debug, Clone, Default)]
pub(crate) struct GetCallerIdentity {}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Account of the credentials.
    pub account: String,
    /// ARN of the user, or of the session of a role.
    pub arn: String,
}

impl Operation for GetCallerIdentity {
    const NAME: &'static str = "GetCallerIdentity";
    type Output = Identity;

    fn run(&self, _: &mut Store, at: &Site) -> Result<Identity, Refusal> {
        Ok(Identity { account: at.registry.account.clone(), arn: at.caller.clone() })
    }
}

/// `AssumeRole`. Every role may be assumed by everybody, unless the test lets the call fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct AssumeRole {
    pub role_arn: String,
    pub role_session_name: String,
}

/// Keys of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Access key, known from now on.
    pub access_key: String,
    /// ARN of the session.
    pub arn: String,
}

impl Operation for AssumeRole {
    const NAME: &'static str = "AssumeRole";
    type Output = Session;

    fn run(&self, store: &mut Store, _: &Site) -> Result<Session, Refusal> {
        // arn:PARTITION:iam::ACCOUNT:role/NAME
        let parts: Vec<&str> = self.role_arn.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else {
            return Err(Refusal::new("ValidationError", "RoleArn is invalid"));
        };
        let Some(role) = resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next()) else {
            return Err(Refusal::new("ValidationError", "RoleArn is invalid"));
        };
        let arn = format!("arn:{partition}:sts::{account}:assumed-role/{role}/{}", self.role_session_name);
        let access_key = store.session_key();
        store.allow(&access_key, account, &arn);
        Ok(Session { access_key, arn })
    }
}
