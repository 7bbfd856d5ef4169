//! Who vouches for an inventory: Ed25519 over its hash, with keys as `openssl` writes them.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::Digest as _;

use super::inventory::{Inventory, Signature};
use super::reference::Digest;

/// The only algorithm.
const ALGORITHM: &str = "ed25519";
/// What stands before the 32 bytes of an Ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410, section 4): there is no other
/// way to write one in DER.
const PUBLIC_KEY: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A text that is no key to sign or to check with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It holds no such block of PEM.
    #[error("there is no PEM block {0:?}")]
    NoPem(&'static str),
    /// The block holds something else.
    #[error("it is no Ed25519 key")]
    NotEd25519,
}

/// Why nobody known vouches for an inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// It carries no signature.
    #[error("it is not signed")]
    Unsigned,
    /// Its content is not what its hash says, whoever signed that.
    #[error("it was altered: its content is not what its hash says")]
    Altered,
    /// It is signed in a way that is not checked here.
    #[error("it is signed with {0:?}, only ed25519 is known")]
    Algorithm(String),
    /// It is signed with another key.
    #[error("it is signed with key {found}, not with {expected}")]
    Key {
        /// Id of the key that the signature names.
        found: String,
        /// Id of the key that it must be signed with.
        expected: String,
    },
    /// The signature is not one of this key over this content.
    #[error("its signature is wrong")]
    Wrong,
    /// No signature can be made.
    #[error("it cannot be signed")]
    Unsignable,
}

/// The private key of whoever vouches for inventories. Its `Debug` shows the id alone.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the `PRIVATE KEY` that `openssl genpkey -algorithm ed25519` writes: PKCS#8 in PEM.
    ///
    /// # Errors
    /// When there is no such block, or when it is the key of something else.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NoPem("PRIVATE KEY"))?;
        // PKCS#8 as openssl writes it holds no public key to compare with.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        let pair = pair.map_err(|_| KeyError::NotEd25519)?;
        let id = id(pair.public_key().as_ref());
        Ok(Self { pair, id })
    }

    /// Returns the first 8 hexadecimal digits of the public key's sha256, in its DER form.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The public key that an inventory must be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckingKey {
    bytes: Vec<u8>,
    id: String,
}

impl CheckingKey {
    /// Reads the `PUBLIC KEY` that `openssl pkey -pubout` writes: `SubjectPublicKeyInfo` in PEM.
    ///
    /// # Errors
    /// When there is no such block, or when it is the key of something else.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der =
            SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NoPem("PUBLIC KEY"))?;
        let bytes = der.as_ref().strip_prefix(&PUBLIC_KEY).filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or(KeyError::NotEd25519)?.to_vec();
        Ok(Self { id: id(&bytes), bytes })
    }

    /// Returns the first 8 hexadecimal digits of the key's sha256, in its DER form.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Returns the id of a public key: what `openssl pkey -pubin -outform DER | sha256sum` begins with.
fn id(key: &[u8]) -> String {
    let hash = sha2::Sha256::new().chain_update(PUBLIC_KEY).chain_update(key).finalize();
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl Inventory {
    /// Signs what it says now; its hash is made anew.
    ///
    /// # Errors
    /// [`SignatureError::Unsignable`] when the cryptography fails.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), SignatureError> {
        self.sha256 = self.hash();
        let message = Digest::from_hex(&self.sha256).ok_or(SignatureError::Unsignable)?;
        let value = key.pair.try_sign(message.bytes()).map_err(|_| SignatureError::Unsignable)?;
        self.signature = Some(Signature {
            algorithm: ALGORITHM.to_owned(),
            key_id: key.id.clone(),
            value: STANDARD.encode(value.as_ref()),
        });
        Ok(())
    }

    /// Checks that the holder of a key vouches for everything it says.
    ///
    /// The id of the key is only a help to tell what is wrong: what counts is the key that is given.
    ///
    /// # Errors
    /// When it is unsigned, signed in another way or with another key, or when content, hash and signature do not fit.
    pub fn check_signature(&self, key: &CheckingKey) -> Result<(), SignatureError> {
        let signature = self.signature.as_ref().ok_or(SignatureError::Unsigned)?;
        let hash = self.hash();
        if self.sha256 != hash {
            return Err(SignatureError::Altered);
        }
        if signature.algorithm != ALGORITHM {
            return Err(SignatureError::Algorithm(signature.algorithm.clone()));
        }
        if signature.key_id != key.id {
            return Err(SignatureError::Key { found: signature.key_id.clone(), expected: key.id.clone() });
        }
        let message = Digest::from_hex(&hash).ok_or(SignatureError::Altered)?;
        let value = STANDARD.decode(&signature.value).map_err(|_| SignatureError::Wrong)?;
        let checked = UnparsedPublicKey::new(&ED25519, &key.bytes).verify(message.bytes(), &value);
        checked.map_err(|_| SignatureError::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::gather::{Reading, of_manifests};
    use super::super::hosts::HostMap;
    use super::super::inventory::Scan;
    use super::*;

    // Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`, for these tests alone.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIEpEHnmp6MGZwwafvDWOqB22HGlewx/BPe9GyRtm3hmZ\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAsb/vnFXoD8b5pcBxW2BwapDIEvp5taiOUYuDv0DEh9s=\n-----END PUBLIC KEY-----\n";
    const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAn6yufyhV0wh0Ku58RKOB/htZzl5V2TAQi/3Qvz4Hp8=\n-----END PUBLIC KEY-----\n";

    fn signed() -> Inventory {
        let (scan, hosts) = (Scan::default(), HostMap::default());
        let reading = Reading { cluster: "edge", scan: &scan, hosts: &hosts, tool: "kubeguard" };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "web:1"}]}});
        let mut inventory = of_manifests([&pod], reading, None, true, "2026-11-22T10:00:00Z".parse().unwrap());
        inventory.sign(&SigningKey::from_pem(PRIVATE).unwrap()).unwrap();
        inventory
    }

    #[test]
    fn what_is_signed_is_checked_with_the_public_key_also_after_a_file() {
        let (inventory, key) = (signed(), CheckingKey::from_pem(PUBLIC).unwrap());
        assert_eq!(SigningKey::from_pem(PRIVATE).unwrap().id(), key.id());
        assert_eq!(key.id(), "9fe59b36", "as openssl and sha256sum say");
        assert_eq!(inventory.check_signature(&key), Ok(()));
        let read = Inventory::parse("edge.json", &serde_json::to_string_pretty(&inventory).unwrap()).unwrap();
        assert_eq!(read.check_signature(&key), Ok(()));
        // The hash says nothing of who signs.
        let mut unsigned = inventory.clone();
        unsigned.signature = None;
        assert_eq!(unsigned.hash(), inventory.sha256);
    }

    #[test]
    fn nothing_else_than_the_signed_content_passes() {
        let key = CheckingKey::from_pem(PUBLIC).unwrap();
        let refused = |change: &dyn Fn(&mut Inventory)| {
            let mut inventory = signed();
            change(&mut inventory);
            inventory.check_signature(&key).unwrap_err()
        };
        assert_eq!(refused(&|inventory| inventory.signature = None), SignatureError::Unsigned);
        assert_eq!(refused(&|inventory| inventory.complete = false), SignatureError::Altered);
        let rehashed = |inventory: &mut Inventory| {
            inventory.references.clear();
            inventory.sha256 = inventory.hash();
        };
        assert_eq!(refused(&rehashed), SignatureError::Wrong);
        let with =
            |change: &dyn Fn(&mut Signature)| refused(&|inventory| change(inventory.signature.as_mut().unwrap()));
        assert_eq!(with(&|one| one.algorithm = "rsa".to_owned()), SignatureError::Algorithm("rsa".to_owned()));
        assert!(matches!(with(&|one| one.key_id = "0".repeat(8)), SignatureError::Key { .. }));
        assert_eq!(with(&|one| one.value = "not base64".to_owned()), SignatureError::Wrong);
        assert_eq!(with(&|one| one.value = STANDARD.encode([0; 64])), SignatureError::Wrong);
        assert_eq!(with(&|one| one.value.clear()), SignatureError::Wrong);
    }

    #[test]
    fn another_key_does_not_vouch_even_under_the_same_id() {
        let other = CheckingKey::from_pem(OTHER).unwrap();
        assert!(matches!(signed().check_signature(&other), Err(SignatureError::Key { .. })));
        let mut posing = signed();
        posing.signature.as_mut().unwrap().key_id = other.id().to_owned();
        assert_eq!(posing.check_signature(&other), Err(SignatureError::Wrong));
    }

    #[test]
    fn only_ed25519_keys_in_pem_are_keys() {
        let wrong = |text: &str| CheckingKey::from_pem(text).unwrap_err();
        assert_eq!(wrong(""), KeyError::NoPem("PUBLIC KEY"));
        assert_eq!(wrong(PRIVATE), KeyError::NoPem("PUBLIC KEY"));
        assert_eq!(wrong("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), KeyError::NotEd25519);
        assert_eq!(SigningKey::from_pem(PUBLIC).unwrap_err(), KeyError::NoPem("PRIVATE KEY"));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(SigningKey::from_pem(nonsense).unwrap_err(), KeyError::NotEd25519);
        assert!(!format!("{:?}", SigningKey::from_pem(PRIVATE).unwrap()).contains("pair"), "nothing secret is shown");
    }
}
