// The program under test, run directly: as an operator who fills a store and
// as a kubelet that asks it.

package kubelet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// runLimit bounds each run of the program, above its own deadline of 10 s.
const runLimit = 20 * time.Second

type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// store is a sealed store in a directory of the test.
type store struct {
	t   *testing.T
	dir string
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{t: t, dir: filepath.Join(t.TempDir(), "store")}
	s.operate("", "store", "init", "--key-source", "host-key")
	return s
}

func (s *store) login(scope, user, password string) {
	s.t.Helper()
	s.operate(password, "login", scope, "-u", user, "--password-stdin")
}

func (s *store) logout(scope string) {
	s.t.Helper()
	s.operate("", "logout", scope)
}

// operate runs an operator's command, which must succeed.
func (s *store) operate(stdin string, args ...string) outcome {
	s.t.Helper()
	out := execute(s.t, strings.NewReader(stdin), nil, append([]string{"--store", s.dir}, args...)...)
	if out.exit != 0 {
		s.t.Fatalf("%s %s: %s", pluginName, strings.Join(args, " "), out)
	}
	return out
}

// plugin runs the program as the kubelet does, with its store in the
// environment and no argument.
func (s *store) plugin(request string) outcome {
	s.t.Helper()
	return execute(s.t, strings.NewReader(request), []string{"KEYRING_CREDENTIAL_PROVIDER_STORE=" + s.dir})
}

func (s *store) sealed() string { return filepath.Join(s.dir, "credentials.sealed") }

// key is the path of the only host key of the store.
func (s *store) key() string {
	s.t.Helper()
	keys, err := filepath.Glob(filepath.Join(s.dir, "host-*.key"))
	if err != nil || len(keys) != 1 {
		s.t.Fatalf("host keys in the store: %v (%v), want exactly one", keys, err)
	}
	return keys[0]
}

// outcome is the whole visible result of one run.
type outcome struct {
	exit           int
	stdout, stderr string
	took           time.Duration
}

func (o outcome) String() string {
	return show(map[string]any{"exit": o.exit, "stdout": o.stdout, "stderr": o.stderr, "took": o.took.String()})
}

// execute runs the program with nothing but PATH and env in its environment.
func execute(t *testing.T, stdin io.Reader, env []string, args ...string) outcome {
	t.Helper()
	var stdout bytes.Buffer
	out := executeInto(t, &stdout, stdin, env, args...)
	out.stdout = stdout.String()
	return out
}

func executeInto(t *testing.T, stdout io.Writer, stdin io.Reader, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, binary, args...)
	command.Env = append([]string{"PATH=/usr/bin:/bin"}, env...)
	command.Dir = "/"
	command.Stdin, command.Stdout, command.Stderr = stdin, stdout, &stderr
	command.WaitDelay = time.Second
	start := time.Now()
	err := command.Run()
	out := outcome{stderr: stderr.String(), took: time.Since(start)}
	var exited *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s %s did not end within %v", pluginName, strings.Join(args, " "), runLimit)
	case errors.As(err, &exited):
		out.exit = exited.ExitCode()
	case err != nil:
		t.Fatalf("%s %s: %v", pluginName, strings.Join(args, " "), err)
	}
	return out
}

// requestFor is the JSON of one request, as the kubelet writes it.
func requestFor(t *testing.T, apiVersion, image string) string {
	t.Helper()
	text, err := json.Marshal(struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Image      string `json:"image"`
	}{"CredentialProviderRequest", apiVersion, image})
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// wantRefusal fails the test unless the outcome is the one of "could not find
// out": exit code above zero, empty stdout, one line of stderr below 1 KiB that
// names about and shows none of the secrets.
func (o outcome) wantRefusal(t *testing.T, about string, secrets ...string) {
	t.Helper()
	line := strings.TrimSuffix(o.stderr, "\n")
	var faults []string
	fault := func(is bool, text string) {
		if is {
			faults = append(faults, text)
		}
	}
	fault(o.exit <= 0, "exit code is not above zero")
	fault(o.stdout != "", "stdout is not empty")
	fault(line == "", "stderr is empty")
	fault(strings.Contains(line, "\n"), "stderr is more than one line")
	fault(len(o.stderr) >= 1024, "stderr is 1 KiB or more")
	fault(!utf8.ValidString(line), "stderr is not UTF-8")
	fault(strings.ContainsFunc(line, unicode.IsControl) && !strings.Contains(line, "\n"), "stderr holds control characters")
	fault(!strings.Contains(line, about), "stderr does not name "+about)
	for _, secret := range secrets {
		fault(strings.Contains(o.stderr, secret), "stderr shows a secret")
	}
	if len(faults) > 0 {
		t.Errorf("%s: %s", strings.Join(faults, "; "), o)
	}
}

// setMode is os.Chmod that must succeed.
func setMode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
