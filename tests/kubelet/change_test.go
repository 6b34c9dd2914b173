// Changes between two pulls of one kubelet that is never restarted.

package kubelet

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// wantPull pulls an image, which must yield exactly the logins and no failure.
func wantPull(t *testing.T, k *kubelet, what, image string, want ...login) {
	t.Helper()
	got, log := k.pull(image)
	equal(t, what+": failures", []string{}, log.failures())
	equal(t, what+": executions of the plugin", 1, log.runs())
	equal(t, what+": credentials", append([]login{}, want...), got.logins())
}

func TestARotatedPasswordServesTheNextPull(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "old")
	k := kubeletFor(t, s, "r.test")
	wantPull(t, k, "before", "r.test/a", login{"user", "old"})
	s.login("r.test", "user", "new")
	wantPull(t, k, "after", "r.test/a", login{"user", "new"})
}

func TestARemovedEntryServesNoMorePulls(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	s.login("s.test", "user", "other")
	k := kubeletFor(t, s, "*.test")
	wantPull(t, k, "before", "r.test/a", login{"user", "secret"})
	s.logout("r.test")
	wantPull(t, k, "after", "r.test/a")
	wantPull(t, k, "the other entry", "s.test/a", login{"user", "other"})
}

func TestAnEntryAddedAfterNotFoundServesTheNextPull(t *testing.T) {
	s := newStore(t)
	k := kubeletFor(t, s, "r.test", "docker.io")
	for _, c := range []struct{ scope, image string }{
		{"r.test", "r.test/a"},
		{"docker.io", "docker.io/library/nginx"},
	} {
		wantPull(t, k, "before", c.image)
		s.login(c.scope, "user", "secret")
		wantPull(t, k, "after", c.image, login{"user", "secret"})
	}
}

// A registry-wide answer must not stand in the way of a path that comes later.
func TestAPathAddedAfterARegistryWideAnswerServesTheNextPull(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "wide", "secret")
	k := kubeletFor(t, s, "r.test")
	wantPull(t, k, "before", "r.test/team/app", login{"wide", "secret"})
	s.login("r.test/team", "team", "secret")
	wantPull(t, k, "after", "r.test/team/app", login{"team", "secret"})
	s.logout("r.test/team")
	wantPull(t, k, "path removed", "r.test/team/app", login{"wide", "secret"})
}

func TestAReplacedBinaryServesTheNextPull(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "from the new one")
	bin := t.TempDir()
	script(t, bin, pluginName, `printf '{"kind":"CredentialProviderResponse","apiVersion":"`+apiV1+
		`","cacheKeyType":"Registry","cacheDuration":"0s","auth":{"r.test":{"username":"user","password":"from the old one"}}}'`)
	copyBinary(t, filepath.Join(bin, "next"))
	k := startKubelet(t, kubeletSetup{config: configFile(t, provider(s, "r.test")), binDir: bin})
	wantPull(t, k, "before", "r.test/a", login{"user", "from the old one"})
	rename(t, filepath.Join(bin, "next"), filepath.Join(bin, pluginName))
	wantPull(t, k, "after", "r.test/a", login{"user", "from the new one"})
}

func TestABinaryReplacedDuringPullsFailsNone(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	bin := t.TempDir()
	// The copies are complete before the first pull: a file that is open for
	// writing cannot be executed.
	copies := make([]string, 8)
	for i := range copies {
		copies[i] = filepath.Join(bin, fmt.Sprintf("next-%d", i))
		copyBinary(t, copies[i])
	}
	rename(t, copies[0], filepath.Join(bin, pluginName))
	k := startKubelet(t, kubeletSetup{config: configFile(t, provider(s, "r.test")), binDir: bin})
	wantAllWhile(t, k, 120, login{"user", "secret"}, func() {
		for _, next := range copies[1:] {
			time.Sleep(20 * time.Millisecond)
			rename(t, next, filepath.Join(bin, pluginName))
		}
	})
}

func TestAStoreRewrittenDuringPullsFailsNone(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	k := kubeletFor(t, s, "r.test")
	wantAllWhile(t, k, 120, login{"user", "secret"}, func() {
		for i := range 20 {
			// Each login seals the whole store anew.
			s.login(fmt.Sprintf("other-%d.test", i), "user", "other")
		}
	})
}

// wantAllWhile makes pulls of different images, one after another, at the same
// time as work; each pull must yield the login.
func wantAllWhile(t *testing.T, k *kubelet, pulls int, want login, work func()) {
	t.Helper()
	request := pullRequest{}
	for i := range pulls {
		request.Images = append(request.Images, fmt.Sprintf("r.test/app-%d", i))
	}
	results, log := k.pullAllWhile(request, work)
	for _, got := range results {
		equal(t, "credentials for "+got.Image, []login{want}, got.logins())
	}
	equal(t, "failures", []string{}, log.failures())
}

func copyBinary(t *testing.T, to string) {
	t.Helper()
	writeFile(t, to, string(read(t, binary)), 0o700)
}
