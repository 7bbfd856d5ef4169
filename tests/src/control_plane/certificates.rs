//! One authority per control plane, and a certificate for everybody who talks to it.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// The authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes a new authority and writes its certificate and key into `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, "kubeguard tests");
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = certificate.pem();
        write(folder, "ca.crt", &pem);
        write(folder, "ca.key", &key.serialize_pem());
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes the API server's certificate and the key that signs service account tokens.
    pub(crate) fn serve(&self, folder: &Path) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.subject_alt_names =
            ["127.0.0.1", "10.96.0.1"].map(|ip| SanType::IpAddress(ip.parse().expect("an address"))).to_vec();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        write(folder, "apiserver.crt", &certificate.pem());
        write(folder, "apiserver.key", &key.serialize_pem());
        let tokens = KeyPair::generate().expect("a key");
        write(folder, "sa.key", &tokens.serialize_pem());
        write(folder, "sa.pub", &tokens.public_key_pem());
    }

    /// Returns a kubeconfig for a user of a group.
    pub(crate) fn kubeconfig(&self, server: &str, user: &str, group: &str, namespace: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if !group.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let encode = |pem: String| STANDARD.encode(pem);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{server}\", certificate-authority-data: {}}}}}]\n\
             users: [{{name: test, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test, namespace: {namespace}}}}}]\n",
            encode(self.pem.clone()),
            encode(certificate.pem()),
            encode(key.serialize_pem()),
        )
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a fresh folder takes files");
}
