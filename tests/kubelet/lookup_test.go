// Lookups end to end: a pod's image through the registered plugin to the
// credentials that the kubelet would hand to the CRI.

package kubelet

import (
	"strings"
	"testing"
)

func TestLookupsYieldExactlyTheStoredCredential(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			image := requestImage(t, s.image)
			host, _, _ := strings.Cut(image, "/")
			k := kubeletFor(t, s.fill(newStore(t)), host)
			got, log := k.pull(image)
			want := []login{}
			if s.key != "" {
				want = append(want, s.login)
			}
			equal(t, "executions of the plugin", 1, log.runs())
			equal(t, "failures", []string{}, log.failures())
			equal(t, "credentials", want, got.logins())
		})
	}
}

func TestLookupsKeepOddCredentialsByteForByte(t *testing.T) {
	s := newStore(t)
	for i, odd := range oddLogins {
		s.login("r.test/"+string(rune('a'+i)), odd.login.Username, odd.login.Password)
	}
	k := kubeletFor(t, s, "r.test")
	for i, odd := range oddLogins {
		t.Run(odd.name, func(t *testing.T) {
			got, log := k.pull("r.test/" + string(rune('a'+i)) + "/app")
			equal(t, "failures", []string{}, log.failures())
			equal(t, "credentials", []login{odd.login}, got.logins())
		})
	}
}

// One store and one kubelet serve every kind of scope side by side.
func TestLookupsChooseAmongManyScopes(t *testing.T) {
	s := newStore(t)
	for scope, user := range map[string]string{
		"docker.io":                    "hub",
		"docker.io/acme":               "hub-acme",
		"r.io":                         "host",
		"r.io/team":                    "team",
		"r.io/team/sub":                "sub",
		"r.io:5000":                    "port",
		"*.example.test":               "wildcard",
		"a.example.test":               "exact",
		"[::1]:5000":                   "ipv6",
		"123456789012.dkr.ecr.test/ns": "namespace",
	} {
		s.login(scope, user, "secret-of-"+user)
	}
	k := kubeletFor(t, s, "docker.io", "registry-1.docker.io", "*.docker.io", "r.io", "r.io:5000", "r.io:5001",
		"*.example.test", "[::1]:5000", "*.dkr.ecr.test")
	for podImage, user := range map[string]string{
		"nginx":                               "hub",
		"acme/app":                            "hub-acme",
		"acme-b/app":                          "hub",
		"registry-1.docker.io/acme/app":       "hub-acme",
		"registry-1.docker.io/library/nginx":  "hub",
		"evil.docker.io/acme/app":             "",
		"r.io/app":                            "host",
		"r.io/team/app":                       "team",
		"r.io/team-b/app":                     "host",
		"r.io/team/sub/app":                   "sub",
		"r.io/team/subway/app":                "team",
		"r.io:5000/team/app":                  "port",
		"r.io:5001/team/app":                  "",
		"a.example.test/x":                    "exact",
		"b.example.test/x":                    "wildcard",
		"[::1]:5000/x":                        "ipv6",
		"123456789012.dkr.ecr.test/ns/app":    "namespace",
		"123456789012.dkr.ecr.test/other/app": "",
		"210987654321.dkr.ecr.test/ns/app":    "",
	} {
		t.Run(podImage, func(t *testing.T) {
			got, log := k.pull(requestImage(t, podImage))
			want := []login{}
			if user != "" {
				want = append(want, login{user, "secret-of-" + user})
			}
			equal(t, "executions of the plugin", 1, log.runs())
			equal(t, "failures", []string{}, log.failures())
			equal(t, "credentials", want, got.logins())
		})
	}
}

func TestImagesOutsideMatchImagesNeverReachThePlugin(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "secret")
	k := kubeletFor(t, s, "index.docker.io", "*.docker.io", "docker.io:443", "docker.io/*")
	got, log := k.pull(requestImage(t, "nginx"))
	equal(t, "executions of the plugin", 0, log.runs())
	equal(t, "credentials", []login{}, got.logins())
}
