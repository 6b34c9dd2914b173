// What `node` makes of the files of a node, at every station of the plugin's
// life there: the kubelet takes it, the others' providers stay registered, and
// ours gives its credential. The nodes are file trees made here; of those of
// Windows, drive C is a directory.

package kubelet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tree is a node's files: a name with `!` at its end is a program.
type tree struct {
	name    string
	version string
	files   map[string]string
	// others says whether the node has providers before.
	others bool
	// windows trees get programs that this test's system cannot run.
	windows bool
}

func dataFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "data", "config", "samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func trees(t *testing.T) []tree {
	ecr, acr := dataFile(t, "eks-config.json"), dataFile(t, "aks-linux.yaml")
	const eksFlags = "--image-credential-provider-bin-dir=/etc/eks/image-credential-provider" +
		" --image-credential-provider-config=/etc/eks/image-credential-provider/config.json"
	const aksFlags = "--image-credential-provider-bin-dir=/var/lib/kubelet/credential-provider" +
		" --image-credential-provider-config=/var/lib/kubelet/credential-provider-config.yaml"
	return []tree{
		{name: "k3s", version: "1.36", files: map[string]string{"etc/rancher/k3s/config.yaml": ""}},
		{name: "k3s with ECR", version: "1.36", others: true, files: map[string]string{
			"etc/rancher/k3s/config.yaml":                                     "",
			"var/lib/rancher/credentialprovider/bin/ecr-credential-provider!": "",
			"var/lib/rancher/credentialprovider/config.yaml":                  ecr,
		}},
		{name: "RKE2", version: "1.34", files: map[string]string{"etc/rancher/rke2/config.yaml": ""}},
		{name: "kubeadm", version: "1.36", files: map[string]string{
			"usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": "EnvironmentFile=-/etc/default/kubelet\n",
			"etc/default/kubelet": "KUBELET_EXTRA_ARGS=\n",
		}},
		{name: "a directory", version: "1.36", others: true, files: map[string]string{
			"usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": "EnvironmentFile=-/etc/default/kubelet\n",
			"etc/default/kubelet":        "KUBELET_EXTRA_ARGS=--image-credential-provider-bin-dir=/p --image-credential-provider-config=/p.d\n",
			"p/ecr-credential-provider!": "",
			"p.d/10-ecr.json":            ecr,
		}},
		{name: "EKS", version: "1.33", others: true, files: map[string]string{
			"etc/eks/kubelet/environment":                                "NODEADM_KUBELET_ARGS=" + eksFlags + "\n",
			"etc/eks/image-credential-provider/config.json":              ecr,
			"etc/eks/image-credential-provider/ecr-credential-provider!": "",
		}},
		{name: "AKS", version: "1.32", others: true, files: map[string]string{
			"etc/kubernetes/azure.json":                                    "{}",
			"etc/default/kubelet":                                          "KUBELET_FLAGS=" + aksFlags + "\n",
			"var/lib/kubelet/credential-provider-config.yaml":              acr,
			"var/lib/kubelet/credential-provider/acr-credential-provider!": "",
		}},
		{name: "k0s", version: "1.34", files: map[string]string{
			"etc/systemd/system/k0sworker.service": "[Service]\nExecStart=/usr/local/bin/k0s worker\n",
		}},
		{name: "MicroK8s", version: "1.32", files: map[string]string{
			"var/snap/microk8s/current/args/kubelet": "--v=2\n",
		}},
		{name: "kubeadm on Windows", version: "1.29", windows: true, files: map[string]string{
			"C/var/lib/kubelet/kubeadm-flags.env": "KUBELET_KUBEADM_ARGS=\"--v=2\"\r\n",
		}},
		{name: "RKE2 on Windows", version: "1.29", windows: true, files: map[string]string{
			"C/etc/rancher/rke2/config.yaml": "",
		}},
		{name: "AKS on Windows", version: "1.29", windows: true, others: true, files: map[string]string{
			"C/k/kubeletstart.ps1": "$KubeletArgList = @('--image-credential-provider-bin-dir=C:\\k\\p'," +
				" '--image-credential-provider-config=C:\\k\\p.yaml')\r\n",
			"C/k/p.yaml":                         strings.ReplaceAll(acr, "\n", "\r\n"),
			"C/k/p/acr-credential-provider!":     "",
			"C/k/p/acr-credential-provider.exe!": "",
		}},
	}
}

func (n tree) make(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range n.files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, "!") {
			name, mode, text = strings.TrimSuffix(name, "!"), 0o755, "#!/bin/sh\nexit 1\n"
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, text, mode)
	}
	return root
}

// onDisk is where a file of the node is on this machine.
func onDisk(root, path string) string {
	return filepath.Join(root, regexp.MustCompile(`^([A-Z]):`).ReplaceAllString(strings.ReplaceAll(path, `\`, "/"), "$1"))
}

func TestEveryNodeIsValidAtEveryStation(t *testing.T) {
	s := newStore(t)
	s.login("docker.io", "user", "secret")
	for _, n := range trees(t) {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			root := n.make(t)
			program := binary
			if n.windows {
				program = writeFile(t, filepath.Join(t.TempDir(), "program"), "MZ", 0o755)
			}
			node := func(verb string, args ...string) outcome {
				t.Helper()
				args = append([]string{"node", verb, "--root", root, "--kubelet-version", n.version, "--store", s.dir}, args...)
				out := execute(t, strings.NewReader(""), nil, args...)
				if out.exit != 0 {
					t.Fatalf("node %s: %s", verb, out)
				}
				return out
			}
			// start is a kubelet as the node's files would start it, or none when it has no providers.
			start := func(station string, wanted bool) *kubelet {
				t.Helper()
				var found struct {
					Flags struct{ BinDir, Config *string }
				}
				if err := json.Unmarshal([]byte(node("detect", "--output", "json").stdout), &found); err != nil {
					t.Fatal(err)
				}
				if has := found.Flags.BinDir != nil && found.Flags.Config != nil; has != wanted {
					t.Fatalf("%s: the kubelet has the flags: %v", station, has)
				}
				if !wanted {
					return nil
				}
				k, refusal := tryKubelet(t, kubeletSetup{
					config: onDisk(root, *found.Flags.Config),
					binDir: onDisk(root, *found.Flags.BinDir),
				})
				if refusal != "" {
					t.Fatalf("%s: the kubelet does not start: %s", station, refusal)
				}
				return k
			}
			apply := func(station string) {
				t.Helper()
				node("apply", "--yes", "--binary", program)
				if k := start(station, true); !n.windows {
					wantPull(t, k, station, "docker.io/library/nginx", login{"user", "secret"})
				}
			}
			start("before", n.others)
			apply("applied")
			apply("applied again")
			node("rollback")
			start("rolled back", n.others)
			apply("applied after a roll-back")
			node("uninstall", "--yes")
			start("uninstalled", n.others)
		})
	}
}
