// kubedog waits for the Deployments web-0, web-1, … as werf does: NAMESPACE COUNT.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/werf/kubedog/pkg/kube"
	"github.com/werf/kubedog/pkg/tracker"
	"github.com/werf/kubedog/pkg/trackers/rollout/multitrack"
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
	if err := kube.Init(kube.InitOptions{}); err != nil {
		return err
	}
	var specs multitrack.MultitrackSpecs
	for number := range most {
		spec := multitrack.MultitrackSpec{ResourceName: fmt.Sprintf("web-%d", number), Namespace: namespace, SkipLogs: true}
		specs.Deployments = append(specs.Deployments, spec)
	}
	options := multitrack.MultitrackOptions{
		Options: tracker.Options{ParentContext: context.Background(), Timeout: 10 * time.Minute},
		// Its table of progress is not asked for.
		StatusProgressPeriod: -1,
	}
	return multitrack.Multitrack(kube.Kubernetes, specs, options)
}
