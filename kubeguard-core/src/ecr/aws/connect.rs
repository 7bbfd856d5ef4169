//! From names to clients: the SDK's own chain, one TLS library, no silent retries.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecr::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents, SharedHttpClient};
use aws_sdk_ecr::error::BoxError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_types::service_config::ServiceConfigKey;
use tokio::sync::OnceCell;

use super::traffic::Traffic;
use super::{AwsAccess, Clock, Ecr, Retry, calls};
use crate::error::{Error, Result};
use crate::images::RegistryId;

/// Time to reach the endpoint.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for one attempt of a call, to the end of its answer.
const ATTEMPT: Duration = Duration::from_secs(30);

impl AwsAccess {
    /// Connects: finds region, credentials and endpoint. Asks AWS only where the account is not given.
    ///
    /// `on_retry` is told before a read is repeated.
    ///
    /// # Errors
    /// [`Error::Configuration`] when no region is configured, before any call; [`Error::Registry`] when nobody tells
    /// whose registry is meant.
    pub async fn connect(&self, on_retry: impl Fn(&Retry) + Send + Sync + 'static) -> Result<Ecr> {
        self.open(&self.config().await, on_retry).await
    }

    /// Opens the registry that a program's own configuration of the SDK leads to; of `self` account and endpoint count.
    ///
    /// # Errors
    /// Those of [`AwsAccess::connect`].
    pub async fn open(&self, config: &SdkConfig, on_retry: impl Fn(&Retry) + Send + Sync + 'static) -> Result<Ecr> {
        let Some(region) = config.region() else {
            return Err(Error::Configuration {
                problem: "no AWS region is configured".to_owned(),
                hint: "give --region, or set AWS_REGION or the region of the profile".to_owned(),
                source: None,
            });
        };
        let (clock, traffic) = (Clock::default(), Arc::new(Traffic::new(Box::new(on_retry))));
        let (ecr, sts) = self.clients(config, &clock);
        let caller = Arc::new(OnceCell::new());
        let account = if let Some(account) = &self.account {
            account.clone()
        } else {
            let caller = caller.get_or_try_init(|| calls::caller(&sts, &ecr, &traffic)).await;
            let doing = "tell which account's registry is meant".to_owned();
            caller.map_err(|source| Error::Registry { doing, source: Box::new(source) })?.account.clone()
        };
        Ok(Ecr { client: ecr, sts, id: RegistryId::new(&account, region.as_ref()), clock, traffic, caller })
    }

    async fn config(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Ok(name) = AppName::new("kubeguard-ecr-clean") {
            loader = loader.app_name(name);
        }
        loader.load().await
    }

    fn clients(&self, config: &SdkConfig, clock: &Clock) -> (aws_sdk_ecr::Client, aws_sdk_sts::Client) {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        let mut ecr = aws_sdk_ecr::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.clone())
            .interceptor(clock.clone());
        let mut sts = aws_sdk_sts::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // It is AWS' time too, and it is known before anything of the registry is read.
            .interceptor(clock.clone());
        if config.http_client().is_none() {
            ecr = ecr.http_client(http_client());
            sts = sts.http_client(http_client());
        }
        if let Some(address) = &self.endpoint_url {
            ecr = ecr.endpoint_url(address);
        }
        // Whoever stands in for ECR is asked who is asking: AWS' own STS knows nothing of its accounts.
        let stand_in = self.endpoint_url.clone().or_else(|| configured(config, "ECR"));
        if let (Some(address), None) = (stand_in, configured(config, "STS")) {
            sts = sts.endpoint_url(address);
        }
        (aws_sdk_ecr::Client::from_conf(ecr.build()), aws_sdk_sts::Client::from_conf(sts.build()))
    }
}

/// Returns what speaks HTTP: the TLS library that the rest of kubeguard has, and the proxies of the environment.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
    })
}

/// Returns the address that environment or profile configure for a service, or for all.
fn configured(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(date) = date {
            self.set(date.timestamp());
        }
        Ok(())
    }
}
