package main

import (
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Of ten owners the last is a Job, the others are ReplicaSets of Deployments behind Services.
const ofTenAreJobs = 9

func isJob(number int) bool { return number%10 == ofTenAreJobs }

// world is what stands around pods in a cluster: their workloads, Services, slices and budgets.
type world struct {
	namespace string
	endpoints []discoveryv1.Endpoint
	writes    []clientv3.Op
}

// join makes a pod one of its owner's: its label, and its place in the slice or its state as a batch pod.
func (w *world) join(pod *corev1.Pod, number int) {
	name := fmt.Sprintf("load-%05d", number)
	pod.Labels = map[string]string{"app": name, "team": "shop"}
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	if isJob(number) {
		pod.Labels["job-name"] = name
		pod.OwnerReferences[0].APIVersion, pod.OwnerReferences[0].Kind = "batch/v1", "Job"
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		return
	}
	pod.Labels["pod-template-hash"] = "5d8f7c9b4"
	ready, node := true, pod.Spec.NodeName
	w.endpoints = append(w.endpoints, discoveryv1.Endpoint{
		Addresses:  []string{fmt.Sprintf("10.%d.%d.%d", 1+number/256, number%256, 1+len(w.endpoints))},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
		NodeName:   &node,
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: w.namespace, Name: pod.Name, UID: pod.UID},
	})
}

type stored interface{ Marshal() ([]byte, error) }

func (w *world) put(kind metav1.TypeMeta, key, name string, object stored) error {
	raw, err := object.Marshal()
	if err != nil {
		return err
	}
	envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: kind.APIVersion, Kind: kind.Kind}, Raw: raw}
	value, err := envelope.Marshal()
	if err != nil {
		return err
	}
	path := "/registry/" + key + "/" + w.namespace + "/" + name
	w.writes = append(w.writes, clientv3.OpPut(path, string(magic)+string(value)))
	return nil
}

// close writes what an owner needs once its pods are known.
func (w *world) close(pattern *corev1.Pod, number int) error {
	name, size := fmt.Sprintf("load-%05d", number), int32(perOwner)
	labels := map[string]string{"app": name, "team": "shop"}
	meta := func(prefix string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: name, Namespace: w.namespace, UID: types.UID(prefix + name), Labels: labels, Generation: 1,
			CreationTimestamp: pattern.CreationTimestamp,
		}
	}
	spec := *pattern.Spec.DeepCopy()
	spec.NodeName = ""
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: pattern.Annotations}, Spec: spec,
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	if isJob(number) {
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		start := pattern.CreationTimestamp
		limit := int32(6)
		return w.put(metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, "jobs", name, &batchv1.Job{
			ObjectMeta: meta("uid-"),
			Spec:       batchv1.JobSpec{Parallelism: &size, Completions: &size, BackoffLimit: &limit, Selector: selector, Template: template},
			Status:     batchv1.JobStatus{Active: size, Ready: &size, StartTime: &start},
		})
	}
	deployment := appsv1.Deployment{
		ObjectMeta: meta("uid-deployment-"),
		Spec:       appsv1.DeploymentSpec{Replicas: &size, Selector: selector, Template: template},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: size, UpdatedReplicas: size, ReadyReplicas: size, AvailableReplicas: size},
	}
	if err := w.put(metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, "deployments", name, &deployment); err != nil {
		return err
	}
	controller := true
	set := appsv1.ReplicaSet{
		ObjectMeta: meta("uid-"),
		Spec:       appsv1.ReplicaSetSpec{Replicas: &size, Selector: selector, Template: template},
		Status:     appsv1.ReplicaSetStatus{ObservedGeneration: 1, Replicas: size, ReadyReplicas: size, AvailableReplicas: size},
	}
	set.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "Deployment", Name: name, UID: deployment.UID, Controller: &controller,
	}}
	if err := w.put(metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}, "replicasets", name, &set); err != nil {
		return err
	}
	service := corev1.Service{
		ObjectMeta: meta("uid-service-"),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: corev1.ClusterIPNone, ClusterIPs: []string{corev1.ClusterIPNone},
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
		},
	}
	if err := w.put(metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, "services/specs", name, &service); err != nil {
		return err
	}
	port, portName, protocol := int32(8080), "http", corev1.ProtocolTCP
	slice := discoveryv1.EndpointSlice{
		ObjectMeta: meta("uid-slice-"), AddressType: discoveryv1.AddressTypeIPv4, Endpoints: w.endpoints,
		Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}},
	}
	slice.Labels = map[string]string{"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
	w.endpoints = nil
	if err := w.put(metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}, "endpointslices", name, &slice); err != nil {
		return err
	}
	most := intstr.FromString("10%")
	return w.put(metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}, "poddisruptionbudgets", name, &policyv1.PodDisruptionBudget{
		ObjectMeta: meta("uid-budget-"),
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &most, Selector: selector},
		Status:     policyv1.PodDisruptionBudgetStatus{CurrentHealthy: size, DesiredHealthy: size - 2, ExpectedPods: size, DisruptionsAllowed: 2},
	})
}
