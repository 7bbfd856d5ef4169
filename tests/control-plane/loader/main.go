// The loader fills a control plane with many realistic pods: one is made through the API server, the others are its
// copies, written straight into etcd under other names.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// The storage form of the API server: a magic number and a runtime.Unknown.
var magic = []byte("k8s\x00")

// A transaction may hold 1.5 MiB.
const batch = 50

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the control plane")
	endpoint := flag.String("etcd", "", "address of its etcd")
	namespace := flag.String("namespace", "default", "namespace of the pods")
	count := flag.Int("count", 1000, "number of pods")
	around := flag.Bool("around", false, "write their workloads, Services, slices and budgets too; a tenth are pods of Jobs")
	flag.Parse()
	if err := fill(*kubeconfig, *endpoint, *namespace, *count, *around); err != nil {
		log.Fatal(err)
	}
}

func fill(kubeconfig, endpoint, namespace string, count int, around bool) error {
	ctx := context.Background()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	pattern, err := client.CoreV1().Pods(namespace).Create(ctx, pod(), metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the pattern: %w", err)
	}
	pattern.Status = status(pattern)
	if pattern, err = client.CoreV1().Pods(namespace).UpdateStatus(ctx, pattern, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write the pattern's status: %w", err)
	}
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer etcd.Close()
	prefix := "/registry/pods/" + namespace + "/"
	stored, err := etcd.Get(ctx, prefix+pattern.Name)
	if err != nil {
		return err
	}
	if len(stored.Kvs) != 1 || !bytes.HasPrefix(stored.Kvs[0].Value, magic) {
		return fmt.Errorf("%s is not stored as protobuf", prefix+pattern.Name)
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(stored.Kvs[0].Value[len(magic):]); err != nil {
		return err
	}
	var copied corev1.Pod
	if err := copied.Unmarshal(envelope.Raw); err != nil {
		return err
	}
	var writes []clientv3.Op
	others := world{namespace: namespace}
	for i := 0; i < count; i++ {
		copied.Name = fmt.Sprintf("load-%06d-%s", i, strings.Repeat("x", 5))
		copied.UID = types.UID(uuid.NewUUID())
		copied.OwnerReferences = []metav1.OwnerReference{owner(i / perOwner)}
		copied.Spec.NodeName = fmt.Sprintf("load-node-%d", i%50)
		if around {
			others.join(&copied, i/perOwner)
			if i%perOwner == perOwner-1 || i == count-1 {
				if err := others.close(pattern, i/perOwner); err != nil {
					return err
				}
			}
		}
		if envelope.Raw, err = copied.Marshal(); err != nil {
			return err
		}
		raw, err := envelope.Marshal()
		if err != nil {
			return err
		}
		writes = append(writes, clientv3.OpPut(prefix+copied.Name, string(append(append([]byte{}, magic...), raw...))))
		if len(writes) == batch || i == count-1 {
			if _, err := etcd.Txn(ctx).Then(writes...).Commit(); err != nil {
				return err
			}
			writes = writes[:0]
			// Each of them is as large as a pod.
			for len(others.writes) > 0 {
				some := min(batch, len(others.writes))
				if _, err := etcd.Txn(ctx).Then(others.writes[:some]...).Commit(); err != nil {
					return err
				}
				others.writes = others.writes[some:]
			}
		}
	}
	fmt.Printf("%d pods in namespace %s\n", count, namespace)
	return nil
}

// perOwner is the size of a ReplicaSet.
const perOwner = 20

// owner names the ReplicaSet that a pod would come from.
func owner(number int) metav1.OwnerReference {
	controller := true
	name := fmt.Sprintf("load-%05d", number)
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: types.UID("uid-" + name), Controller: &controller}
}

func pod() *corev1.Pod {
	container := func(name string) corev1.Container {
		env := make([]corev1.EnvVar, 0, 30)
		for i := 0; i < 30; i++ {
			env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", i), Value: strings.Repeat("v", 60)})
		}
		return corev1.Container{
			Name:  name,
			Image: "registry.example.org/shop/" + name + ":1.42.0",
			Env:   env,
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
			},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/ready"}}}},
		}
	}
	annotations := map[string]string{}
	for i := 0; i < 12; i++ {
		annotations[fmt.Sprintf("example.org/annotation-%02d", i)] = strings.Repeat("a", 120)
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "load-pattern", Labels: map[string]string{"app": "load", "team": "shop"}, Annotations: annotations},
		Spec: corev1.PodSpec{
			NodeName:    "load-node-0",
			Containers:  []corev1.Container{container("app"), container("proxy"), container("agent")},
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}
}

func status(pod *corev1.Pod) corev1.PodStatus {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, PodIP: "10.0.0.1", HostIP: "10.0.1.1", QOSClass: corev1.PodQOSBurstable}
	for _, name := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: name, Status: "True", LastTransitionTime: now})
	}
	started := true
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: true, Started: &started,
			ImageID:     container.Image + "@sha256:" + strings.Repeat("0123456789abcdef", 4),
			ContainerID: "containerd://" + strings.Repeat("0123456789abcdef", 4),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return status
}
