//! The slim pod: the places of a pod that name an image, and nothing else.

use crate::kinds::{Kind, ObjectMeta, Time, message};
use crate::scheduling::{Affinity, Placement, Toleration};

message! {
    /// A pod, as far as it names images.
    struct ImagePod {
        1 metadata: ObjectMeta,
        2 spec: {ImagePodSpec},
        3 status: {ImagePodStatus},
    }
}

impl Kind for ImagePod {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Pod";
    const PLURAL: &'static str = "pods";
    const NAMESPACED: bool = true;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

message! {
    /// What a pod runs and mounts, and where it may run.
    struct ImagePodSpec {
        1 volumes: [{ImageVolume}],
        7 node_selector: Map,
        10 node_name: String,
        18 affinity: {Affinity},
        22 tolerations: [{Toleration}],
        20 init_containers: [{ImageContainer}],
        2 containers: [{ImageContainer}],
        34 ephemeral_containers: [{EphemeralImageContainer}],
    }
}

message! {
    /// A container; its texts may name further images.
    struct ImageContainer {
        1 name: String,
        2 image: String,
        3 command: [String],
        4 args: [String],
        7 env: [{EnvVar}],
    }
}

message! {
    /// A container that was added to a running pod.
    struct EphemeralImageContainer {
        #[serde(flatten)]
        1 ephemeral_container_common: {ImageContainer},
    }
}

message! {
    /// A variable with its value.
    struct EnvVar {
        1 name: String,
        2 value: String,
    }
}

message! {
    /// A volume.
    struct ImageVolume {
        1 name: String,
        #[serde(flatten)]
        2 volume_source: {ImageVolumeSource},
    }
}

message! {
    /// Where a volume comes from; only images are read.
    struct ImageVolumeSource {
        30 image: {ImageVolumeReference},
    }
}

message! {
    /// The image behind a volume.
    struct ImageVolumeReference {
        1 reference: String,
    }
}

message! {
    /// What the kubelet says of a pod.
    struct ImagePodStatus {
        1 phase: String,
        7 start_time: {Time},
        10 init_container_statuses: [{ImageContainerStatus}],
        8 container_statuses: [{ImageContainerStatus}],
        13 ephemeral_container_statuses: [{ImageContainerStatus}],
    }
}

message! {
    /// What the kubelet says of a container.
    struct ImageContainerStatus {
        1 name: String,
        2 state: {ImageContainerState},
        5 restart_count: i32,
        6 image: String,
        #[serde(rename = "imageID")]
        7 image_id: String,
    }
}

message! {
    /// Whether a container runs.
    struct ImageContainerState {
        2 running: {Since},
    }
}

message! {
    /// Since when a container runs.
    struct Since {
        1 started_at: {Time},
    }
}

impl ImagePodSpec {
    /// Returns where the pod may run.
    pub(super) fn placement(&self) -> Placement {
        let Self { node_selector, node_name, affinity, tolerations, .. } = self;
        if !node_name.is_empty() {
            return Placement { node_name: node_name.clone(), ..Placement::default() };
        }
        Placement {
            node_selector: node_selector.clone(),
            node_name: String::new(),
            affinity: affinity.clone(),
            tolerations: tolerations.clone(),
        }
    }

    /// Returns every container with its list, as in `initContainers`, and its place there.
    pub(super) fn containers(&self) -> impl Iterator<Item = (&'static str, usize, &ImageContainer)> {
        let lists = [("initContainers", &self.init_containers), ("containers", &self.containers)];
        let lists = lists.into_iter().flat_map(|(list, containers)| {
            containers.iter().enumerate().map(move |(at, container)| (list, at, container))
        });
        let ephemeral = self.ephemeral_containers.iter().enumerate();
        lists.chain(ephemeral.filter_map(|(at, container)| {
            Some(("ephemeralContainers", at, container.ephemeral_container_common.as_ref()?))
        }))
    }
}

impl ImagePodStatus {
    /// Returns every container status with its list and its place there.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (&'static str, usize, &ImageContainerStatus)> {
        let lists = [
            ("initContainerStatuses", &self.init_container_statuses),
            ("containerStatuses", &self.container_statuses),
            ("ephemeralContainerStatuses", &self.ephemeral_container_statuses),
        ];
        lists
            .into_iter()
            .flat_map(|(list, statuses)| statuses.iter().enumerate().map(move |(at, status)| (list, at, status)))
    }
}
