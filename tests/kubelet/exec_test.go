// How the kubelet executes a plugin: the recorded outcomes hold. The two cases
// that take the kubelet's whole minute and more are left out for their time
// ("SLOW exec'd sleep 75", "SLOW sh waiting on child sleep 75").

package kubelet

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	configv1 "k8s.io/kubelet/config/v1"
)

type execCase struct {
	Case        string
	Accepted    *bool
	Error       string
	Seconds     string
	PasswordLen int
}

// execScript is how a recorded case is made again.
type execScript struct {
	commands string
	// afterRegistration changes the plugin, which must be sound before; later
	// is a file that takes its place then.
	afterRegistration func(t *testing.T, path string)
	later             string
	args              []string
	env               []configv1.ExecEnvVar
	account           serviceAccount
}

const (
	execImage = "r.io/a/b"
	respond   = `printf '{"kind":"CredentialProviderResponse","apiVersion":"` + apiV1 +
		`","cacheKeyType":"Image","auth":{"r.io":{"username":"u","password":"%s"}}}' p`
)

// respondHuge prints a response with a password of 16 MiB.
var respondHuge = strings.Split(respond, "%s")[0] + `'; head -c 16777216 /dev/zero | tr '\0' p; printf '"}}}'`

func execScripts() map[string]execScript {
	huge := serviceAccount{Name: "builder", Token: strings.Repeat("t", 1<<20)}
	return map[string]execScript{
		"exit 3 with valid stdout and stderr":      {commands: respond + `; printf 'line one\nline two\n' >&2; exit 3`},
		"exit 0 with stderr noise":                 {commands: respond + `; echo noise >&2`},
		"stdin never read (small)":                 {commands: respond},
		"stdin never read (1 MiB request)":         {commands: respond, account: huge},
		"stdin closed then exit 0 (1 MiB request)": {commands: `exec 0<&-; sleep 1; ` + respond, account: huge},
		"killed by signal":                         {commands: `kill -9 $$`},
		"not executable": {commands: respond, afterRegistration: func(t *testing.T, path string) {
			setMode(t, path, 0o600)
		}},
		"bad interpreter":                      {commands: respond, later: "#!/nonexistent/interpreter\n"},
		"not a binary":                         {commands: respond, later: "neither a script nor a program\n"},
		"grandchild keeps stdout open 5s":      {commands: respond + `; sleep 5 2>/dev/null &`},
		"grandchild keeps only stderr open 5s": {commands: respond + `; sleep 5 >/dev/null &`},
		"grandchild with all fds redirected":   {commands: respond + `; sleep 5 </dev/null >/dev/null 2>&1 &`},
		"huge garbage stdout 64MiB":            {commands: `head -c 67108864 /dev/zero`},
		"huge valid stdout 16MiB password":     {commands: respondHuge},
		"huge stderr 4MiB and exit 1":          {commands: `head -c 4194304 /dev/zero | tr '\0' e >&2; exit 1`},
		"env and cwd dump to stderr exit 1": {
			commands: `{ pwd; echo "PROBE_SLOW=$PROBE_SLOW"; echo "FOO=$FOO"; echo "PROBE_PARENT=$PROBE_PARENT"; echo "args: $*"; } >&2; exit 1`,
			args:     []string{"a", "b", "--x"},
			env:      []configv1.ExecEnvVar{{Name: "FOO", Value: "from-config"}},
		},
		"stdin bytes echoed on stderr": {
			commands: `cat >&2; exit 1`,
			account:  serviceAccount{"builder", "tok<&>", map[string]string{"k": "v&"}},
		},
		"binary removed after registration": {commands: respond, afterRegistration: func(t *testing.T, path string) {
			rename(t, path, path+".away")
		}},
	}
}

func TestRealKubeletExecutesPluginsAsRecorded(t *testing.T) {
	scripts := execScripts()
	for i, c := range casesOf[execCase](t, "probe_exec") {
		if strings.HasPrefix(c.Case, "SLOW ") {
			continue
		}
		s, known := scripts[c.Case]
		if !known {
			t.Errorf("the recorded case %q is not made again", c.Case)
			continue
		}
		t.Run(c.Case, func(t *testing.T) {
			// Most of the time is spent in sleep.
			t.Parallel()
			name := fmt.Sprintf("p%d", i)
			if strings.Contains(c.Error, "plugin missing for") {
				name = "missing"
			}
			s.wantRecorded(t, c, name)
		})
	}
}

func (s execScript) wantRecorded(t *testing.T, c execCase, name string) {
	bin := t.TempDir()
	path := filepath.Join(bin, name)
	script(t, bin, name, s.commands)
	// Written before any process starts: a file that is open for writing
	// cannot be executed.
	later := writeFile(t, path+".later", s.later, 0o700)
	entry := configv1.CredentialProvider{
		Name:                 name,
		APIVersion:           apiV1,
		MatchImages:          []string{"r.io"},
		DefaultCacheDuration: noDuration(),
		Args:                 s.args,
		Env:                  s.env,
	}
	if s.account.Name != "" {
		entry.TokenAttributes = tokenAttributes(s.account.Annotations)
	}
	k := startKubelet(t, kubeletSetup{
		config:  configFile(t, entry),
		binDir:  bin,
		account: s.account,
		env:     []string{"PROBE_SLOW=1", "PROBE_PARENT=from-kubelet", "FOO=from-kubelet"},
	})
	if s.afterRegistration != nil {
		s.afterRegistration(t, path)
	}
	if s.later != "" {
		rename(t, later, path)
	}

	got, log := k.pull(execImage)

	equal(t, "executions", 1, log.runs())
	failure := strings.Join(log.failures(), "; ")
	failure = strings.ReplaceAll(failure, bin, "$BIN")
	failure = strings.ReplaceAll(failure, k.directory, "/work-dir-of-kubelet")
	equal(t, "error", recordedError(c), shortened(failure))
	if c.Accepted != nil {
		equal(t, "accepted", *c.Accepted, failure == "")
	}
	passwordLen := 0
	for _, credential := range got.logins() {
		passwordLen += len(credential.Password)
	}
	equal(t, "length of the password", c.PasswordLen, passwordLen)
	if c.Seconds != "" {
		wantSeconds(t, c.Seconds, got.Seconds)
	}
}

// recordedError is the recorded error. The annotation key of one case is no
// valid name in a configuration, so the key here has no "<".
func recordedError(c execCase) string {
	return strings.Replace(c.Error, `"k\u003c"`, `"k"`, 1)
}

// shortened cuts a very long text as the record does.
func shortened(text string) string {
	const long, kept = 4096, 300
	if len(text) < long {
		return text
	}
	return fmt.Sprintf("%s...[%d bytes total]", text[:kept], len(text))
}

// wantSeconds compares a time with the recorded one: what took long must take
// as long, what was quick must be quick, with room for a busy machine.
func wantSeconds(t *testing.T, recorded string, got float64) {
	t.Helper()
	want, err := strconv.ParseFloat(recorded, 64)
	if err != nil {
		t.Fatal(err)
	}
	const room = 3
	if got < want-1 || got > want+room {
		t.Errorf("took %.2f s, recorded are %.2f s", got, want)
	}
}

func noDuration() *metav1.Duration {
	return &metav1.Duration{}
}
