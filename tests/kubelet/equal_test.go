// Comparison of whole results, with a message that shows both sides.

package kubelet

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

// equal fails the test unless got is want; what names the thing compared.
func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Errorf("%s differs\n want: %s\n  got: %s", what, show(want), show(got))
	}
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%#v", value)
	}
	const limit = 4096
	if len(text) > limit {
		return fmt.Sprintf("%s... (%d bytes)", text[:limit], len(text))
	}
	return string(text)
}
