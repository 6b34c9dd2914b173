// A clock for the kubelet's cache that goes where a test wants it. The kubelet
// lets nobody set the clock of a provider, and no answer of ours that it keeps
// at all is good for less than half a minute, so the field is set from outside.

package kubelet

import (
	"reflect"
	"time"
	"unsafe"

	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// setClock gives one clock to all providers that are registered, and to what
// decides when an entry of their caches has ended.
func setClock() *clocktesting.FakeClock {
	fake := clocktesting.NewFakeClock(time.Now())
	keyring := reflect.ValueOf(plugin.NewExternalCredentialProviderDockerKeyring("", "", "", ""))
	providers := keyring.Elem().FieldByName("providers")
	for i := range providers.Len() {
		provider := providers.Index(i).Elem().Elem().FieldByName("provider").Elem()
		put(provider.FieldByName("clock"), fake)
		cache := provider.FieldByName("cache").Elem().Elem()
		put(cache.FieldByName("expirationPolicy").Elem().Elem().FieldByName("clock"), fake)
	}
	return fake
}

// put sets a field that is not exported.
func put(field reflect.Value, value clock.Clock) {
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.ValueOf(value))
}
