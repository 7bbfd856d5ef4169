package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"
)

// encoded is one object in the API server's two encodings.
type encoded struct {
	JSON     json.RawMessage `json:"json"`
	Protobuf []byte          `json:"protobuf"`
}

// random returns an object of upstream's own type with random content: every optional field is there half the time.
func random(kind schema.GroupVersionKind, seed int64) (*encoded, error) {
	object, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	filler(seed).Fill(object)
	message, ok := object.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, fmt.Errorf("%v has no protobuf", kind)
	}
	raw, err := message.Marshal()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return &encoded{JSON: text, Protobuf: raw}, nil
}

// filler fills what has rules beyond its Go type by those rules.
func filler(seed int64) *randfill.Filler {
	return randfill.NewWithSeed(seed).RandSource(rand.NewSource(seed)).NilChance(.4).NumElements(0, 3).MaxDepth(24).Funcs(
		func(into *metav1.Time, c randfill.Continue) { into.Time = time.Unix(c.Int63n(1<<32), 0).UTC() },
		func(into *metav1.MicroTime, c randfill.Continue) { into.Time = time.UnixMicro(c.Int63n(1 << 51)).UTC() },
		func(into *resource.Quantity, c randfill.Continue) {
			formats := []resource.Format{resource.BinarySI, resource.DecimalSI, resource.DecimalExponent}
			*into = *resource.NewMilliQuantity(c.Int63n(1<<40), formats[c.Intn(len(formats))])
		},
		func(into *intstr.IntOrString, c randfill.Continue) {
			*into = intstr.FromInt32(c.Int31())
			if c.Bool() {
				*into = intstr.FromString(fmt.Sprintf("%d%%", c.Intn(101)))
			}
		},
		func(into *runtime.RawExtension, c randfill.Continue) {
			into.Raw = []byte(fmt.Sprintf(`{"spec":{"number":%d}}`, c.Intn(100)))
		},
		func(into *metav1.FieldsV1, _ randfill.Continue) { into.SetRawBytes([]byte(`{"f:spec":{}}`)) },
	)
}
