// Calibration: the real kubelet and the two judges reach the recorded verdict
// on every recorded plugin response.

package kubelet

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	configv1 "k8s.io/kubelet/config/v1"
)

type responseCase struct {
	Case              string
	Stdout            string
	AcceptedGE132     bool `json:"accepted_ge_1_32"`
	AcceptedLE131     bool `json:"accepted_le_1_31"`
	Auth              map[string][2]string
	CachedFor         string
	KubeletError      string
	HiddenDecodeError string
}

// bytes restores the two bodies that JSON cannot carry: the vectors hold
// U+FFFD in place of each byte that is no UTF-8.
func (c responseCase) bytes() string {
	switch c.Case {
	case "UTF-16LE":
		return strings.Replace(c.Stdout, "\ufffd\ufffd", "\xff\xfe", 1)
	case "invalid UTF-8 in password":
		return strings.Replace(c.Stdout, "\ufffd", "\xff", 1)
	}
	return c.Stdout
}

// seconds is the recorded time in the cache; what is gone at once is 0.
func (c responseCase) seconds(t *testing.T) float64 {
	t.Helper()
	if c.CachedFor == "not cached (or already expired)" {
		return 0
	}
	return secondsOf(t, c.CachedFor)
}

func TestRealKubeletReachesTheRecordedVerdictOnEveryResponse(t *testing.T) {
	cases := casesOf[responseCase](t, "probe_responses")
	bodies := make([]string, len(cases))
	for i, c := range cases {
		bodies[i] = c.bytes()
	}
	failures := printedToKubelet(t, apiV1, bodies)
	for i, c := range cases {
		t.Run(c.Case, func(t *testing.T) {
			equal(t, "accepted", c.AcceptedGE132, failures[i] == "")
			equal(t, "error", strings.TrimPrefix(c.KubeletError, "failed to get credential from external registry credential provider: "), failures[i])
		})
	}
}

func TestJudgesReachTheRecordedVerdictOnEveryResponse(t *testing.T) {
	for _, c := range casesOf[responseCase](t, "probe_responses") {
		t.Run(c.Case, func(t *testing.T) {
			accepted := []bool{c.AcceptedGE132, c.AcceptedLE131}
			for i, j := range judges() {
				got, err := j.verdict(apiV1, []byte(c.bytes()))
				if (err == nil) != accepted[i] {
					t.Errorf("%s: accepted is recorded as %v, the judge says %v", j.name, accepted[i], err)
				}
				// What was decoded is recorded for the strict judge only.
				if err != nil || !c.AcceptedGE132 {
					continue
				}
				auth := map[string]login{}
				for key, pair := range c.Auth {
					auth[key] = login{pair[0], pair[1]}
				}
				equal(t, j.name+": auth", auth, got.Auth)
				equal(t, j.name+": seconds in the cache", c.seconds(t), got.seconds(t))
			}
			_, err := judges()[0].decode([]byte(c.bytes()))
			equal(t, "hidden error of the strict decoding", withoutScheme(c.HiddenDecodeError), withoutScheme(errorText(err)))
		})
	}
}

func TestRealKubeletAndJudgesAgreeOnUpstreamDecodeCases(t *testing.T) {
	type decodeCase struct {
		Name     string
		Stdout   string
		Accepted bool
	}
	for _, c := range casesOf[decodeCase](t, "decode_response") {
		t.Run(c.Name, func(t *testing.T) {
			apiVersion := regexp.MustCompile(`credentialprovider\.kubelet\.k8s\.io/v1(alpha1|beta1)?|$`).FindString(c.Stdout)
			if apiVersion == "" {
				apiVersion = apiGroup + "v1beta1"
			}
			failure := printedToKubelet(t, apiVersion, []string{c.Stdout})[0]
			equal(t, "accepted by the kubelet ("+failure+")", c.Accepted, failure == "")
			for _, j := range judges() {
				_, err := j.verdict(apiVersion, []byte(c.Stdout))
				equal(t, fmt.Sprintf("accepted by %s (%v)", j.name, err), c.Accepted, err == nil)
			}
		})
	}
}

// printedToKubelet shows the real kubelet plugins that print the bodies and
// exit 0. It returns the kubelet's complaint about each, empty for none.
func printedToKubelet(t *testing.T, apiVersion string, bodies []string) []string {
	t.Helper()
	bin := t.TempDir()
	var providers []configv1.CredentialProvider
	for i, body := range bodies {
		name := fmt.Sprintf("print-%d", i)
		script(t, bin, name, `exec cat "$1"`)
		providers = append(providers, configv1.CredentialProvider{
			Name:                 name,
			APIVersion:           apiVersion,
			MatchImages:          []string{name + ".test"},
			DefaultCacheDuration: &metav1.Duration{Duration: time.Hour},
			Args:                 []string{writeFile(t, filepath.Join(bin, name+".body"), body, 0o600)},
		})
	}
	k := startKubelet(t, kubeletSetup{config: configFile(t, providers...), binDir: bin})
	failures := make([]string, len(bodies))
	for i := range bodies {
		_, log := k.pull(fmt.Sprintf("print-%d.test/a/b", i))
		equal(t, "executions", 1, log.runs())
		failures[i] = strings.Join(log.failures(), "; ")
	}
	return failures
}

// seconds is how long a kubelet with a default of one hour caches the answer.
func (a answer) seconds(t *testing.T) float64 {
	t.Helper()
	if a.CacheDuration == "" {
		return time.Hour.Seconds()
	}
	return secondsOf(t, a.CacheDuration)
}

// secondsOf is a duration in whole seconds, 0 for what has passed.
func secondsOf(t *testing.T, text string) float64 {
	t.Helper()
	duration, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return max(duration.Truncate(time.Second).Seconds(), 0)
}

// withoutScheme drops the source line that names the scheme of a codec.
func withoutScheme(text string) string {
	return regexp.MustCompile(` in scheme ".*"`).ReplaceAllString(text, "")
}
