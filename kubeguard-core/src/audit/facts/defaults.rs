//! The API's defaults, so that files are judged as the server would keep them.
//!
//! A live object has them already: filling twice changes nothing. Whether a value was written or is the default cannot
//! be told apart on a server, so a message says "default" wherever a value equals it, live and in files alike.
//! Source: `pkg/apis/{core,apps,batch,autoscaling}/…/defaults.go` of Kubernetes.

use crate::audit::kinds::{
    CronJob, DaemonSet, DaemonSetUpdateStrategy, Deployment, DeploymentStrategy, EndpointSlice, HTTPGetAction,
    HorizontalPodAutoscaler, Ingress, Job, JobSpec, LimitRange, MutatingWebhookConfiguration, Namespace, Node, Pod,
    PodDisruptionBudget, PodSpec, PodTemplate, PodTemplateSpec, Probe, ReplicaSet, ReplicationController,
    RollingUpdate, RollingUpdateStatefulSetStrategy, Service, StatefulSet, StatefulSetUpdateStrategy,
    ValidatingWebhookConfiguration,
};
use crate::kinds::{IntOrString, Quantity};

/// Fills the API's defaults in, and gives the pod template away.
pub(crate) trait Defaults {
    fn fill(&mut self) {}

    /// Leaves out what is long and asked for by few.
    fn slim(&mut self, _node_images: bool) {}

    fn template(&mut self) -> Option<PodTemplateSpec> {
        None
    }
}

fn or(text: &mut String, default: &str) {
    if text.is_empty() {
        default.clone_into(text);
    }
}

fn or_number(number: &mut i32, default: i32) {
    if *number == 0 {
        *number = default;
    }
}

/// Fills a template's defaults in.
pub(super) fn template(template: &mut PodTemplateSpec) {
    if let Some(spec) = &mut template.spec {
        pod(spec);
    }
}

fn templated(found: &mut Option<PodTemplateSpec>) {
    if let Some(found) = found {
        template(found);
    }
}

fn pod(spec: &mut PodSpec) {
    or(&mut spec.restart_policy, "Always");
    spec.termination_grace_period_seconds.get_or_insert(30);
    let host = spec.host_network;
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        for declared in &mut container.ports {
            or(&mut declared.protocol, "TCP");
            if host {
                or_number(&mut declared.host_port, declared.container_port);
            }
        }
        // As imagePullPolicy of the kubelet's own reading: a digest counts as a tag.
        let (name, digest) = container.image.split_once('@').map_or((&*container.image, None), |(n, d)| (n, Some(d)));
        let last = name.rsplit('/').next().unwrap_or(name);
        let tag = last.split_once(':').map_or("", |(_, tag)| tag);
        let pulls = digest.is_none() && matches!(tag, "" | "latest");
        or(&mut container.image_pull_policy, if pulls { "Always" } else { "IfNotPresent" });
        let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
        for found in probes.into_iter().flatten() {
            probe(found);
        }
        if let Some(lifecycle) = &mut container.lifecycle {
            for hook in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
                hook.http_get.iter_mut().for_each(http);
            }
        }
        container.resources.iter_mut().for_each(resources);
    }
    crate::scheduling::pod_level_default(spec);
    or(&mut spec.scheduler_name, "default-scheduler");
    for constraint in &mut spec.topology_spread_constraints {
        or(&mut constraint.node_affinity_policy, "Honor");
        or(&mut constraint.node_taints_policy, "Ignore");
    }
}

fn probe(probe: &mut Probe) {
    or_number(&mut probe.timeout_seconds, 1);
    or_number(&mut probe.period_seconds, 10);
    or_number(&mut probe.success_threshold, 1);
    or_number(&mut probe.failure_threshold, 3);
    probe.handler.http_get.iter_mut().for_each(http);
}

fn http(get: &mut HTTPGetAction) {
    or(&mut get.path, "/");
    or(&mut get.scheme, "HTTP");
}

/// What is limited and not requested is requested as much as it is limited.
fn resources(resources: &mut crate::kinds::ResourceRequirements) {
    let limits: Vec<(String, Quantity)> = resources.limits.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    for (name, limit) in limits {
        resources.requests.entry(name).or_insert(limit);
    }
}

fn rolling(update: &mut Option<RollingUpdate>, unavailable: IntOrString, surge: IntOrString) {
    let update = update.get_or_insert_with(RollingUpdate::default);
    update.max_unavailable.get_or_insert(unavailable);
    update.max_surge.get_or_insert(surge);
}

impl Pod {
    pub(super) fn fill(&mut self) {
        self.spec.iter_mut().for_each(pod);
    }
}

impl Defaults for PodTemplate {
    fn fill(&mut self) {
        templated(&mut self.template);
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.template.take()
    }
}

impl Defaults for Deployment {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.template);
        spec.replicas.get_or_insert(1);
        spec.progress_deadline_seconds.get_or_insert(600);
        let strategy = spec.strategy.get_or_insert_with(DeploymentStrategy::default);
        or(&mut strategy.r#type, "RollingUpdate");
        if strategy.r#type == "RollingUpdate" {
            let quarter = || IntOrString::from("25%".to_owned());
            rolling(&mut strategy.rolling_update, quarter(), quarter());
        }
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.template.take()
    }
}

impl Defaults for ReplicaSet {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.template);
        spec.replicas.get_or_insert(1);
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.template.take()
    }
}

impl Defaults for ReplicationController {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.template);
        spec.replicas.get_or_insert(1);
        if spec.selector.is_empty()
            && let Some(template) = &spec.template
        {
            spec.selector = template.metadata.labels.clone();
        }
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.template.take()
    }
}

impl Defaults for StatefulSet {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.template);
        spec.replicas.get_or_insert(1);
        or(&mut spec.pod_management_policy, "OrderedReady");
        let strategy = spec.update_strategy.get_or_insert_with(StatefulSetUpdateStrategy::default);
        or(&mut strategy.r#type, "RollingUpdate");
        if strategy.r#type == "RollingUpdate" {
            let update = strategy.rolling_update.get_or_insert_with(RollingUpdateStatefulSetStrategy::default);
            update.partition.get_or_insert(0);
        }
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.template.take()
    }
}

impl Defaults for DaemonSet {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.template);
        let strategy = spec.update_strategy.get_or_insert_with(DaemonSetUpdateStrategy::default);
        or(&mut strategy.r#type, "RollingUpdate");
        if strategy.r#type == "RollingUpdate" {
            rolling(&mut strategy.rolling_update, IntOrString::from(1), IntOrString::from(0));
        }
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.template.take()
    }
}

/// Returns how often a job is tried again: 6, or without end where each index has a limit of its own.
#[must_use]
pub fn job_backoff_limit(spec: &JobSpec) -> i32 {
    spec.backoff_limit.unwrap_or(if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 })
}

impl Defaults for Job {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.template);
        if spec.completions.is_none() && spec.parallelism.is_none() {
            spec.completions = Some(1);
        }
        spec.parallelism.get_or_insert(1);
        spec.backoff_limit = Some(job_backoff_limit(spec));
        or(&mut spec.completion_mode, "NonIndexed");
        let policy = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
        or(&mut spec.pod_replacement_policy, policy);
        for rule in spec.pod_failure_policy.iter_mut().flat_map(|policy| &mut policy.rules) {
            rule.on_pod_conditions.iter_mut().for_each(|pattern| or(&mut pattern.status, "True"));
        }
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.template.take()
    }
}

impl Defaults for CronJob {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        templated(&mut spec.job_template.spec.template);
        or(&mut spec.concurrency_policy, "Allow");
        spec.successful_jobs_history_limit.get_or_insert(3);
        spec.failed_jobs_history_limit.get_or_insert(1);
    }

    fn template(&mut self) -> Option<PodTemplateSpec> {
        self.spec.as_mut()?.job_template.spec.template.take()
    }
}

impl Defaults for Service {
    fn fill(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        or(&mut spec.r#type, "ClusterIP");
        let external = spec.r#type == "ExternalName";
        for port in &mut spec.ports {
            or(&mut port.protocol, "TCP");
            let unset = port.target_port.as_ref().is_none_or(|target| matches!(target.to_string().as_str(), "" | "0"));
            if unset && !external {
                port.target_port = Some(IntOrString::from(port.port));
            }
        }
    }
}

impl Defaults for HorizontalPodAutoscaler {
    fn fill(&mut self) {
        if let Some(spec) = &mut self.spec {
            spec.min_replicas.get_or_insert(1);
        }
    }
}

impl Defaults for ValidatingWebhookConfiguration {
    fn fill(&mut self) {
        self.webhooks.iter_mut().for_each(|webhook| or(&mut webhook.failure_policy, "Fail"));
    }
}

impl Defaults for MutatingWebhookConfiguration {
    fn fill(&mut self) {
        self.webhooks.iter_mut().for_each(|webhook| or(&mut webhook.failure_policy, "Fail"));
    }
}

impl Defaults for EndpointSlice {}
impl Defaults for Ingress {}
impl Defaults for PodDisruptionBudget {}
impl Defaults for Node {
    fn slim(&mut self, node_images: bool) {
        if let Some(status) = self.status.as_mut().filter(|_| !node_images) {
            status.images = Vec::new();
        }
    }
}
impl Defaults for Namespace {}
impl Defaults for LimitRange {}
impl Defaults for crate::audit::kinds::PriorityClass {}
impl Defaults for crate::audit::kinds::ResourceQuota {}
impl Defaults for crate::audit::kinds::ConfigMap {}
impl Defaults for crate::audit::kinds::PersistentVolume {}
impl Defaults for crate::audit::kinds::PersistentVolumeClaim {}
impl Defaults for crate::audit::kinds::ControllerRevision {}
impl Defaults for crate::audit::kinds::Role {}
impl Defaults for crate::audit::kinds::RoleBinding {}
impl Defaults for crate::audit::kinds::ClusterRole {}
impl Defaults for crate::audit::kinds::ClusterRoleBinding {}
impl Defaults for crate::audit::kinds::PodMetrics {}
