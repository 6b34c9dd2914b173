// The kubelet's own keyring agrees with every recorded fact about auth keys
// and patterns, so the Rust tests that use the vectors test the kubelet's rules.

package kubelet

import (
	"fmt"
	"sort"
	"testing"

	"k8s.io/kubernetes/pkg/credentialprovider"
)

// keyringOf returns the kubelet's keyring with a credential under each key;
// its username is the key.
func keyringOf(keys ...string) *credentialprovider.BasicDockerKeyring {
	config := credentialprovider.DockerConfig{}
	for _, key := range keys {
		config[key] = credentialprovider.DockerConfigEntry{Username: key, Password: "secret"}
	}
	keyring := &credentialprovider.BasicDockerKeyring{}
	keyring.Add(nil, config)
	return keyring
}

// usersFor are the usernames that the keyring offers for an image, in order.
func usersFor(keyring credentialprovider.DockerKeyring, image string) []string {
	credentials, found := keyring.Lookup(image)
	users := []string{}
	for _, credential := range credentials {
		users = append(users, credential.Username)
	}
	if found != (len(users) > 0) {
		panic("the kubelet's found does not say whether there are credentials")
	}
	return users
}

func TestKeyringAgreesOnHitsAndMisses(t *testing.T) {
	type keyCase struct {
		AuthKey string
		Image   string
		Found   bool
		MaxHits *int
	}
	for _, group := range []string{"keyring_key_hits", "keyring_key_misses", "docker_hub_default_key"} {
		for _, c := range casesOf[keyCase](t, group) {
			t.Run(group+"/"+c.AuthKey+" for "+c.Image, func(t *testing.T) {
				users := usersFor(keyringOf(c.AuthKey), c.Image)
				equal(t, "found", c.Found, len(users) > 0)
				if c.MaxHits != nil && len(users) > *c.MaxHits {
					t.Errorf("%d credentials, recorded are at most %d", len(users), *c.MaxHits)
				}
			})
		}
	}
}

func TestKeyringAgreesOnTheOrderOfCredentials(t *testing.T) {
	type orderCase struct {
		Note               string
		AuthKeys           []string
		Image              string
		CredentialsInOrder []string
		OrderUndefined     bool
	}
	for _, group := range []string{"keyring_lookup_order", "probe_auth_keys"} {
		for _, c := range casesOf[orderCase](t, group) {
			t.Run(fmt.Sprintf("%s/%v for %s", group, c.AuthKeys, c.Image), func(t *testing.T) {
				users := usersFor(keyringOf(c.AuthKeys...), c.Image)
				if c.OrderUndefined {
					sort.Strings(users)
					sort.Strings(c.CredentialsInOrder)
				}
				equal(t, "credentials ("+c.Note+")", c.CredentialsInOrder, users)
			})
		}
	}
}

func TestKeyringAgreesOnSeveralProviders(t *testing.T) {
	type providersCase struct {
		Note                   string
		ProvidersInConfigOrder [][]string
		Image                  string
		CredentialsInOrder     []string
		Found                  bool
	}
	for _, c := range casesOf[providersCase](t, "probe_multi_provider") {
		t.Run(c.Note, func(t *testing.T) {
			keyring := &credentialprovider.BasicDockerKeyring{}
			for i, keys := range c.ProvidersInConfigOrder {
				config := credentialprovider.DockerConfig{}
				for _, named := range keys {
					key := named[len(fmt.Sprintf("P%d=", i+1)):]
					config[key] = credentialprovider.DockerConfigEntry{Username: named, Password: "secret"}
				}
				keyring.Add(nil, config)
			}
			users := usersFor(keyring, c.Image)
			equal(t, "credentials", c.CredentialsInOrder, users)
			equal(t, "found", c.Found, len(users) > 0)
		})
	}
}

// The kubelet's test for a Docker Hub image is not exported; it shows in
// whether an entry of index.docker.io serves the image.
func TestKeyringAgreesOnWhatIsADockerHubImage(t *testing.T) {
	type defaultCase struct {
		Image   string
		Default bool
	}
	for _, c := range casesOf[defaultCase](t, "is_default_registry_match") {
		t.Run(fmt.Sprintf("%q", c.Image), func(t *testing.T) {
			users := usersFor(keyringOf("https://index.docker.io/v1/"), c.Image)
			equal(t, "served by index.docker.io", c.Default, len(users) > 0)
		})
	}
}

func TestPatternsMatchAsRecorded(t *testing.T) {
	type matchCase struct {
		Pattern     string
		Image       string
		Match       bool
		ConfigValid *bool
		ParseError  string
	}
	for _, group := range []string{"urls_match", "probe_match"} {
		for _, c := range casesOf[matchCase](t, group) {
			t.Run(fmt.Sprintf("%s/%q for %q", group, c.Pattern, c.Image), func(t *testing.T) {
				// The kubelet takes a pattern that it cannot read for one that
				// does not match.
				match, _ := credentialprovider.URLsMatchStr(c.Pattern, c.Image)
				equal(t, "match", c.Match, match)
				if c.ConfigValid == nil {
					return
				}
				_, err := credentialprovider.ParseSchemelessURL(c.Pattern)
				equal(t, "valid in a configuration", *c.ConfigValid, err == nil)
				equal(t, "error", c.ParseError, errorText(err))
			})
		}
	}
}
