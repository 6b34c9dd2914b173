// The test's side of the kubelet process: start it, ask it, judge its log.

package kubelet

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	configv1 "k8s.io/kubelet/config/v1"
)

const (
	pluginName = "keyring-credential-provider"
	apiGroup   = "credentialprovider.kubelet.k8s.io/"
	apiV1      = apiGroup + "v1"

	// replyLimit is how long a kubelet may take for one message: far above
	// what any test needs, far below a hang.
	replyLimit = 30 * time.Second

	messageRan    = "Getting image credentials from external exec plugin"
	messageFailed = "Failed to provide credentials for image"
)

// kubelet is a running process of kubelet_process_test.go.
type kubelet struct {
	t       *testing.T
	command *exec.Cmd
	in      *json.Encoder
	replies chan json.RawMessage
	stderr  *bytes.Buffer
	// directory is the working directory of the process.
	directory string
}

// kubeletSetup says what a kubelet is started with.
type kubeletSetup struct {
	config  string
	binDir  string
	account serviceAccount
	env     []string
}

// tryKubelet starts a kubelet; the text is the error of the registration.
func tryKubelet(t *testing.T, setup kubeletSetup) (*kubelet, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{t: t, replies: make(chan json.RawMessage), stderr: &bytes.Buffer{}, directory: t.TempDir()}
	k.command = exec.Command(self)
	k.command.Env = append([]string{"PATH=/usr/bin:/bin", roleVariable + "=" + roleKubelet}, setup.env...)
	k.command.Dir = k.directory
	k.command.Stderr = k.stderr
	stdin, err := k.command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := k.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(k.replies)
		decoder := json.NewDecoder(stdout)
		for {
			var reply json.RawMessage
			if decoder.Decode(&reply) != nil {
				return
			}
			k.replies <- reply
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = k.command.Process.Kill()
		for range k.replies {
		}
		_ = k.command.Wait()
	})
	k.in = json.NewEncoder(stdin)

	var refusal string
	k.ask(registration{Config: setup.config, BinDir: setup.binDir, ServiceAccount: setup.account}, &refusal)
	return k, refusal
}

// startKubelet starts a kubelet that must accept its configuration.
func startKubelet(t *testing.T, setup kubeletSetup) *kubelet {
	t.Helper()
	k, refusal := tryKubelet(t, setup)
	if refusal != "" {
		t.Fatalf("the kubelet refused its configuration: %s", refusal)
	}
	return k
}

func (k *kubelet) ask(request, reply any) {
	k.t.Helper()
	k.send(request)
	k.receive(reply)
}

func (k *kubelet) send(request any) {
	k.t.Helper()
	if err := k.in.Encode(request); err != nil {
		k.t.Fatalf("kubelet process: %v\n%s", err, k.stderr)
	}
}

func (k *kubelet) receive(reply any) {
	k.t.Helper()
	select {
	case text, ok := <-k.replies:
		if !ok {
			k.t.Fatalf("the kubelet process ended\n%s", k.stderr)
		}
		if err := json.Unmarshal(text, reply); err != nil {
			k.t.Fatalf("kubelet process: %v", err)
		}
	case <-time.After(replyLimit):
		k.t.Fatalf("the kubelet hung for %v", replyLimit)
	}
}

// pull looks one image up.
func (k *kubelet) pull(image string) (pull, kubeletLog) {
	k.t.Helper()
	pulls, log := k.pullAll(pullRequest{Images: []string{image}})
	return pulls[0], log
}

func (k *kubelet) pullAll(request pullRequest) ([]pull, kubeletLog) {
	k.t.Helper()
	return k.pullAllWhile(request, func() {})
}

// pullAllWhile does work while the kubelet pulls.
func (k *kubelet) pullAllWhile(request pullRequest, work func()) ([]pull, kubeletLog) {
	k.t.Helper()
	k.send(request)
	work()
	var reply pullReply
	k.receive(&reply)
	if len(reply.Pulls) != len(request.Images) {
		k.t.Fatalf("%d images, %d replies", len(request.Images), len(reply.Pulls))
	}
	return reply.Pulls, reply.Log
}

// logins are the usernames and passwords of a pull, in the order of use: the
// only two fields that the kubelet takes from a plugin.
func (p pull) logins() []login {
	all := []login{}
	for _, credential := range p.Credentials {
		all = append(all, login{credential.Username, credential.Password})
	}
	return all
}

// kubeletLog is what the kubelet logged during one request.
type kubeletLog []logRecord

// runs counts the executions of plugins.
func (l kubeletLog) runs() int {
	count := 0
	for _, record := range l {
		if record.Message == messageRan {
			count++
		}
	}
	return count
}

// failures are the error texts of plugins that failed, without the words that
// every one of them starts with.
func (l kubeletLog) failures() []string {
	texts := []string{}
	for _, record := range l {
		if record.Message == messageFailed {
			texts = append(texts, strings.TrimPrefix(record.Fields["err"], "failed to get credential from external registry credential provider: "))
		}
	}
	return texts
}

// provider returns the entry of the sample configuration for our plugin.
func provider(s *store, matchImages ...string) configv1.CredentialProvider {
	return configv1.CredentialProvider{
		Name:        pluginName,
		APIVersion:  apiV1,
		MatchImages: matchImages,
		// An operator's usual choice; our answers must not inherit it.
		DefaultCacheDuration: &metav1.Duration{Duration: 12 * time.Hour},
		Env:                  []configv1.ExecEnvVar{{Name: "KEYRING_CREDENTIAL_PROVIDER_STORE", Value: s.dir}},
	}
}

// configFile writes a CredentialProviderConfig and returns its path.
func configFile(t *testing.T, providers ...configv1.CredentialProvider) string {
	t.Helper()
	text, err := json.Marshal(configv1.CredentialProviderConfig{
		TypeMeta:  metav1.TypeMeta{APIVersion: "kubelet.config.k8s.io/v1", Kind: "CredentialProviderConfig"},
		Providers: providers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, filepath.Join(t.TempDir(), "config.json"), string(text), 0o600)
}

// binDir returns a directory that holds the program under test as a link: a
// copy could be "busy" while another process starts.
func binDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, pluginName)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// kubeletFor starts a kubelet that asks our plugin for the images of hosts.
func kubeletFor(t *testing.T, s *store, matchImages ...string) *kubelet {
	t.Helper()
	return startKubelet(t, kubeletSetup{config: configFile(t, provider(s, matchImages...)), binDir: binDir(t)})
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// script writes a plugin made of shell commands into dir.
func script(t *testing.T, dir, name, commands string) {
	t.Helper()
	writeFile(t, filepath.Join(dir, name), "#!/bin/sh\n"+commands+"\n", 0o700)
}
