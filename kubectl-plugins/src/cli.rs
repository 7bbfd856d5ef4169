//! The flags that every plugin shares, as kubectl has them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kubeguard_core::access::Access;
use kubeguard_core::audit::{AuditReport, Severity};

use crate::duration::parse_limit;
use crate::exit::ExitCode;
use crate::output::audit::AuditFormat;
use crate::terminal::Colour;

/// Which cluster, and who is asking.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Path to the kubeconfig file to use
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig context to use
    #[arg(long, value_name = "NAME", global = true)]
    context: Option<String>,
    /// Name of the kubeconfig cluster to use
    #[arg(long, value_name = "NAME", global = true)]
    cluster: Option<String>,
    /// Name of the kubeconfig user to use
    #[arg(long, value_name = "NAME", global = true)]
    user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, value_name = "URL", global = true)]
    server: Option<String>,
    /// Bearer token for the API server
    #[arg(long, value_name = "TOKEN", global = true)]
    token: Option<String>,
    /// Path to a client certificate
    #[arg(long, value_name = "FILE", global = true)]
    client_certificate: Option<String>,
    /// Path to the client certificate's key
    #[arg(long, value_name = "FILE", global = true)]
    client_key: Option<String>,
    /// Path to the authorities that may sign the server's certificate
    #[arg(long, value_name = "FILE", global = true)]
    certificate_authority: Option<String>,
    /// Do not check the server's certificate
    #[arg(long, global = true)]
    insecure_skip_tls_verify: bool,
    /// Name that the server's certificate must carry
    #[arg(long, value_name = "NAME", global = true)]
    tls_server_name: Option<String>,
    /// User to act as
    #[arg(long = "as", value_name = "USER", global = true)]
    impersonate: Option<String>,
    /// Uid to act as
    #[arg(long = "as-uid", value_name = "UID", global = true)]
    impersonate_uid: Option<String>,
    /// Group to act as, repeatable
    #[arg(long = "as-group", value_name = "GROUP", global = true)]
    impersonate_groups: Vec<String>,
    /// Extra attribute to act with, repeatable
    #[arg(long = "as-user-extra", value_name = "KEY=VALUE", global = true, value_parser = pair)]
    impersonate_extra: Vec<(String, String)>,
    /// Time that one request may take: 30s, bare seconds, or 0 for no limit
    #[arg(long, value_name = "DURATION", default_value = "0", global = true, value_parser = parse_limit)]
    request_timeout: Duration,
    /// Do not ask for compressed answers
    #[arg(long, global = true)]
    disable_compression: bool,
    /// Accepted for kubectl's sake; nothing is cached on disk
    #[arg(long, value_name = "DIR", global = true, hide = true)]
    cache_dir: Option<PathBuf>,
}

/// Reads `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl AccessArgs {
    /// Returns what the library connects with; `tool` names the binary to the server.
    pub(crate) fn access(&self, tool: &str) -> Access {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in &self.impersonate_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
        Access {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            server: self.server.clone(),
            token: self.token.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            certificate_authority: self.certificate_authority.clone(),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            tls_server_name: self.tls_server_name.clone(),
            impersonate: self.impersonate.clone(),
            impersonate_uid: self.impersonate_uid.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
            impersonate_extra: extra,
            request_timeout: Some(self.request_timeout).filter(|limit| !limit.is_zero()),
            disable_compression: self.disable_compression,
            user_agent: format!("{tool}/{}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Where to look.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Scope")]
pub(crate) struct ScopeArgs {
    /// Namespace; the context's where it is left out
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Label selector, as in app=web
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Field selector, as in metadata.name=web
    #[arg(long, value_name = "SELECTOR")]
    pub(crate) field_selector: Option<String>,
    /// File, folder or address with objects, or - for standard input; repeatable
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Vec<String>,
    /// Read the folders of -f with their folders
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Folder with a kustomization, built by kubectl
    #[arg(short = 'k', long, value_name = "DIR")]
    pub(crate) kustomize: Option<String>,
}

/// How the answer of an audit is written, and what makes it a failure.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct AuditArgs {
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: AuditFormat,
    /// Least severity of a finding that ends with exit code 1: critical, high, medium, low, info, or never
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = FailOn::parse)]
    fail_on: FailOn,
}

/// The least severity that counts as a failure; absent is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FailOn(Option<Severity>);

impl FailOn {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let known = Severity::ALL.into_iter().find(|severity| severity.word() == text);
        known.map(|severity| Self(Some(severity))).ok_or_else(|| {
            let words = Severity::ALL.map(Severity::word).join(", ");
            format!("{text:?} is no severity; known are {words}, and never")
        })
    }
}

impl AuditArgs {
    /// Returns the least severity that counts as a failure.
    pub(crate) const fn fail_on(self) -> Option<Severity> {
        self.fail_on.0
    }

    /// Returns how a report ends; an answer about nothing at all is none.
    pub(crate) fn code(self, report: &AuditReport) -> ExitCode {
        ExitCode::of(report.exit_code(self.fail_on()))
    }

    /// Returns how a report ends whose gaps have a code of their own: a finding weighs more than what could not be judged.
    #[cfg(feature = "ecr")]
    pub(crate) fn code_beside_gaps(self, report: &AuditReport) -> ExitCode {
        if report.fails(self.fail_on()) {
            ExitCode::No
        } else if report.complete {
            ExitCode::Yes
        } else {
            ExitCode::Partly
        }
    }
}

/// What is printed, and how much.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ChatterArgs {
    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    pub(crate) color: Colour,
    /// No progress and no hints on stderr
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Explain what is done on stderr; -vv with details, -vvv with every request
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

impl ChatterArgs {
    /// Starts logging to stderr: warnings, with -v facts, with -vv details, with -vvv requests of the libraries too.
    pub(crate) fn start_logging(&self) {
        use tracing_subscriber::filter::{LevelFilter, Targets};
        use tracing_subscriber::layer::SubscriberExt;
        use tracing_subscriber::util::SubscriberInitExt;
        let (ours, theirs) = match self.verbose {
            0 => (LevelFilter::WARN, LevelFilter::OFF),
            1 => (LevelFilter::INFO, LevelFilter::OFF),
            2 => (LevelFilter::DEBUG, LevelFilter::OFF),
            _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
        };
        let ours = if self.quiet { LevelFilter::OFF } else { ours };
        let filter =
            Targets::new().with_default(theirs).with_target("kubeguard", ours).with_target("kubectl_plugins", ours);
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
        // A second start, as in a test, keeps the first.
        drop(tracing_subscriber::registry().with(layer).with(filter).try_init());
    }
}
