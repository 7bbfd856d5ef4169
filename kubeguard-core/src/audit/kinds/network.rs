//! How traffic reaches pods.

use super::LabelSelector;
use crate::kinds::{IntOrString, ObjectMeta, ObjectReference, kinds, message};

kinds! {
    Service = "" / "v1" / "services", namespaced: true;
    EndpointSlice = "discovery.k8s.io" / "v1" / "endpointslices", namespaced: true;
    Ingress = "networking.k8s.io" / "v1" / "ingresses", namespaced: true;
    ValidatingWebhookConfiguration =
        "admissionregistration.k8s.io" / "v1" / "validatingwebhookconfigurations", namespaced: false;
    MutatingWebhookConfiguration =
        "admissionregistration.k8s.io" / "v1" / "mutatingwebhookconfigurations", namespaced: false;
}

message! {
    /// A service.
    struct Service {
        1 metadata: ObjectMeta,
        2 spec: {ServiceSpec},
    }
}

message! {
    /// What a service selects and how it is reached.
    struct ServiceSpec {
        1 ports: [{ServicePort}],
        2 selector: Map,
        #[serde(rename = "clusterIP")]
        3 cluster_ip: String,
        4 r#type: String,
        10 external_name: String,
        11 external_traffic_policy: String,
        13 publish_not_ready_addresses: bool,
        22 internal_traffic_policy: String,
        23 traffic_distribution: String,
    }
}

message! {
    /// One port of a service.
    struct ServicePort {
        1 name: String,
        2 protocol: String,
        6 app_protocol: String,
        3 port: i32,
        4 target_port: {IntOrString},
    }
}

message! {
    /// Where a service routes to: endpoints of one address family.
    struct EndpointSlice {
        1 metadata: ObjectMeta,
        4 address_type: String,
        2 endpoints: [{Endpoint}],
        3 ports: [{EndpointPort}],
    }
}

message! {
    /// One endpoint of a service.
    struct Endpoint {
        1 addresses: [String],
        2 conditions: {EndpointConditions},
        4 target_ref: {ObjectReference},
        6 node_name: String,
        7 zone: String,
    }
}

message! {
    /// What an endpoint can do now.
    struct EndpointConditions {
        1 ready: bool?,
        2 serving: bool?,
        3 terminating: bool?,
    }
}

message! {
    /// A port of every endpoint of a slice.
    struct EndpointPort {
        1 name: String,
        2 protocol: String,
        3 port: i32?,
    }
}

message! {
    /// What is reached from outside by host and path.
    struct Ingress {
        1 metadata: ObjectMeta,
        2 spec: {IngressSpec},
    }
}

message! {
    /// What an ingress routes.
    struct IngressSpec {
        1 default_backend: {IngressBackend},
        3 rules: [{IngressRule}],
    }
}

message! {
    /// Where an ingress routes to.
    struct IngressBackend {
        4 service: {IngressServiceBackend},
    }
}

message! {
    /// The service behind it.
    struct IngressServiceBackend {
        1 name: String,
        2 port: {ServiceBackendPort},
    }
}

message! {
    /// The service's port.
    struct ServiceBackendPort {
        1 name: String,
        2 number: i32,
    }
}

message! {
    /// What is routed for one host.
    struct IngressRule {
        1 host: String,
        #[serde(flatten)]
        2 ingress_rule_value: = IngressRuleValue,
    }
}

message! {
    /// Its paths.
    struct IngressRuleValue {
        1 http: {HTTPIngressRuleValue},
    }
}

message! {
    /// Its paths.
    struct HTTPIngressRuleValue {
        1 paths: [{HTTPIngressPath}],
    }
}

message! {
    /// What is routed for one path.
    struct HTTPIngressPath {
        1 path: String,
        2 backend: = IngressBackend,
    }
}

message! {
    /// Webhooks that may refuse.
    struct ValidatingWebhookConfiguration {
        1 metadata: ObjectMeta,
        2 webhooks: [{ValidatingWebhook}],
    }
}

message! {
    /// Webhooks that may change.
    struct MutatingWebhookConfiguration {
        1 metadata: ObjectMeta,
        2 webhooks: [{MutatingWebhook}],
    }
}

message! {
    /// One webhook that may refuse.
    struct ValidatingWebhook {
        1 name: String,
        2 client_config: = WebhookClientConfig,
        3 rules: [{RuleWithOperations}],
        4 failure_policy: String,
        5 namespace_selector: {LabelSelector},
        10 object_selector: {LabelSelector},
    }
}

message! {
    /// One webhook that may change.
    struct MutatingWebhook {
        1 name: String,
        2 client_config: = WebhookClientConfig,
        3 rules: [{RuleWithOperations}],
        4 failure_policy: String,
        5 namespace_selector: {LabelSelector},
        10 reinvocation_policy: String,
        11 object_selector: {LabelSelector},
    }
}

message! {
    /// What a webhook is asked about.
    struct RuleWithOperations {
        1 operations: [String],
        #[serde(flatten)]
        2 rule: = WebhookRule,
    }
}

message! {
    /// Kinds that a webhook is asked about.
    struct WebhookRule {
        1 api_groups: [String],
        2 api_versions: [String],
        3 resources: [String],
    }
}

message! {
    /// Where a webhook is asked.
    struct WebhookClientConfig {
        1 service: {WebhookService},
    }
}

message! {
    /// The service behind a webhook.
    struct WebhookService {
        1 namespace: String,
        2 name: String,
    }
}
