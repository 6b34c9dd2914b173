// The two judges of a plugin's stdout: the decoding of kubelets from 1.32 on,
// which is strict, and that of kubelets up to 1.31, which is not. Both follow
// the kubelet step by step with its own scheme and codecs; calibration_test.go
// proves them against the kubelet itself.

package kubelet

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	api "k8s.io/kubelet/pkg/apis/credentialprovider"
	"k8s.io/kubelet/pkg/apis/credentialprovider/install"
)

type judge struct {
	name   string
	codecs serializer.CodecFactory
}

func judges() []judge {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return []judge{
		{"kubelet from 1.32 on", serializer.NewCodecFactory(scheme, serializer.EnableStrict)},
		{"kubelet up to 1.31", serializer.NewCodecFactory(scheme)},
	}
}

// answer is the content of an accepted response.
type answer struct {
	CacheKeyType string
	// CacheDuration is empty when the response leaves it out.
	CacheDuration string
	Auth          map[string]login
}

// decode is the codec's part: the plugin's response, or why it is none.
func (j judge) decode(stdout []byte) (*api.CredentialProviderResponse, error) {
	object, kind, err := j.codecs.UniversalDecoder().Decode(stdout, nil, nil)
	if err != nil {
		return nil, err
	}
	if kind.Kind != "CredentialProviderResponse" || kind.Group != api.GroupName {
		return nil, fmt.Errorf("unexpected kind %s", kind)
	}
	response, ok := object.(*api.CredentialProviderResponse)
	if !ok {
		return nil, fmt.Errorf("unexpected type %T", object)
	}
	return response, nil
}

// verdict is the whole judgement on the stdout of a plugin that exited 0 and
// was configured with apiVersion.
func (j judge) verdict(apiVersion string, stdout []byte) (answer, error) {
	kind, err := json.DefaultMetaFactory.Interpret(stdout)
	if err != nil {
		return answer{}, err
	}
	if actual := kind.GroupVersion().String(); actual != apiVersion {
		return answer{}, fmt.Errorf("apiVersion is %q, not %q", actual, apiVersion)
	}
	response, err := j.decode(stdout)
	if err != nil {
		return answer{}, err
	}
	switch response.CacheKeyType {
	case api.ImagePluginCacheKeyType, api.RegistryPluginCacheKeyType, api.GlobalPluginCacheKeyType:
	default:
		return answer{}, fmt.Errorf("cacheKeyType is %q", response.CacheKeyType)
	}
	result := answer{CacheKeyType: string(response.CacheKeyType), Auth: map[string]login{}}
	if response.CacheDuration != nil {
		result.CacheDuration = response.CacheDuration.Duration.String()
	}
	for key, config := range response.Auth {
		result.Auth[key] = login{config.Username, config.Password}
	}
	return result, nil
}

// wantAnswer fails the test unless every judge reads exactly want from a run
// that ended well.
func (o outcome) wantAnswer(t *testing.T, apiVersion string, want answer) {
	t.Helper()
	if o.exit != 0 || o.stderr != "" {
		t.Errorf("want exit 0 and an empty stderr, got %s", o)
		return
	}
	for _, j := range judges() {
		got, err := j.verdict(apiVersion, []byte(o.stdout))
		if err != nil {
			t.Errorf("%s refuses the answer: %v\n stdout: %q", j.name, err, o.stdout)
			continue
		}
		equal(t, j.name+": answer", want, got)
	}
}

// nothing is the answer for an image that no credential is stored for.
func nothing() answer {
	return answer{CacheKeyType: perImage, CacheDuration: "0s", Auth: map[string]login{}}
}
