// Registration: the sample configuration is accepted in every form that an
// operator may write it in, each ends in a credential, and the recorded
// refusals are the kubelet's.

package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleYAML is the configuration of the documentation. The verbs are the
// config API version, the provider API version and the store.
const sampleYAML = `apiVersion: kubelet.config.k8s.io/%s
kind: CredentialProviderConfig
providers:
- name: keyring-credential-provider
  apiVersion: credentialprovider.kubelet.k8s.io/%s
  matchImages:
  - docker.io
  - registry-1.docker.io
  - registry.hub.docker.com
  - registry.example.test
  - registry.example.test:5000
  - "*.registry.example.test"
  defaultCacheDuration: "0s"
  env:
  - name: KEYRING_CREDENTIAL_PROVIDER_STORE
    value: %s
`

const sampleJSON = `{
  "apiVersion": "kubelet.config.k8s.io/%s",
  "kind": "CredentialProviderConfig",
  "providers": [
    {
      "name": "keyring-credential-provider",
      "apiVersion": "credentialprovider.kubelet.k8s.io/%s",
      "matchImages": ["docker.io", "registry.example.test:5000"],
      "defaultCacheDuration": "12h",
      "args": ["get-credentials", "--store", %q, "--timeout", "10s"]
    }
  ]
}
`

func TestSampleConfigurationIsAcceptedInEveryFormAndVersion(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "secret")
	versions := []string{"v1", "v1beta1", "v1alpha1"}
	for name, text := range map[string]string{"config.yaml": sampleYAML, "config.json": sampleJSON} {
		for _, config := range versions {
			for _, provider := range versions {
				t.Run(strings.Join([]string{name, config, provider}, "/"), func(t *testing.T) {
					path := writeFile(t, filepath.Join(t.TempDir(), name), fmt.Sprintf(text, config, provider, s.dir), 0o600)
					k := startKubelet(t, kubeletSetup{config: path, binDir: binDir(t)})
					wantPull(t, k, "sample", requestImage(t, "nginx"), login{"user", "secret"})
				})
			}
		}
	}
}

func TestSampleConfigurationIsAcceptedFromADirectoryBesideOthers(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "secret")
	bin := binDir(t)
	script(t, bin, "other", "exit 1")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "10-other.yml"), `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: other
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["other.test"]
  defaultCacheDuration: "1h"
`, 0o600)
	writeFile(t, filepath.Join(dir, "20-keyring.yaml"), fmt.Sprintf(sampleYAML, "v1", "v1", s.dir), 0o600)
	writeFile(t, filepath.Join(dir, "README.txt"), "not read\n", 0o600)
	k := startKubelet(t, kubeletSetup{config: dir, binDir: bin})
	wantPull(t, k, "sample", requestImage(t, "nginx"), login{"user", "secret"})
}

// Two entries for one program, told apart by a second name, as the kubelet
// wants it for a second mode.
func TestASecondNameOfTheProgramServesASecondStore(t *testing.T) {
	first, second := newStore(t), newStore(t)
	first.login("r.test", "first", "secret")
	second.login("s.test", "second", "secret")
	bin := binDir(t)
	if err := os.Symlink(pluginName, filepath.Join(bin, pluginName+"-2")); err != nil {
		t.Fatal(err)
	}
	other := provider(second, "s.test")
	other.Name += "-2"
	k := startKubelet(t, kubeletSetup{config: configFile(t, provider(first, "r.test"), other), binDir: bin})
	wantPull(t, k, "first", "r.test/a", login{"first", "secret"})
	wantPull(t, k, "second", "s.test/a", login{"second", "secret"})
}

func TestRegistrationEndsAsRecorded(t *testing.T) {
	type registerCase struct {
		Case  string
		OK    bool
		Error string
	}
	forms := registrations()
	for _, c := range casesOf[registerCase](t, "probe_register") {
		t.Run(c.Case, func(t *testing.T) {
			form, known := forms[c.Case]
			if !known {
				t.Fatal("the recorded case is not made again")
			}
			dir := t.TempDir()
			setup := form(t, dir)
			_, refusal := tryKubelet(t, setup)
			equal(t, "accepted ("+refusal+")", c.OK, refusal == "")
			equal(t, "error", c.Error, strings.ReplaceAll(refusal, dir, "$DIR"))
		})
	}
}

// goodYAML is a configuration that is accepted; the cases change a line of it.
const goodYAML = `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: plugin
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["r.io"]
  defaultCacheDuration: "1h"
`

// registrations are the recorded cases made again in a directory that holds
// bin/plugin, bin/noexec and cfg.yaml.
func registrations() map[string]func(t *testing.T, dir string) kubeletSetup {
	type setupOf = func(t *testing.T, dir string) kubeletSetup
	withConfig := func(text string) setupOf {
		return func(t *testing.T, dir string) kubeletSetup {
			bin := filepath.Join(dir, "bin")
			if err := os.Mkdir(bin, 0o700); err != nil {
				t.Fatal(err)
			}
			script(t, bin, "plugin", "exit 1")
			script(t, bin, "noexec", "exit 1")
			setMode(t, filepath.Join(bin, "noexec"), 0o600)
			return kubeletSetup{config: writeFile(t, filepath.Join(dir, "cfg.yaml"), text, 0o600), binDir: bin}
		}
	}
	changed := func(line, by string) setupOf {
		if !strings.Contains(goodYAML, line) {
			panic(line)
		}
		return withConfig(strings.Replace(goodYAML, line, by, 1))
	}
	named := func(name string) setupOf { return changed("name: plugin", "name: "+name) }
	matching := func(pattern string) setupOf { return changed(`["r.io"]`, pattern) }
	cached := func(duration string) setupOf { return changed(`"1h"`, duration) }
	added := func(text string) setupOf { return withConfig(goodYAML + text) }
	with := func(of setupOf, change func(*kubeletSetup)) setupOf {
		return func(t *testing.T, dir string) kubeletSetup {
			setup := of(t, dir)
			change(&setup)
			return setup
		}
	}
	good := withConfig(goodYAML)
	return map[string]setupOf{
		"binary not executable": named("noexec"),
		"config missing": with(good, func(s *kubeletSetup) {
			s.config = filepath.Join(filepath.Dir(s.config), "nocfg")
		}),
		"config path empty":           with(good, func(s *kubeletSetup) { s.config = "" }),
		"bin dir empty string":        with(good, func(s *kubeletSetup) { s.binDir = "" }),
		"defaultCacheDuration number": cached("3600"),
		"defaultCacheDuration 0s":     cached(`"0s"`),
		"defaultCacheDuration '0'":    cached(`"0"`),
		"name with backslash":         named(`'a\b'`),
		"name with dot slash windows": named(`'.\plugin'`),
		"duplicate yaml key":          added("  name: plugin\n"),
		"wrong-case field":            added("  Args: [\"a\"]\n"),
		"env empty name":              added("  env: [{name: \"\", value: x}]\n"),
		"matchImages empty string":    matching(`[""]`),
		"matchImages bad glob":        matching(`["[a.io"]`),
		"matchImages bad glob2":       matching(`["a[.io"]`),
		"matchImages port glob":       matching(`["r.io:*"]`),
		"matchImages two ports":       matching(`["r.io:80:90"]`),
		"two yaml documents":          added("---\nneither: read\n"),
		"empty file":                  withConfig(""),
		"providers empty":             withConfig("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: []\n"),
		"kubelet config kind":         withConfig("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"),
		"tokenAttributes missing cacheType": added(`  tokenAttributes:
    serviceAccountTokenAudience: registry
    requireServiceAccount: true
`),
	}
}
