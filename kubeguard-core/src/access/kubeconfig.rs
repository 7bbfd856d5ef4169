//! Which files are read, how they are merged, and what flags override. Source: client-go's `clientcmd`.

use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::{Access, Environment};
use crate::error::{Error, Result, innermost};

/// A server that does not even accept a connection within this time is not there.
const CONNECT: Duration = Duration::from_secs(10);

impl Access {
    fn names_something(&self) -> bool {
        let texts = [&self.context, &self.cluster, &self.user, &self.server, &self.token, &self.client_certificate];
        self.kubeconfig.is_some() || texts.iter().any(|text| text.is_some())
    }

    /// Resolves files and flags into the client's configuration.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a file cannot be read, a context, cluster or user is not there, or nothing names a
    /// cluster.
    pub(super) async fn config(&self, environment: &Environment) -> Result<Config> {
        let mut config = match self.files(environment)? {
            Some(files) => self.select(files).await?,
            None if self.server.is_some() => Config::new("http://localhost".parse().map_err(problem)?),
            None if self.names_something() => return Err(nowhere(environment)),
            None => Config::incluster().map_err(|_| nowhere(environment))?,
        };
        self.override_with_flags(&mut config)?;
        Ok(config)
    }

    /// Reads and merges the files; `None` when there is none.
    fn files(&self, environment: &Environment) -> Result<Option<Kubeconfig>> {
        let paths: Vec<PathBuf> = if let Some(path) = &self.kubeconfig {
            // A file that is named must be there.
            vec![path.clone()]
        } else if let Some(list) = &environment.kubeconfig {
            std::env::split_paths(list).filter(|path| path.exists()).collect()
        } else {
            let home = environment.home.as_ref().map(|home| home.join(".kube").join("config"));
            home.into_iter().filter(|path| path.exists()).collect()
        };
        let mut merged: Option<Kubeconfig> = None;
        for path in paths {
            let read = Kubeconfig::read_from(&path).map_err(|error| Error::Configuration {
                problem: format!("cannot read kubeconfig {}", path.display()),
                hint: "check the path and the file with: kubectl config view".to_owned(),
                source: Some(innermost(&error).into()),
            })?;
            merged = Some(match merged {
                Some(before) => before.merge(read).map_err(problem)?,
                None => read,
            });
        }
        Ok(merged)
    }

    /// Returns the names of the contexts there are, in the order of the files.
    ///
    /// # Errors
    /// [`Error::Configuration`] when a file cannot be read.
    pub fn contexts(&self, environment: &Environment) -> Result<Vec<String>> {
        let files = self.files(environment)?.unwrap_or_default();
        Ok(files.contexts.into_iter().map(|context| context.name).collect())
    }

    async fn select(&self, mut files: Kubeconfig) -> Result<Config> {
        let contexts: Vec<&str> = files.contexts.iter().map(|context| context.name.as_str()).collect();
        let clusters: Vec<&str> = files.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let users: Vec<&str> = files.auth_infos.iter().map(|user| user.name.as_str()).collect();
        for (what, wanted, there) in
            [("context", &self.context, contexts), ("cluster", &self.cluster, clusters), ("user", &self.user, users)]
        {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| !there.contains(wanted)) {
                return Err(not_there(what, wanted, &there));
            }
        }
        let current = self.context.clone().or_else(|| files.current_context.clone()).filter(|name| !name.is_empty());
        let Some(current) = current else {
            let there: Vec<&str> = files.contexts.iter().map(|context| context.name.as_str()).collect();
            if self.server.is_some() {
                return Ok(Config::new("http://localhost".parse().map_err(problem)?));
            }
            return Err(Error::Configuration {
                problem: "the kubeconfig has no current context".to_owned(),
                hint: format!("--context NAME; there are: {}", list(&there)),
                source: None,
            });
        };
        let there: Vec<&str> = files.contexts.iter().map(|context| context.name.as_str()).collect();
        if !there.contains(&current.as_str()) {
            return Err(not_there("context", &current, &there));
        }
        if self.token.is_some() {
            // Our token replaces what the user would log in with; an exec plugin must not even be started.
            for user in &mut files.auth_infos {
                if let Some(user) = &mut user.auth_info {
                    user.exec = None;
                    user.auth_provider = None;
                    user.token = None;
                    user.token_file = None;
                    user.username = None;
                    user.password = None;
                }
            }
        }
        let options = KubeConfigOptions {
            context: Some(current.clone()),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        Config::from_custom_kubeconfig(files, &options).await.map_err(|error| Error::Configuration {
            problem: format!("cannot use context {current}"),
            hint: "kubectl config view --minify shows what it names".to_owned(),
            source: Some(innermost(&error).into()),
        })
    }

    fn override_with_flags(&self, config: &mut Config) -> Result<()> {
        config.default_retry = false;
        config.connect_timeout = Some(self.request_timeout.map_or(CONNECT, |limit| limit.min(CONNECT)));
        config.read_timeout = None;
        config.write_timeout = None;
        config.disable_compression |= self.disable_compression;
        if let Some(server) = &self.server {
            let address = if server.contains("://") { server.clone() } else { format!("http://{server}") };
            config.cluster_url = address.parse().map_err(|error: http::uri::InvalidUri| Error::Configuration {
                problem: format!("--server {server} is no address"),
                hint: "as in https://10.0.0.1:6443".to_owned(),
                source: Some(error.into()),
            })?;
        }
        if self.insecure_skip_tls_verify {
            config.accept_invalid_certs = true;
        }
        if let Some(name) = &self.tls_server_name {
            config.tls_server_name = Some(name.clone());
        }
        if let Some(path) = &self.certificate_authority {
            let pem = std::fs::read(path).map_err(|source| Error::Io { doing: "read", file: path.clone(), source })?;
            config.root_cert = Some(certificates(&pem));
            config.root_cert_file = None;
        }
        let auth = &mut config.auth_info;
        if let Some(token) = &self.token {
            auth.token = Some(token.clone().into());
        }
        if self.client_certificate.is_some() {
            auth.client_certificate.clone_from(&self.client_certificate);
            auth.client_certificate_data = None;
        }
        if self.client_key.is_some() {
            auth.client_key.clone_from(&self.client_key);
            auth.client_key_data = None;
        }
        if self.impersonate.is_some() {
            auth.impersonate.clone_from(&self.impersonate);
        }
        if self.impersonate_uid.is_some() {
            auth.impersonate_uid.clone_from(&self.impersonate_uid);
        }
        if !self.impersonate_groups.is_empty() {
            auth.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        if !self.impersonate_extra.is_empty() {
            auth.impersonate_user_extra = Some(self.impersonate_extra.clone().into_iter().collect());
        }
        let agent = http::HeaderValue::from_str(&self.user_agent).map_err(problem)?;
        if !self.user_agent.is_empty() {
            config.headers.push((http::header::USER_AGENT, agent));
        }
        Ok(())
    }
}

/// Returns the DER of every certificate in a PEM file; text that is none of them is skipped.
fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem).filter_map(|found| found.ok().map(|der| der.to_vec())).collect()
}

fn not_there(what: &str, wanted: &str, there: &[&str]) -> Error {
    Error::Configuration {
        problem: format!("the kubeconfig has no {what} {wanted:?}"),
        hint: format!("there are: {}", list(there)),
        source: None,
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn nowhere(environment: &Environment) -> Error {
    let looked = match (&environment.kubeconfig, &environment.home) {
        (Some(list), _) => format!("none of the files in KUBECONFIG is there ({list})"),
        (None, Some(home)) => format!("{} is not there", home.join(".kube").join("config").display()),
        (None, None) => "there is no home folder".to_owned(),
    };
    Error::Configuration {
        problem: format!("no cluster is configured: {looked}, and this is not a pod"),
        hint: "--kubeconfig FILE, or set KUBECONFIG; what is judged in files needs no cluster".to_owned(),
        source: None,
    }
}

fn problem(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Configuration {
        problem: "the configuration cannot be used".to_owned(),
        hint: String::new(),
        source: Some(Box::new(error)),
    }
}
