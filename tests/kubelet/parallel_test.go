// Many pulls at the same time, as at the start of a node.

package kubelet

import (
	"fmt"
	"testing"
	"time"
)

func TestFourImagesInParallelAreFourRunsAndFourCredentials(t *testing.T) {
	s := newStore(t)
	wantParallel(t, s, 4, 4)
}

func TestSixtyFourImagesInParallelAllGetTheirCredential(t *testing.T) {
	s := newStore(t)
	wantParallel(t, s, 64, 8)
}

// wantParallel looks up images of several registries at the same time; each
// must get the credential of its registry from a run of its own.
func wantParallel(t *testing.T, s *store, images, registries int) {
	t.Helper()
	for i := range registries {
		s.login(fmt.Sprintf("r%d.test", i), fmt.Sprintf("user-%d", i), fmt.Sprintf("secret-%d", i))
	}
	k := kubeletFor(t, s, "*.test")
	request := pullRequest{InParallel: true}
	for i := range images {
		request.Images = append(request.Images, fmt.Sprintf("r%d.test/app-%d", i%registries, i))
	}
	start := time.Now()
	pulls, log := k.pullAll(request)
	for i, got := range pulls {
		n := i % registries
		want := []login{{fmt.Sprintf("user-%d", n), fmt.Sprintf("secret-%d", n)}}
		equal(t, "credentials for "+got.Image, want, got.logins())
	}
	equal(t, "executions of the plugin", images, log.runs())
	equal(t, "failures", []string{}, log.failures())
	if took, limit := time.Since(start), 10*time.Second; took > limit {
		t.Errorf("%d lookups took %v, want at most %v", images, took, limit)
	}
}

func TestOneImageSixtyFourTimesInParallelGetsItsCredentialEachTime(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	k := kubeletFor(t, s, "r.test")
	request := pullRequest{InParallel: true}
	for range 64 {
		request.Images = append(request.Images, "r.test/a")
	}
	pulls, log := k.pullAll(request)
	for _, got := range pulls {
		equal(t, "credentials", []login{{"user", "secret"}}, got.logins())
	}
	equal(t, "failures", []string{}, log.failures())
}
