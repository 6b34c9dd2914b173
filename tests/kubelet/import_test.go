// What a node already has, imported: the kubelet then gets the credential that
// the node's own configuration did not give.

package kubelet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is the path of a configuration file that the Rust tests import too.
func sample(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "data", "import"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What the user of siderolabs/talos#10617 tried. The third attempt was the
// first with the login as base64 in `auth`.
func TestEveryAttemptOfTheTalosUserReachesTheKubelet(t *testing.T) {
	first := sample(t, "talos", "hub-attempt-1-docker-io.yaml")
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	third := filepath.Join(t.TempDir(), "hub-attempt-3.yaml")
	inBase64 := strings.Replace(string(content), "          username: hub-user\n          password: fake-hub-token\n",
		"          auth: aHViLXVzZXI6ZmFrZS1odWItdG9rZW4=\n", 1)
	if inBase64 == string(content) {
		t.Fatalf("%s is not as expected", first)
	}
	if err := os.WriteFile(third, []byte(inBase64), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"1 docker.io":            first,
		"2 registry-1.docker.io": sample(t, "talos", "hub-attempt-2-registry-1.yaml"),
		"3 base64":               third,
		"4 mirror of itself":     sample(t, "talos", "hub-attempt-4-mirror.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.operate("", "import", "talos", path)
			k := kubeletFor(t, s, "docker.io")
			wantPull(t, k, "Docker Hub", "docker.io/library/nginx", login{"hub-user", "fake-hub-token"})
		})
	}
}
