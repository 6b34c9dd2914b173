// A cluster that signs tokens of pods, and a service that exchanges them for
// registry tokens (RFC 8693): it takes what that cluster signed, for itself and
// in time, and nothing else.

package kubelet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	tokenIssuer   = "https://cluster.test"
	tokenAudience = "https://sts.test"
)

// claims are what a token of a pod says.
type claims struct {
	Issuer     string   `json:"iss"`
	Audience   []string `json:"aud"`
	Expires    int64    `json:"exp"`
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Account   named  `json:"serviceaccount"`
		Pod       named  `json:"pod"`
	} `json:"kubernetes.io"`
}

type named struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tokenServer is the cluster and the service.
type tokenServer struct {
	t        *testing.T
	key      *ecdsa.PrivateKey
	url      string
	caFile   string
	lifetime int
	// echo has the service hand back the token that it was given.
	echo  bool
	mutex sync.Mutex
	// minted are the passwords that were given, in their order.
	minted []string
}

func newTokenServer(t *testing.T, lifetime int) *tokenServer {
	t.Helper()
	s := &tokenServer{t: t, key: newKey(t), lifetime: lifetime}
	server := httptest.NewUnstartedServer(s)
	server.TLS, s.caFile = serverCertificate(t)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// podOf is a pod with a token of its own.
func (s *tokenServer) podOf(namespace, account, accountUID, name string) *pod {
	s.t.Helper()
	said := claims{Issuer: tokenIssuer, Audience: []string{tokenAudience}, Expires: time.Now().Add(time.Hour).Unix()}
	said.Kubernetes.Namespace = namespace
	said.Kubernetes.Account = named{account, accountUID}
	said.Kubernetes.Pod = named{name, "uid-of-" + name}
	return &pod{namespace, name, "uid-of-" + name, serviceAccount{Name: account, Token: s.sign(said)}, accountUID}
}

// sign makes a JSON Web Token (RFC 7515, ES256).
func (s *tokenServer) sign(said claims) string {
	s.t.Helper()
	payload, err := json.Marshal(said)
	if err != nil {
		s.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"ES256"}`)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(text))
	r, sig, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		s.t.Fatal(err)
	}
	var both [64]byte
	r.FillBytes(both[:32])
	sig.FillBytes(both[32:])
	return text + "." + encode(both[:])
}

// verify returns what a token says if the cluster signed it.
func (s *tokenServer) verify(token string) (said claims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return said, fmt.Errorf("%d parts", len(parts))
	}
	decode := base64.RawURLEncoding.DecodeString
	signature, err := decode(parts[2])
	if err != nil || len(signature) != 64 {
		return said, fmt.Errorf("no signature")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, sig := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(&s.key.PublicKey, digest[:], r, sig) {
		return said, fmt.Errorf("wrong signature")
	}
	payload, err := decode(parts[1])
	if err != nil {
		return said, err
	}
	if err := json.Unmarshal(payload, &said); err != nil {
		return said, err
	}
	if said.Issuer != tokenIssuer || len(said.Audience) != 1 || said.Audience[0] != tokenAudience {
		return said, fmt.Errorf("not for this service")
	}
	if said.Expires <= time.Now().Unix() {
		return said, fmt.Errorf("has ended")
	}
	return said, nil
}

// mintedFor is what the service gives for a pod's account, as the n-th of all.
func mintedFor(pod *pod, n int) string {
	return fmt.Sprintf("minted %d for %s/%s %s", n, pod.Namespace, pod.Account.Name, pod.AccountUID)
}

func (s *tokenServer) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	token := request.PostFormValue("subject_token")
	said, err := s.verify(token)
	if err == nil && (request.Method != http.MethodPost || request.URL.Path != "/token" ||
		request.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" ||
		request.PostFormValue("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt") {
		err = fmt.Errorf("another request than RFC 8693 has")
	}
	if err != nil {
		response.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(response).Encode(map[string]string{"error": "invalid_request", "error_description": err.Error()})
		return
	}
	account := said.Kubernetes.Account
	s.mutex.Lock()
	defer s.mutex.Unlock()
	password := mintedFor(&pod{Namespace: said.Kubernetes.Namespace, Account: serviceAccount{Name: account.Name}, AccountUID: account.UID},
		len(s.minted)+1)
	if s.echo {
		password = token
	}
	s.minted = append(s.minted, password)
	response.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(response).Encode(map[string]any{"access_token": password, "expires_in": s.lifetime})
}

func (s *tokenServer) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.minted)
}

// login stores an entry that shows the pod's token to the service.
func (s *tokenServer) login(into *store, scope string, settings ...string) {
	s.t.Helper()
	args := []string{"login", scope, "--issuer", "token-exchange"}
	all := append([]string{"token-url=" + s.url + "/token", "ca-file=" + s.caFile, "username=pod", "token-audience=" + tokenAudience}, settings...)
	for _, setting := range all {
		args = append(args, "--set", setting)
	}
	into.operate("", args...)
}

// serverCertificate is a certificate for loopback, and the file with the
// authority that signed it.
func serverCertificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	make := func(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) []byte {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, leafKey := newKey(t), newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	caDER := make(ca, ca, &caKey.PublicKey, caKey)
	leafDER := make(leaf, ca, &leafKey.PublicKey, caKey)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}))
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}}
	return config, writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), text, 0o600)
}
