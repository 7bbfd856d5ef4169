// The oracle runs upstream's own code on objects from standard input, one JSON request a line, one answer a line.
//
//	{"op":"rollout-status","object":{…}}  kubectl's status viewers  → {"message":"…","done":true}
//	{"op":"kstatus","object":{…}}         kstatus' generic rules    → {"status":"Current","message":"…"}
//	{"op":"schedule","schedule":"*/5 * * * *","zone":"…","after":1,"count":5}  the CronJob controller's parser → {"times":[…]}
//	{"op":"random","object":{"apiVersion":…,"kind":…},"seed":1}  upstream's type, filled → {"encoded":{"json":{…},"protobuf":"…"}}
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubectl/pkg/polymorphichelpers"
)

type request struct {
	Op       string          `json:"op"`
	Object   json.RawMessage `json:"object"`
	Seed     int64           `json:"seed"`
	Schedule string          `json:"schedule"`
	Zone     string          `json:"zone"`
	After    int64           `json:"after"`
	Count    int             `json:"count"`
}

type answer struct {
	Message string   `json:"message,omitempty"`
	Done    bool     `json:"done"`
	Status  string   `json:"status,omitempty"`
	Encoded *encoded `json:"encoded,omitempty"`
	Times   []int64  `json:"times,omitempty"`
	Error   string   `json:"error,omitempty"`
}

func ask(line []byte) answer {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return answer{Error: err.Error()}
	}
	if r.Op == "schedule" {
		return instants(r)
	}
	// Numbers must become int64, as a client reads them.
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(r.Object); err != nil {
		return answer{Error: err.Error()}
	}
	switch r.Op {
	case "rollout-status":
		kind := object.GroupVersionKind().GroupKind()
		viewer, err := polymorphichelpers.StatusViewerFor(schema.GroupKind{Group: kind.Group, Kind: kind.Kind})
		if err != nil {
			return answer{Error: err.Error()}
		}
		message, done, err := viewer.Status(object, 0)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Message: message, Done: done}
	case "kstatus":
		result, err := status.Compute(object)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Status: string(result.Status), Message: result.Message, Done: result.Status == status.CurrentStatus}
	case "random":
		filled, err := random(object.GroupVersionKind(), r.Seed)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Encoded: filled}
	}
	return answer{Error: fmt.Sprintf("unknown op %q", r.Op)}
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 64<<20)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		line, err := json.Marshal(ask(in.Bytes()))
		if err != nil {
			fmt.Fprintln(os.Stderr, "oracle:", err)
			os.Exit(1)
		}
		out.Write(append(line, '\n'))
		out.Flush()
	}
}
