// Image names: the kubelet's parser agrees with the vectors, and the program's
// explain agrees with the kubelet's parser.

package kubelet

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/util/parsers"
)

// imageCase is a case of either group on image names; the fields of the other
// group are nil.
type imageCase struct {
	PodImage      string
	PluginImage   string
	CacheRegistry *string
	Error         string
	Tag, Digest   *string
	ErrorContains string
}

func (c imageCase) refused() bool { return c.Error != "" || c.ErrorContains != "" }

func imageCases(t *testing.T) []imageCase {
	t.Helper()
	return append(casesOf[imageCase](t, "parse_image_name"), casesOf[imageCase](t, "probe_parse_image")...)
}

func TestImageNamesParseAsRecorded(t *testing.T) {
	for _, c := range imageCases(t) {
		t.Run(c.PodImage, func(t *testing.T) {
			repository, tag, digest, err := parsers.ParseImageName(c.PodImage)
			equal(t, "image for the plugin", c.PluginImage, repository)
			if c.Tag != nil {
				equal(t, "tag", *c.Tag, tag)
			}
			if c.Digest != nil {
				equal(t, "digest", *c.Digest, digest)
			}
			if c.CacheRegistry != nil {
				equal(t, "registry", *c.CacheRegistry, strings.Split(repository, "/")[0])
			}
			equal(t, "refused", c.refused(), err != nil)
			if c.Error != "" {
				equal(t, "error", c.Error, errorText(err))
			}
			if !strings.Contains(errorText(err), c.ErrorContains) {
				t.Errorf("the error %q does not hold %q", errorText(err), c.ErrorContains)
			}
		})
	}
}

func TestExplainNormalisesImagesAsTheKubeletDoes(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "secret")
	names := []string{
		"nginx", "acme/app:1", "docker.io/acme/app", "index.docker.io/nginx:latest", "registry-1.docker.io/library/nginx",
		"r.io", "r.io:5000", "r.io:5000/a:5000", "[2001:db8::1]:5000/a/b", "a.b/c@sha256:" + strings.Repeat("0", 64),
	}
	for _, c := range imageCases(t) {
		if !c.refused() {
			names = append(names, c.PodImage)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			out := execute(t, strings.NewReader(""), nil, "--store", s.dir, "explain", name, "--output", "json")
			// 3 says that nothing is stored for the image.
			if out.exit != 0 && out.exit != 3 {
				t.Fatalf("explain failed: %s", out)
			}
			var explanation struct {
				Image string `json:"image"`
			}
			if err := json.Unmarshal([]byte(out.stdout), &explanation); err != nil {
				t.Fatalf("explain: %v: %s", err, out)
			}
			equal(t, "image", requestImage(t, name), explanation.Image)
		})
	}
}

// A scheme in front is the exception: the program takes it from a person.
func TestExplainRefusesImagesThatTheKubeletRefuses(t *testing.T) {
	s := newStore(t)
	for _, c := range imageCases(t) {
		if !c.refused() || strings.Contains(c.PodImage, "://") {
			continue
		}
		t.Run(c.PodImage, func(t *testing.T) {
			out := execute(t, strings.NewReader(""), nil, "--store", s.dir, "explain", c.PodImage, "--output", "json")
			if out.exit == 0 || out.exit == 3 {
				t.Errorf("explain takes what the kubelet refuses: %s", out)
			}
		})
	}
}
