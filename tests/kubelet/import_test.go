// What a node already has, imported: the kubelet then gets the credential that
// the node's own configuration did not give.

package kubelet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sample is the path of a configuration file that the Rust tests import too.
func sample(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "data", "import"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What the user of siderolabs/talos#10617 tried. The third attempt was the
// first with the login as base64 in `auth`.
func TestEveryAttemptOfTheTalosUserReachesTheKubelet(t *testing.T) {
	first := sample(t, "talos", "hub-attempt-1-docker-io.yaml")
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	third := filepath.Join(t.TempDir(), "hub-attempt-3.yaml")
	inBase64 := strings.Replace(string(content), "          username: hub-user\n          password: fake-hub-token\n",
		"          auth: aHViLXVzZXI6ZmFrZS1odWItdG9rZW4=\n", 1)
	if inBase64 == string(content) {
		t.Fatalf("%s is not as expected", first)
	}
	if err := os.WriteFile(third, []byte(inBase64), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"1 docker.io":            first,
		"2 registry-1.docker.io": sample(t, "talos", "hub-attempt-2-registry-1.yaml"),
		"3 base64":               third,
		"4 mirror of itself":     sample(t, "talos", "hub-attempt-4-mirror.yaml"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.operate("", "import", "talos", path)
			k := kubeletFor(t, s, "docker.io")
			wantPull(t, k, "Docker Hub", "docker.io/library/nginx", login{"hub-user", "fake-hub-token"})
		})
	}
}

// The file of the RKE2 agent on Windows that ignored it (rancher/rke2#7103):
// an image of a registry with a mirror, one of the mirror itself, and one of a
// registry for which the file has no login.
func TestTheFileOfRKE2OnWindowsReachesTheKubelet(t *testing.T) {
	s := newStore(t)
	s.operate("", "import", "registries-yaml", sample(t, "registries", "rke2-windows.yaml"))
	wantRKE2(t, kubeletFor(t, s, rke2Registries...))
}

var rke2Registries = []string{"docker.io", "harbor.example.test", "registry.example.test:5000"}

func wantRKE2(t *testing.T, k *kubelet) {
	t.Helper()
	harbor := login{`EXAMPLE\svc-pull`, `fake\not\a\path`}
	wantPull(t, k, "mirrored", "docker.io/library/nginx", harbor)
	wantPull(t, k, "not mirrored", "harbor.example.test/hub/library/nginx", harbor)
	wantPull(t, k, "without a login", "registry.example.test:5000/app")
}

// The same with the program that was built for Windows, which Wine runs for
// the kubelet as its plugin: file, store and Credential Manager are those of
// the Windows machine that Wine simulates.
func TestTheFileOfRKE2ImportedOnWindowsReachesTheKubelet(t *testing.T) {
	program, prefix := os.Getenv("KCP_WINDOWS_BINARY"), os.Getenv("KCP_WINE_PREFIX")
	if program == "" || prefix == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("KCP_WINDOWS_BINARY and KCP_WINE_PREFIX must be set: call the tests by `make test-kubelet`")
		}
		t.Skip("NOT RUN: KCP_WINDOWS_BINARY and KCP_WINE_PREFIX are not set; call `make test-kubelet`")
	}
	dir, err := os.MkdirTemp(filepath.Join(prefix, "drive_c"), "kcp-kubelet-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	onWindows := `C:\` + filepath.Base(dir)
	environment := []string{
		"PATH=/usr/bin:/bin", "HOME=" + prefix, "WINEPREFIX=" + prefix, "WINEDEBUG=-all",
		`KEYRING_CREDENTIAL_PROVIDER_STORE=` + onWindows + `\store`,
	}
	// Wine's server would hold the pipes of the process that starts it.
	server := exec.Command("wineserver", "-p30")
	server.Env = environment
	_ = server.Run()
	content, err := os.ReadFile(sample(t, "registries", "rke2-windows.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "registries.yaml"), string(content), 0o600)
	for _, arguments := range [][]string{
		{"store", "init"},
		{"import", "registries-yaml", onWindows + `\registries.yaml`},
	} {
		command := exec.Command("wine", append([]string{program}, arguments...)...)
		command.Env = environment
		said := writeFile(t, filepath.Join(t.TempDir(), "said"), "", 0o600)
		file, err := os.OpenFile(said, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		command.Stdout, command.Stderr = file, file
		err = command.Run()
		_ = file.Close()
		if text, _ := os.ReadFile(said); err != nil {
			t.Fatalf("%v: %v\n%s", arguments, err, text)
		}
	}
	bin := t.TempDir()
	exports := ""
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		exports += fmt.Sprintf("export %s='%s'\n", name, value)
	}
	script(t, bin, pluginName, exports+fmt.Sprintf("exec wine '%s' get-credentials", program))
	plugin := provider(&store{t: t, dir: onWindows + `\store`}, rke2Registries...)
	wantRKE2(t, startKubelet(t, kubeletSetup{config: configFile(t, plugin), binDir: bin}))
}
