// helm waits for the Deployments web-0, web-1, … as `helm install --wait` does: NAMESPACE COUNT.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
)

func main() {
	if err := wait(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func wait(namespace, count string) error {
	most, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var manifests strings.Builder
	for number := range most {
		fmt.Fprintf(&manifests, "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web-%d, namespace: %s}\n", number, namespace)
	}
	flags := genericclioptions.NewConfigFlags(true)
	flags.Namespace = &namespace
	// The limits of Helm's own command line.
	flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.Burst = 100
		return config
	}
	client := kube.New(flags)
	resources, err := client.Build(strings.NewReader(manifests.String()), false)
	if err != nil {
		return err
	}
	waiter, err := client.GetWaiter(kube.StatusWatcherStrategy)
	if err != nil {
		return err
	}
	return waiter.Wait(resources, 10*time.Minute)
}
