// Failures: whatever is wrong with the store, the program says so in one line
// and the kubelet goes on without a credential, soon, and asks again next time.

package kubelet

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// failureLimit is how long a failure may take with its own deadline at 2 s.
const failureLimit = 6 * time.Second

// flipBit changes one bit of a file.
func flipBit(t *testing.T, path string, position int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[position] ^= 1 << (position % 8)
	rewrite(t, path, content)
}

// rewrite puts a new file with the mode of the old one in its place.
func rewrite(t *testing.T, path string, content []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	next := writeFile(t, path+".next", string(content), 0o600)
	setMode(t, next, info.Mode().Perm())
	rename(t, next, path)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func sizeOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

// read is os.ReadFile that must succeed.
func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// breakage harms a healthy store.
type breakage struct {
	name string
	harm func(t *testing.T, s *store)
}

func breakages() []breakage {
	all := []breakage{
		{"store directory missing", func(t *testing.T, s *store) { rename(t, s.dir, s.dir+".away") }},
		{"store directory empty", func(t *testing.T, s *store) {
			rename(t, s.dir, s.dir+".away")
			if err := os.Mkdir(s.dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"store directory is a file", func(t *testing.T, s *store) {
			rename(t, s.dir, s.dir+".away")
			writeFile(t, s.dir, "", 0o600)
		}},
		{"sealed file missing", func(t *testing.T, s *store) { rename(t, s.sealed(), s.sealed()+".away") }},
		{"sealed file empty", func(t *testing.T, s *store) { rewrite(t, s.sealed(), nil) }},
		{"sealed file cut in half", func(t *testing.T, s *store) {
			content := read(t, s.sealed())
			rewrite(t, s.sealed(), content[:len(content)/2])
		}},
		{"sealed file one byte short", func(t *testing.T, s *store) {
			content := read(t, s.sealed())
			rewrite(t, s.sealed(), content[:len(content)-1])
		}},
		{"sealed file one byte long", func(t *testing.T, s *store) {
			rewrite(t, s.sealed(), append(read(t, s.sealed()), 0))
		}},
		{"sealed file is text", func(t *testing.T, s *store) {
			rewrite(t, s.sealed(), []byte(`{"auths":{"r.test":{"username":"user"}}}`))
		}},
		{"sealed file of another store", func(t *testing.T, s *store) {
			other := newStore(t)
			other.login("r.test", "user", "secret-of-another-store")
			rewrite(t, s.sealed(), read(t, other.sealed()))
		}},
		{"sealed file is a directory", func(t *testing.T, s *store) {
			rename(t, s.sealed(), s.sealed()+".away")
			if err := os.Mkdir(s.sealed(), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"sealed file is a symbolic link", func(t *testing.T, s *store) {
			rename(t, s.sealed(), s.sealed()+".away")
			if err := os.Symlink(s.sealed()+".away", s.sealed()); err != nil {
				t.Fatal(err)
			}
		}},
		{"sealed file is a pipe that nobody writes to", func(t *testing.T, s *store) {
			rename(t, s.sealed(), s.sealed()+".away")
			if err := syscall.Mkfifo(s.sealed(), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"sealed file mode 0644", func(t *testing.T, s *store) { setMode(t, s.sealed(), 0o644) }},
		{"sealed file mode 0620", func(t *testing.T, s *store) { setMode(t, s.sealed(), 0o620) }},
		{"key file missing", func(t *testing.T, s *store) { rename(t, s.key(), s.key()+".away") }},
		{"key file empty", func(t *testing.T, s *store) { rewrite(t, s.key(), nil) }},
		{"key file cut in half", func(t *testing.T, s *store) {
			content := read(t, s.key())
			rewrite(t, s.key(), content[:len(content)/2])
		}},
		{"key file of another store", func(t *testing.T, s *store) {
			rewrite(t, s.key(), read(t, newStore(t).key()))
		}},
		{"key file mode 0644", func(t *testing.T, s *store) { setMode(t, s.key(), 0o644) }},
	}
	if os.Geteuid() == 0 {
		// Only root can give a file away.
		giveAway := func(t *testing.T, path string) {
			t.Helper()
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all,
			breakage{"sealed file of another user", func(t *testing.T, s *store) { giveAway(t, s.sealed()) }},
			breakage{"key file of another user", func(t *testing.T, s *store) { giveAway(t, s.key()) }})
	} else {
		// Nothing is unreadable for root.
		all = append(all,
			breakage{"sealed file unreadable", func(t *testing.T, s *store) { setMode(t, s.sealed(), 0) }},
			breakage{"key file unreadable", func(t *testing.T, s *store) { setMode(t, s.key(), 0) }})
	}
	return all
}

func TestABrokenStoreIsRefusedAndTheKubeletGoesOn(t *testing.T) {
	const secret = "secret-in-the-broken-store"
	for _, b := range breakages() {
		t.Run(b.name, func(t *testing.T) {
			s := newStore(t)
			s.login("r.test", "user", secret)
			entry := provider(s, "r.test")
			entry.Args = []string{"get-credentials", "--timeout", "2s"}
			k := startKubelet(t, kubeletSetup{config: configFile(t, entry), binDir: binDir(t)})
			healthy, log := k.pull("r.test/a")
			equal(t, "credentials before", []login{{"user", secret}}, healthy.logins())
			equal(t, "failures before", []string{}, log.failures())

			b.harm(t, s)

			request := requestFor(t, apiV1, "r.test/a")
			out := execute(t, strings.NewReader(request), nil, "get-credentials", "--store", s.dir, "--timeout", "2s")
			out.wantRefusal(t, "r.test", secret)
			wantSoon(t, "the program", out.took)

			got, log := k.pull("r.test/a")
			equal(t, "credentials of the kubelet", []login{}, got.logins())
			equal(t, "found", false, got.Found)
			equal(t, "error of the kubelet", []string{execError("r.test/a", out)}, log.failures())
			wantSoon(t, "the kubelet", time.Duration(got.Seconds*float64(time.Second)))
		})
	}
}

// execError is what the kubelet logs about a run that failed like out.
func execError(image string, out outcome) string {
	return fmt.Sprintf("error execing credential provider plugin %s for image %s: exit status %d: %s", pluginName, image, out.exit, out.stderr)
}

func wantSoon(t *testing.T, who string, took time.Duration) {
	t.Helper()
	if took > failureLimit {
		t.Errorf("%s took %v, want at most %v", who, took, failureLimit)
	}
}

func TestAMissingStoreIsNamedByItsPath(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "store")
	request := requestFor(t, apiV1, "r.test/a")
	execute(t, strings.NewReader(request), nil, "get-credentials", "--store", missing).wantRefusal(t, missing)
}

func TestEveryFlippedBitOfTheStoreIsNoticed(t *testing.T) {
	s := newStore(t)
	const secret = "secret-in-the-flipped-store"
	s.login("r.test", "user", secret)
	request := requestFor(t, apiV1, "r.test/a")
	for _, path := range []string{s.sealed(), s.key()} {
		good, size := read(t, path), sizeOf(t, path)
		// Forty positions spread over the file, both ends among them.
		const positions = 40
		for i := range positions {
			position := i * (size - 1) / (positions - 1)
			t.Run(fmt.Sprintf("%s at byte %d of %d", kindOf(path), position, size), func(t *testing.T) {
				flipBit(t, path, position)
				defer rewrite(t, path, good)
				s.plugin(request).wantRefusal(t, "r.test", secret)
			})
		}
	}
	s.plugin(request).wantAnswer(t, apiV1, answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"r.test": {"user", secret}}})
}

func kindOf(path string) string {
	return strings.TrimPrefix(filepath.Ext(path), ".")
}

func TestARepairedStoreServesTheNextPull(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "secret")
	k := kubeletFor(t, s, "r.test")
	rename(t, s.dir, s.dir+".away")
	for range 2 {
		got, log := k.pull("r.test/a")
		equal(t, "credentials while broken", []login{}, got.logins())
		equal(t, "executions of the plugin", 1, log.runs())
	}
	rename(t, s.dir+".away", s.dir)
	got, log := k.pull("r.test/a")
	equal(t, "credentials when repaired", []login{{"user", "secret"}}, got.logins())
	equal(t, "failures when repaired", []string{}, log.failures())
}

func TestTheOwnDeadlineEndsARunWhoseRequestNeverEnds(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "top-secret")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := io.WriteString(writer, `{"kind":"CredentialProviderRequest",`); err != nil {
		t.Fatal(err)
	}
	out := execute(t, reader, nil, "get-credentials", "--store", s.dir, "--timeout", "1s")
	out.wantRefusal(t, "", "top-secret")
	wantSoon(t, "the program", out.took)
	if out.took < 900*time.Millisecond {
		t.Errorf("ended after %v, before its deadline of 1 s: %s", out.took, out)
	}
}

func TestAnAnswerThatCannotBeWrittenIsAFailure(t *testing.T) {
	s := newStore(t)
	s.login("r.test", "user", "top-secret")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	out := executeInto(t, full, strings.NewReader(requestFor(t, apiV1, "r.test/a")),
		[]string{"KEYRING_CREDENTIAL_PROVIDER_STORE=" + s.dir})
	out.wantRefusal(t, "", "top-secret")
}
