// Requests: the bytes that the kubelet writes are the recorded ones, and the
// program answers each of them in kind.

package kubelet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	configv1 "k8s.io/kubelet/config/v1"
)

type requestCase struct {
	Name  string
	Stdin string
}

// content reads back what a request is about.
func (c requestCase) content(t *testing.T) (request struct {
	APIVersion                string
	Image                     string
	ServiceAccountToken       string
	ServiceAccountAnnotations map[string]string
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.Stdin), &request); err != nil {
		t.Fatal(err)
	}
	return request
}

func TestRealKubeletWritesTheRecordedRequests(t *testing.T) {
	for _, c := range casesOf[requestCase](t, "encode_request") {
		t.Run(c.Name, func(t *testing.T) {
			request := c.content(t)
			bin := t.TempDir()
			seen := filepath.Join(bin, "seen")
			script(t, bin, pluginName, `cat >"$1"; exit 1`)
			entry := configv1.CredentialProvider{
				Name:                 pluginName,
				APIVersion:           request.APIVersion,
				MatchImages:          []string{"test.registry.io"},
				DefaultCacheDuration: noDuration(),
				Args:                 []string{seen},
			}
			var account serviceAccount
			if request.ServiceAccountToken != "" {
				account = serviceAccount{"builder", request.ServiceAccountToken, request.ServiceAccountAnnotations}
				entry.TokenAttributes = tokenAttributes(request.ServiceAccountAnnotations)
			}
			k := startKubelet(t, kubeletSetup{config: configFile(t, entry), binDir: bin, account: account})
			k.pull(request.Image)
			got, err := os.ReadFile(seen)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "stdin", c.Stdin, string(got))
		})
	}
}

func TestRecordedRequestsAreAnsweredInKind(t *testing.T) {
	s := newStore(t)
	s.login("test.registry.io", "user", "secret")
	want := answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"test.registry.io": {"user", "secret"}}}
	for _, c := range casesOf[requestCase](t, "encode_request") {
		t.Run(c.Name, func(t *testing.T) {
			s.plugin(c.Stdin).wantAnswer(t, c.content(t).APIVersion, want)
		})
	}
}

func TestRequestsThatALaterKubeletOrAPersonMightWriteAreAnswered(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "secret")
	want := answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"docker.io": {"user", "secret"}}}
	plain := requestFor(t, apiV1, "docker.io/library/nginx")
	for name, request := range map[string]string{
		"no final newline":  strings.TrimSuffix(plain, "\n"),
		"unknown field":     strings.Replace(plain, "{", `{"podUID":{"a":[1,null]},`, 1),
		"pretty printed":    strings.ReplaceAll(plain, ",", ",\r\n  "),
		"escaped letters":   strings.Replace(plain, "nginx", `n\u0067inx`, 1),
		"tag":               requestFor(t, apiV1, "docker.io/library/nginx:1.27"),
		"tag and digest":    requestFor(t, apiV1, "docker.io/library/nginx:1.27@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
		"scheme":            requestFor(t, apiV1, "https://docker.io/library/nginx"),
		"as a person types": requestFor(t, apiV1, "nginx"),
	} {
		t.Run(name, func(t *testing.T) {
			s.plugin(request).wantAnswer(t, apiV1, want)
		})
	}
}

func TestRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "top-secret")
	plain := requestFor(t, apiV1, "docker.io/library/nginx")
	for name, request := range map[string]string{
		"empty":              "",
		"blank":              "\n",
		"no JSON":            "docker.io/library/nginx\n",
		"cut off":            plain[:len(plain)/2],
		"array":              "[" + strings.TrimSpace(plain) + "]\n",
		"two requests":       plain + plain,
		"another kind":       strings.Replace(plain, "CredentialProviderRequest", "CredentialProviderResponse", 1),
		"another group":      requestFor(t, "client.authentication.k8s.io/v1", "docker.io/library/nginx"),
		"an unknown version": requestFor(t, apiGroup+"v2", "docker.io/library/nginx"),
		"no version":         requestFor(t, "", "docker.io/library/nginx"),
		"no image":           requestFor(t, apiV1, ""),
	} {
		t.Run(name, func(t *testing.T) {
			s.plugin(request).wantRefusal(t, "", "top-secret")
		})
	}
}

// The message says that it is a path, not that some part of it is odd.
func TestRequestsForAWindowsPathAreRefusedAsSuch(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "top-secret")
	for _, path := range []string{`C:\images\nginx`, `C:/images/nginx`, `\\server\share\nginx`, `\\?\C:\images\nginx`} {
		t.Run(path, func(t *testing.T) {
			s.plugin(requestFor(t, apiV1, path)).wantRefusal(t, "path", "top-secret")
		})
	}
}

func TestServiceAccountModeIsAnsweredFromTheStore(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	entry := provider(s, "r.test")
	entry.TokenAttributes = tokenAttributes(map[string]string{"example.test/team": "blue & <red>"})
	k := startKubelet(t, kubeletSetup{
		config:  configFile(t, entry),
		binDir:  binDir(t),
		account: serviceAccount{"builder", "token-of-the-pod", map[string]string{"example.test/team": "blue & <red>"}},
	})
	got, log := k.pull("r.test/a")
	equal(t, "failures", []string{}, log.failures())
	equal(t, "credentials", []login{{"user", "secret"}}, got.logins())
	if len(got.Accounts) != 1 || got.Accounts[0].Name != "builder" {
		t.Errorf("the credential is not recorded for the service account: %s", show(got))
	}
}

// tokenAttributes asks for a token and the given annotations of the account.
func tokenAttributes(annotations map[string]string) *configv1.ServiceAccountTokenAttributes {
	required := true
	attributes := &configv1.ServiceAccountTokenAttributes{
		ServiceAccountTokenAudience: "registry",
		CacheType:                   configv1.ServiceAccountServiceAccountTokenCacheType,
		RequireServiceAccount:       &required,
	}
	for key := range annotations {
		attributes.RequiredServiceAccountAnnotationKeys = append(attributes.RequiredServiceAccountAnnotationKeys, key)
	}
	return attributes
}
