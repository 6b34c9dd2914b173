// Key source kms against the KMS v2 service of Kubernetes itself, and against
// what the API server's own client takes from a plugin.

package kubelet

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

const (
	// nonceName is the annotation that a ciphertext cannot be opened without.
	nonceName = "nonce.kms.test"
	nonceSize = 12
	// sealedSize is the length of a sealed data key or seed of 32 bytes.
	sealedSize = 48
)

// vault is the part of a KMS plugin that its author writes: AES-GCM under keys
// that are never shown.
type vault struct {
	mu      sync.Mutex
	keys    map[string]cipher.AEAD
	current string
	uids    map[string]bool
	// ciphertextSize is the length that ciphertexts are filled up to, or 0 for none at all.
	ciphertextSize int
	annotations    map[string][]byte
}

func newVault(t *testing.T, keyID string) *vault {
	t.Helper()
	v := &vault{keys: map[string]cipher.AEAD{}, uids: map[string]bool{}, ciphertextSize: sealedSize}
	v.rotate(t, keyID)
	return v
}

// rotate makes a new key the current one.
func (v *vault) rotate(t *testing.T, keyID string) {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[keyID], v.current = aead, keyID
}

func (v *vault) destroy(keyID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.keys, keyID)
}

func (v *vault) Status(context.Context) (*service.StatusResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: v.current}, nil
}

func (v *vault) Encrypt(_ context.Context, uid string, data []byte) (*service.EncryptResponse, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.see(uid); err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	annotations := map[string][]byte{nonceName: nonce}
	maps.Copy(annotations, v.annotations)
	ciphertext := v.keys[v.current].Seal(nil, nonce, data, []byte(v.current))
	if v.ciphertextSize == 0 {
		ciphertext = nil
	} else {
		ciphertext = append(ciphertext, make([]byte, v.ciphertextSize-len(ciphertext))...)
	}
	return &service.EncryptResponse{Ciphertext: ciphertext, KeyID: v.current, Annotations: annotations}, nil
}

func (v *vault) Decrypt(_ context.Context, uid string, request *service.DecryptRequest) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.see(uid); err != nil {
		return nil, err
	}
	key, nonce := v.keys[request.KeyID], request.Annotations[nonceName]
	if key == nil {
		return nil, fmt.Errorf("key %s was destroyed", request.KeyID)
	}
	if len(nonce) != nonceSize || len(request.Ciphertext) < sealedSize {
		return nil, errors.New("ciphertext or annotations are not whole")
	}
	for name, value := range v.annotations {
		if !bytes.Equal(request.Annotations[name], value) {
			return nil, fmt.Errorf("annotation %s is another", name)
		}
	}
	return key.Open(nil, nonce, request.Ciphertext[:sealedSize], []byte(request.KeyID))
}

func (v *vault) see(uid string) error {
	if uid == "" || v.uids[uid] {
		return errors.New("a uid must be new")
	}
	v.uids[uid] = true
	return nil
}

// serve runs the KMS service of Kubernetes on a socket until the function that
// it returns is called, or the test ends.
func (v *vault) serve(t *testing.T, socket string) (stop func()) {
	t.Helper()
	plugin, ended := service.NewGRPCService(socket, 3*time.Second, v), make(chan error, 1)
	go func() { ended <- plugin.ListenAndServe() }()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the KMS service ended: %v", err)
		default:
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the KMS service does not listen")
		}
	}
	stop = sync.OnceFunc(func() {
		plugin.Shutdown()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// socketFor is a path that is short enough for a socket.
func socketFor(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "kms.sock")
}

func initArguments(dir, socket string) []string {
	return []string{"--store", dir, "store", "init", "--key-source", "kms", "--kms-endpoint", "unix://" + socket, "--data-key-cache", "0"}
}

// kmsStore is a store whose data key is asked for at every pull.
func kmsStore(t *testing.T, socket string) *store {
	t.Helper()
	s := &store{t: t, dir: filepath.Join(t.TempDir(), "store")}
	s.operate("", initArguments(s.dir, socket)[2:]...)
	return s
}

func (s *store) keyID() string {
	s.t.Helper()
	var status struct {
		KMS struct {
			KeyID string `json:"keyId"`
		} `json:"kms"`
	}
	out := s.operate("", "store", "status", "--output", "json")
	if err := json.Unmarshal([]byte(out.stdout), &status); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return status.KMS.KeyID
}

func TestKMSServiceOfKubernetesOpensTheStore(t *testing.T) {
	v, socket := newVault(t, "key-1"), socketFor(t)
	stop := v.serve(t, socket)
	s := kmsStore(t, socket)
	s.login("r.test", one.Username, one.Password)
	request := requestFor(t, apiV1, "r.test/a")
	pull := func(want login) {
		t.Helper()
		s.plugin(request).wantAnswer(t, apiV1, answer{CacheKeyType: perRegistry, CacheDuration: "0s", Auth: map[string]login{"r.test": want}})
	}
	pull(one)

	stop()
	s.plugin(request).wantRefusal(t, "KMS plugin `unix://"+socket+"` cannot be asked", one.Password)
	v.serve(t, socket)
	pull(one)

	// A new key is taken up by the next write, and not before.
	v.rotate(t, "key-2")
	pull(one)
	equal(t, "key before a write", "key-1", s.keyID())
	s.login("r.test", two.Username, two.Password)
	equal(t, "key after a write", "key-2", s.keyID())
	v.destroy("key-1")
	pull(two)
	v.destroy("key-2")
	s.plugin(request).wantRefusal(t, "key key-2 was destroyed", one.Password, two.Password)
}

func TestKMSAnswersThatTheAPIServerTakesAndNoOthersSealAStore(t *testing.T) {
	const most = 32 * 1024
	own := len(nonceName) + nonceSize
	filled := func(name string, size int) map[string][]byte { return map[string][]byte{name: make([]byte, size)} }
	for _, c := range []struct {
		name           string
		keyID          string
		ciphertextSize int
		annotations    map[string][]byte
		taken          bool
	}{
		{"plain", "key-1", sealedSize, nil, true},
		{"longest key id", strings.Repeat("k", 1024), sealedSize, nil, true},
		{"key id too long", strings.Repeat("k", 1025), sealedSize, nil, false},
		{"no key id", "", sealedSize, nil, false},
		{"longest ciphertext", "key-1", 1024, nil, true},
		{"ciphertext too long", "key-1", 1025, nil, false},
		{"no ciphertext", "key-1", 0, nil, false},
		{"most annotations", "key-1", sealedSize, filled("a.b", most-own-3), true},
		{"too many annotations", "key-1", sealedSize, filled("a.b", most-own-2), false},
		{"empty annotation", "key-1", sealedSize, filled("kms.example.com", 0), true},
		{"name with a final dot", "key-1", sealedSize, filled("kms.example.com.", 1), true},
		{"name of one label", "key-1", sealedSize, filled("local", 1), false},
		{"name in capitals", "key-1", sealedSize, filled("Kms.Example.Com", 1), false},
		{"name with an underscore", "key-1", sealedSize, filled("a_b.test", 1), false},
		{"name that begins with a hyphen", "key-1", sealedSize, filled("-a.test", 1), false},
		{"name that begins with a digit", "key-1", sealedSize, filled("1.2-3", 1), true},
		{"label too long", "key-1", sealedSize, filled(strings.Repeat("l", 64)+".test", 1), false},
		{"two dots", "key-1", sealedSize, filled("a..test", 1), false},
		{"empty name", "key-1", sealedSize, filled("", 1), false},
		{"longest name", "key-1", sealedSize, filled(strings.Repeat("a.", 126)+"a", 1), true},
		{"name too long", "key-1", sealedSize, filled(strings.Repeat("a.", 126)+"aa", 1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, socket := newVault(t, c.keyID), socketFor(t)
			v.ciphertextSize, v.annotations = c.ciphertextSize, c.annotations
			v.serve(t, socket)

			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			client, err := kmsv2.NewGRPCService(ctx, "unix://"+socket, "test", 3*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			_, _, _, err = kmsv2.GenerateTransformer(ctx, "uid of the API server", client, true)
			equal(t, fmt.Sprintf("what the API server does (%v)", err), c.taken, err == nil)

			dir := filepath.Join(t.TempDir(), "store")
			out := execute(t, strings.NewReader(""), nil, initArguments(dir, socket)...)
			equal(t, "what the program does: "+out.String(), c.taken, out.exit == 0)
			if !c.taken && (out.exit != 4 || !strings.Contains(out.stderr, "broke the rules of the API: ")) {
				t.Errorf("another refusal: %s", out)
			}
		})
	}
}
