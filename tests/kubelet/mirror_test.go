// Registries with mirrors: the kubelet tries the chain of credentials in the
// order of the rule's policy, and gets no other.

package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// apply stores a mirror rule as an operator declares it.
func (s *store) apply(source, policy string, hosts ...string) {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "declaration.yaml")
	declaration := fmt.Sprintf("apiVersion: keyring-credential-provider/v1\nkind: Credentials\n"+
		"mirrors:\n- source: %q\n  hosts: [%s]\n  policy: %s\n", source, `"`+strings.Join(hosts, `", "`)+`"`, policy)
	if err := os.WriteFile(path, []byte(declaration), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.operate("", "apply", "-f", path)
}

func TestAChainIsTriedInTheOrderOfItsPolicy(t *testing.T) {
	upstream, mirror := login{"upstream", "u"}, login{"mirror", "m"}
	registries := []string{"docker.io", "registry.k8s.io", "localhost:5000", "10.0.0.1:5000", "[::1]:5000", "r.test", "a.b.c.test:443"}
	for policy, want := range map[string][]login{
		"mirror-only":          {mirror},
		"mirror-then-upstream": {mirror, upstream},
		"upstream-then-mirror": {upstream, mirror},
		"upstream-only":        {upstream},
	} {
		t.Run(policy, func(t *testing.T) {
			s := newStore(t)
			s.login("mirror.test:5000", mirror.Username, mirror.Password)
			for _, registry := range registries {
				s.login(registry, upstream.Username, upstream.Password)
				s.apply(registry, policy, "mirror.test:5000")
			}
			k := kubeletFor(t, s, registries...)
			for _, registry := range registries {
				wantPull(t, k, registry, registry+"/team/app", want...)
			}
		})
	}
}

func TestAChainWithPathScopesIsTriedInItsOrder(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "upstream", "u")
	s.login("mirror.test/team", "mirror", "m")
	s.apply("docker.io", "mirror-then-upstream", "mirror.test")
	k := kubeletFor(t, s, "docker.io")
	wantPull(t, k, "path", "docker.io/team/app", login{"mirror", "m"}, login{"upstream", "u"})
	wantPull(t, k, "other path", "docker.io/team-b/app", login{"upstream", "u"})
}

// The default keeps the registry's login from mirrors that have none of their own.
func TestTheUpstreamLoginIsWithheldByDefault(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "upstream", "u")
	s.apply("docker.io", "mirror-only", "unknown.test")
	k := kubeletFor(t, s, "docker.io")
	wantPull(t, k, "withheld", "docker.io/library/nginx")
}
