// The kubelet of these tests: a process of its own that registers providers
// and looks images up with the real code. The registry of providers is global
// to a process, hence one process for each registration. The test program
// starts itself in this role and talks JSON over stdin and stdout.

package kubelet

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
)

const (
	roleVariable = "KCP_TEST_ROLE"
	roleKubelet  = "kubelet"
)

// registration is the first message to the process; its answer is the error
// text of the registration, empty when the kubelet would go on.
type registration struct {
	Config         string
	BinDir         string
	ServiceAccount serviceAccount
}

// serviceAccount is what the API server would say about the pod's account.
type serviceAccount struct {
	Name        string
	Token       string
	Annotations map[string]string
}

// pod is who pulls: itself, and its service account as the API server has it.
type pod struct {
	Namespace, Name, UID string
	Account              serviceAccount
	AccountUID           string
}

// onlyPod is the pod of a kubelet that is told of no other one.
func onlyPod(account serviceAccount) pod {
	return pod{"namespace", "pod", "pod-uid", account, "uid-of-" + account.Name}
}

// pullRequest asks for the credentials of images, one after another or all at
// the same time.
type pullRequest struct {
	Images     []string
	InParallel bool
	// Pod pulls in place of the one of the registration.
	Pod *pod
	// Later is how long after the last pull this one comes.
	Later time.Duration
}

// pullReply has one pull for each image, in order, and what was logged.
type pullReply struct {
	Pulls []pull
	Log   []logRecord
	// Audiences are those of the tokens that the kubelet asked for.
	Audiences []string
}

// pull is what the kubelet would take to the CRI for one image.
type pull struct {
	Image       string
	Found       bool
	Credentials []credentialprovider.AuthConfig
	// Accounts are the service accounts that the credentials came from.
	Accounts []credentialprovider.ServiceAccountCoordinates
	Seconds  float64
}

type logRecord struct {
	Message string
	Fields  map[string]string
}

func runKubelet(in io.Reader, out io.Writer) {
	log := captureLog()
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)

	var setup registration
	if err := requests.Decode(&setup); err != nil {
		panic(err)
	}
	api := &apiServer{pod: onlyPod(setup.ServiceAccount)}
	err := plugin.RegisterCredentialProviderPlugins(setup.Config, setup.BinDir, api.requestToken, api.get)
	_ = replies.Encode(errorText(err))
	clock := setClock()

	for {
		var request pullRequest
		if err := requests.Decode(&request); err != nil {
			return
		}
		clock.Step(request.Later)
		pod := onlyPod(setup.ServiceAccount)
		if request.Pod != nil {
			pod = *request.Pod
		}
		api.begin(pod)
		pulls := lookUpAll(request, pod)
		_ = replies.Encode(pullReply{Pulls: pulls, Log: log.drain(), Audiences: api.audiences})
	}
}

func lookUpAll(request pullRequest, pod pod) []pull {
	pulls := make([]pull, len(request.Images))
	var running sync.WaitGroup
	for i, image := range request.Images {
		running.Add(1)
		work := func() {
			defer running.Done()
			pulls[i] = lookUp(image, pod)
		}
		if request.InParallel {
			go work()
		} else {
			work()
		}
	}
	running.Wait()
	return pulls
}

func lookUp(image string, pod pod) pull {
	start := time.Now()
	keyring := plugin.NewExternalCredentialProviderDockerKeyring(pod.Namespace, pod.Name, pod.UID, pod.Account.Name)
	tracked, found := keyring.Lookup(image)
	result := pull{Image: image, Found: found, Seconds: time.Since(start).Seconds()}
	for _, credential := range tracked {
		result.Credentials = append(result.Credentials, credential.AuthConfig)
		if credential.Source != nil && credential.Source.ServiceAccount != nil {
			result.Accounts = append(result.Accounts, *credential.Source.ServiceAccount)
		}
	}
	return result
}

// apiServer knows the pod that pulls, and its service account.
type apiServer struct {
	mutex     sync.Mutex
	pod       pod
	audiences []string
}

func (a *apiServer) begin(pod pod) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.pod, a.audiences = pod, nil
}

func (a *apiServer) get(namespace, name string) (*corev1.ServiceAccount, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if name != a.pod.Account.Name || namespace != a.pod.Namespace {
		return nil, fmt.Errorf("service account %s/%s not found", namespace, name)
	}
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace:   namespace,
		Name:        name,
		UID:         types.UID(a.pod.AccountUID),
		Annotations: a.pod.Account.Annotations,
	}}, nil
}

func (a *apiServer) requestToken(_, _ string, request *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.audiences = append(a.audiences, request.Spec.Audiences...)
	answer := request.DeepCopy()
	answer.Status.Token = a.pod.Account.Token
	return answer, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// logCapture keeps what the kubelet logs, values apart from the message.
type logCapture struct {
	mutex   sync.Mutex
	records []logRecord
}

func captureLog() *logCapture {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	_ = flags.Set("v", "5")
	capture := &logCapture{}
	klog.SetSlogLogger(slog.New(capture))
	return capture
}

func (c *logCapture) drain() []logRecord {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	records := c.records
	c.records = nil
	return records
}

func (c *logCapture) Enabled(context.Context, slog.Level) bool { return true }
func (c *logCapture) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *logCapture) WithGroup(string) slog.Handler            { return c }

func (c *logCapture) Handle(_ context.Context, record slog.Record) error {
	entry := logRecord{Message: record.Message, Fields: map[string]string{}}
	record.Attrs(func(attr slog.Attr) bool {
		entry.Fields[attr.Key] = attr.Value.String()
		return true
	})
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.records = append(c.records, entry)
	return nil
}
