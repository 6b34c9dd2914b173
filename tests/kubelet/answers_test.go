// What is stored, what a pod names, what must be answered: the table that the
// answers of the program and the lookups of the kubelet are both held to.

package kubelet

type entry struct {
	scope, user, password string
}

type scenario struct {
	name   string
	stored []entry
	// image is the spelling in the pod.
	image string
	// key, cache and login are the wanted answer; no key means nothing stored.
	key, cache string
	login      login
}

func (s scenario) answer() answer {
	if s.key == "" {
		return nothing()
	}
	return answer{CacheKeyType: s.cache, CacheDuration: "0s", Auth: map[string]login{s.key: s.login}}
}

// fill returns a store with the entries of the scenario.
func (s scenario) fill(into *store) *store {
	for _, e := range s.stored {
		into.login(e.scope, e.user, e.password)
	}
	return into
}

const (
	perRegistry = "Registry"
	perImage    = "Image"
)

var (
	hub      = []entry{{"docker.io", "hub-user", "hub-secret"}}
	hubLogin = login{"hub-user", "hub-secret"}

	one   = login{"user-1", "secret-1"}
	two   = login{"user-2", "secret-2"}
	three = login{"user-3", "secret-3"}
)

// at stores one under each scope in turn: user-1, user-2, ...
func at(scopes ...string) []entry {
	logins := []login{one, two, three}
	var entries []entry
	for i, scope := range scopes {
		entries = append(entries, entry{scope, logins[i].Username, logins[i].Password})
	}
	return entries
}

var scenarios = []scenario{
	// Docker Hub is one identity, answered under the host that was asked.
	{"hub, one word", hub, "nginx", "docker.io", perRegistry, hubLogin},
	{"hub, tag", hub, "nginx:1.27", "docker.io", perRegistry, hubLogin},
	{"hub, user repository", hub, "acme/app", "docker.io", perRegistry, hubLogin},
	{"hub, docker.io", hub, "docker.io/acme/app", "docker.io", perRegistry, hubLogin},
	{"hub, index.docker.io", hub, "index.docker.io/acme/app", "docker.io", perRegistry, hubLogin},
	{"hub, registry-1", hub, "registry-1.docker.io/library/nginx", "registry-1.docker.io", perRegistry, hubLogin},
	{"hub, registry.hub.docker.com", hub, "registry.hub.docker.com/library/nginx", "registry.hub.docker.com", perRegistry, hubLogin},
	{"hub, upper case", hub, "DOCKER.IO/library/nginx", "DOCKER.IO", perRegistry, hubLogin},
	{"hub, stored as the URL of docker login", at("https://index.docker.io/v1/"), "nginx", "docker.io", perRegistry, one},
	{"hub, stored as registry-1", at("registry-1.docker.io"), "nginx", "docker.io", perRegistry, one},
	{"hub, one organisation", at("docker.io/acme"), "acme/app", "docker.io/acme/app", perImage, one},
	{"hub, one organisation through registry-1", at("docker.io/acme"), "registry-1.docker.io/acme/app", "registry-1.docker.io/acme/app", perImage, one},
	{"hub, another organisation", at("docker.io/acme"), "acme-b/app", "", "", login{}},

	// Look-alikes of Docker Hub inherit nothing.
	{"look-alike, sub-domain", hub, "evil.docker.io/library/nginx", "", "", login{}},
	{"look-alike, longer domain", hub, "docker.io.evil.test/library/nginx", "", "", login{}},
	{"look-alike, port 5000", hub, "docker.io:5000/library/nginx", "", "", login{}},
	{"look-alike, port 443", hub, "docker.io:443/library/nginx", "", "", login{}},
	{"look-alike, index with port", hub, "index.docker.io:443/library/nginx", "", "", login{}},
	{"look-alike, prefix", hub, "mydocker.io/library/nginx", "", "", login{}},
	{"look-alike, path", hub, "localhost/docker.io/nginx", "", "", login{}},

	// The kubelet cuts /v1/ and /v2/ off the path of a key.
	{"repository below v1", at("r.test/v1/team"), "r.test/v1/team/app", "r.test/v1/v1/team/app", perImage, one},
	{"repository below v2", at("r.test/v2/team"), "r.test/v2/team", "r.test/v1/v2/team", perImage, one},

	// Hosts and ports.
	{"host", at("r.test"), "r.test/a/b", "r.test", perRegistry, one},
	{"host, deep path and digest", at("r.test"), "r.test/a/b/c/d:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "r.test", perRegistry, one},
	{"host with port", at("r.test:5000"), "r.test:5000/a", "r.test:5000", perRegistry, one},
	{"each port its own", at("r.test:5000", "r.test"), "r.test/a", "r.test", perRegistry, two},
	{"image with another port", at("r.test:5000"), "r.test:5001/a", "", "", login{}},
	{"image without the port", at("r.test:443"), "r.test/a", "", "", login{}},
	{"image with a port, scope without", at("r.test"), "r.test:443/a", "", "", login{}},
	{"localhost", at("localhost:5000"), "localhost:5000/a", "localhost:5000", perRegistry, one},
	{"IPv4 with port", at("10.0.0.1:5000"), "10.0.0.1:5000/a", "10.0.0.1:5000", perRegistry, one},
	{"IPv6 with port", at("[::1]:5000"), "[::1]:5000/a/b", "[::1]:5000", perRegistry, one},
	{"another IPv6", at("[::1]:5000"), "[::2]:5000/a/b", "", "", login{}},
	{"mixed case asked", at("registry.example.test"), "Registry.Example.test/a", "Registry.Example.test", perRegistry, one},
	{"mixed case stored", at("Registry.Example.test"), "registry.example.test/a", "registry.example.test", perRegistry, one},
	{"unknown host", at("r.test"), "s.test/a", "", "", login{}},
	{"empty store", nil, "r.test/a", "", "", login{}},

	// Paths match whole segments; near a path every answer is for one image.
	{"path", at("r.io/team"), "r.io/team/app", "r.io/team/app", perImage, one},
	{"path, the scope itself", at("r.io/team"), "r.io/team", "r.io/team", perImage, one},
	{"path, longer segment", at("r.io/team"), "r.io/team-b/app", "", "", login{}},
	{"path, another", at("r.io/team"), "r.io/other", "", "", login{}},
	{"path before host", at("r.io", "r.io/team"), "r.io/team/app", "r.io/team/app", perImage, two},
	{"host beside a path", at("r.io", "r.io/team"), "r.io/team-b/app", "r.io/team-b/app", perImage, one},
	{"longest path", at("r.io/team", "r.io/team/sub", "r.io"), "r.io/team/sub/app", "r.io/team/sub/app", perImage, two},
	{"path with port", at("r.io:5000/team"), "r.io:5000/team/app", "r.io:5000/team/app", perImage, one},
	{"path of another port", at("r.io", "r.io:5000/team"), "r.io/team/app", "r.io", perRegistry, one},

	// Wildcards stand for one label or a part of one.
	{"wildcard", at("*.example.test"), "a.example.test/x", "a.example.test", perRegistry, one},
	{"wildcard, two labels", at("*.example.test"), "a.b.example.test/x", "", "", login{}},
	{"wildcard, no label", at("*.example.test"), "example.test/x", "", "", login{}},
	{"wildcard inside a label", at("app-*.example.test"), "app-7.example.test/x", "app-7.example.test", perRegistry, one},
	{"wildcard with port", at("*.example.test:5000"), "a.example.test:5000/x", "a.example.test:5000", perRegistry, one},
	{"wildcard, other port", at("*.example.test:5000"), "a.example.test/x", "", "", login{}},
	{"exact before wildcard", at("*.example.test", "a.example.test"), "a.example.test/x", "a.example.test", perRegistry, two},
	{"fewer wildcards first", at("*.*.test", "*.example.test"), "a.example.test/x", "a.example.test", perRegistry, two},
	{"path before exact host", at("a.example.test", "*.example.test/team"), "a.example.test/team/x", "a.example.test/team/x", perImage, two},
}

// oddLogins are credentials that a careless encoder would damage.
var oddLogins = []struct {
	name  string
	login login
}{
	{"quotes and backslashes", login{`dom\user`, `a"b\c\\d'e/f\n`}},
	{"HTML characters", login{"u<v>&w", `<script>&amp;</script>`}},
	{"beyond ASCII", login{"пользователь", "pässwörd-密码-🔑-\u2028-\u200b"}},
	{"shell characters", login{"robot$acme+ci", "$HOME `id` %s *?[x]{y} ~!#"}},
	{"spaces at both ends", login{"user", "  spaces kept  "}},
	{"looks like JSON", login{"user", `{"username":"x","password":"y"}`}},
	{"colon in the password", login{"user", "a:b:c"}},
}

// keyFile is the usual login of Google's registries: the password is a key
// file of several lines.
var keyFile = login{"_json_key", "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN\\n\"\n}"}
