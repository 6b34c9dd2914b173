// The program's own answers, judged by the kubelet's decoding.

package kubelet

import (
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/util/parsers"
)

var apiVersions = []string{apiV1, apiGroup + "v1beta1", apiGroup + "v1alpha1"}

// requestImage is the string that the kubelet sends for the image of a pod.
func requestImage(t *testing.T, podImage string) string {
	t.Helper()
	repository, _, _, err := parsers.ParseImageName(podImage)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func TestAnswersHoldExactlyTheStoredCredential(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			filled := s.fill(newStore(t))
			for _, apiVersion := range apiVersions {
				filled.plugin(requestFor(t, apiVersion, requestImage(t, s.image))).wantAnswer(t, apiVersion, s.answer())
			}
		})
	}
}

func TestAnswersKeepOddCredentialsByteForByte(t *testing.T) {
	for _, odd := range oddLogins {
		t.Run(odd.name, func(t *testing.T) {
			s := newStore(t)
			s.login("r.test", odd.login.Username, odd.login.Password)
			want := answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"r.test": odd.login}}
			for _, apiVersion := range apiVersions {
				s.plugin(requestFor(t, apiVersion, "r.test/a")).wantAnswer(t, apiVersion, want)
			}
		})
	}
}

func TestAnswersKeepAKeyFileOfSeveralLines(t *testing.T) {
	s := newStore(t)
	s.login("r.test", keyFile.Username, keyFile.Password)
	want := answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"r.test": keyFile}}
	s.plugin(requestFor(t, apiV1, "r.test/a")).wantAnswer(t, apiV1, want)
}

func TestAnswersCarryATokenOfManyKilobytes(t *testing.T) {
	s := newStore(t)
	token := strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 600)
	s.login("r.test", "oauth2accesstoken", token)
	want := answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"r.test": {"oauth2accesstoken", token}}}
	s.plugin(requestFor(t, apiV1, "r.test/a")).wantAnswer(t, apiV1, want)
}

func TestEverySpellingOfThePluginCommandAnswers(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	request := requestFor(t, apiV1, "r.test/a")
	want := answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"r.test": {"user", "secret"}}}
	inEnvironment := []string{"KEYRING_CREDENTIAL_PROVIDER_STORE=" + s.dir}
	elsewhere := []string{"KEYRING_CREDENTIAL_PROVIDER_STORE=/nonexistent"}
	for _, c := range []struct {
		name string
		env  []string
		args []string
	}{
		{"no argument", inEnvironment, nil},
		{"get-credentials", inEnvironment, []string{"get-credentials"}},
		{"options after the command", nil, []string{"get-credentials", "--store", s.dir, "--timeout", "10s"}},
		{"option before the environment", elsewhere, []string{"get-credentials", "--store", s.dir}},
	} {
		t.Run(c.name, func(t *testing.T) {
			execute(t, strings.NewReader(request), c.env, c.args...).wantAnswer(t, apiV1, want)
		})
	}
}
