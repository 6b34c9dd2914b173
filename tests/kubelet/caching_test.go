// The kubelet's cache: it behaves as recorded, and our answers never enter it.

package kubelet

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	configv1 "k8s.io/kubelet/config/v1"
)

func TestRealKubeletCachesAnswersAsRecorded(t *testing.T) {
	type cachingCase struct {
		CacheKeyType string
		AuthKeys     []string
		Images       []string
		Credentials  [][]string
		PluginCalls  int
		Error        bool
		Parallel     bool
	}
	for _, c := range casesOf[cachingCase](t, "probe_caching") {
		t.Run(fmt.Sprintf("%s %v for %v", c.CacheKeyType, c.AuthKeys, c.Images), func(t *testing.T) {
			auth := map[string]login{}
			for _, key := range c.AuthKeys {
				auth[key] = login{key, "secret"}
			}
			body, err := json.Marshal(map[string]any{
				"kind":         "CredentialProviderResponse",
				"apiVersion":   apiV1,
				"cacheKeyType": c.CacheKeyType,
				"auth":         auth,
			})
			if err != nil {
				t.Fatal(err)
			}
			bin := t.TempDir()
			commands := `cat "$1"`
			if c.Parallel {
				// Long enough for every pull to begin before the first ends.
				commands = `sleep 1; cat "$1"`
			}
			if c.Error {
				commands = "exit 1"
			}
			script(t, bin, pluginName, commands)
			k := startKubelet(t, kubeletSetup{binDir: bin, config: configFile(t, configv1.CredentialProvider{
				Name:                 pluginName,
				APIVersion:           apiV1,
				MatchImages:          []string{"*.io"},
				DefaultCacheDuration: &metav1.Duration{Duration: time.Hour},
				Args:                 []string{writeFile(t, filepath.Join(bin, "body"), string(body), 0o600)},
			})})
			pulls, log := k.pullAll(pullRequest{Images: c.Images, InParallel: c.Parallel})
			equal(t, "executions of the plugin", c.PluginCalls, log.runs())
			if c.Credentials == nil {
				return
			}
			credentials := [][]string{}
			for _, got := range pulls {
				users := []string{}
				for _, credential := range got.logins() {
					users = append(users, credential.Username)
				}
				credentials = append(credentials, users)
			}
			equal(t, "credentials", c.Credentials, credentials)
		})
	}
}

// The configuration says 12 hours; every answer overrides that with none.
func TestOurAnswersAreNeverCached(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	s.login("s.test/team", "team", "secret")
	k := kubeletFor(t, s, "*.test")
	for _, image := range strings.Fields("r.test/a s.test/team/a s.test/other t.test/a") {
		t.Run(image, func(t *testing.T) {
			_, log := k.pullAll(pullRequest{Images: []string{image, image, image}})
			equal(t, "executions of the plugin", 3, log.runs())
		})
	}
}
