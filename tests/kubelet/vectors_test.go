// Recorded verdicts of the kubelet, shared with the Rust tests. Reading is
// strict, so that no recorded fact goes unused without notice.

package kubelet

import (
	"bytes"
	"encoding/json"
	"os"
	"sync"
	"testing"
)

const defaultVectors = "../data/kubelet.json"

var vectorFile = sync.OnceValues(func() (map[string]json.RawMessage, error) {
	path := os.Getenv("KCP_VECTORS")
	if path == "" {
		path = defaultVectors
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var groups map[string]json.RawMessage
	return groups, json.Unmarshal(text, &groups)
})

// casesOf returns the cases of one group of the vectors.
func casesOf[T any](t *testing.T, group string) []T {
	t.Helper()
	groups, err := vectorFile()
	if err != nil {
		t.Fatalf("vectors: %v", err)
	}
	var content struct {
		Source, Kubelet, What string
		Cases                 []T
	}
	decoder := json.NewDecoder(bytes.NewReader(groups[group]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&content); err != nil {
		t.Fatalf("vectors: group %s: %v", group, err)
	}
	if len(content.Cases) == 0 {
		t.Fatalf("vectors: group %s has no cases", group)
	}
	return content.Cases
}
