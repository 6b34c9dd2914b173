// Issued credentials and service accounts: the kubelet's own code runs with the
// configuration that the program wrote, and a service that verifies the tokens.

package kubelet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// generated starts a kubelet with what `config generate` writes for a store.
func generated(t *testing.T, s *store, binDir string) *kubelet {
	t.Helper()
	config := s.operate("", "config", "generate", "--kubelet-version", "1.36").stdout
	return startKubelet(t, kubeletSetup{config: writeFile(t, filepath.Join(t.TempDir(), "config.yaml"), config, 0o600), binDir: binDir})
}

// pullFor looks one image up for a pod, some time after the last one.
func (k *kubelet) pullFor(pod *pod, image string, later time.Duration) (pull, pullReply) {
	k.t.Helper()
	var reply pullReply
	k.ask(pullRequest{Images: []string{image}, Pod: pod, Later: later}, &reply)
	return reply.Pulls[0], reply
}

// wantPull fails the test unless a pod gets exactly this password, recorded for
// its account, by so many executions of the plugin.
func (k *kubelet) wantPull(pod *pod, image string, later time.Duration, password string, runs int) {
	k.t.Helper()
	got, reply := k.pullFor(pod, image, later)
	log := kubeletLog(reply.Log)
	equal(k.t, "failures", []string{}, log.failures())
	equal(k.t, "credentials", []login{{"pod", password}}, got.logins())
	equal(k.t, "executions of the plugin", runs, log.runs())
	equal(k.t, "audiences", []string{tokenAudience}, reply.Audiences)
	if len(got.Accounts) != 1 || got.Accounts[0].Namespace != pod.Namespace || got.Accounts[0].Name != pod.Account.Name ||
		got.Accounts[0].UID != pod.AccountUID {
		k.t.Errorf("the credential is recorded for somebody else than %s/%s: %s", pod.Namespace, pod.Account.Name, show(got.Accounts))
	}
}

// answersInto is a directory with a plugin that is our program and keeps each
// answer in a file, and that file.
func answersInto(t *testing.T) (bin, file string) {
	t.Helper()
	bin = t.TempDir()
	file = filepath.Join(bin, "answer")
	script(t, bin, pluginName, fmt.Sprintf("'%s' \"$@\" >'%s'; code=$?; cat '%s'; exit $code", binary, file, file))
	return bin, file
}

// kept is how long the kubelet was told to keep the last answer.
func kept(t *testing.T, file string) time.Duration {
	t.Helper()
	var answer struct{ CacheDuration string }
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	duration, parseErr := time.ParseDuration(answer.CacheDuration)
	if err != nil || parseErr != nil {
		t.Fatalf("no answer with a duration: %v, %v", err, parseErr)
	}
	return duration
}

func TestTheKubeletKeepsAnIssuedCredentialForAsLongAsTheAnswerSays(t *testing.T) {
	// An hour: without skew, reserve and up to a tenth of jitter. Under two minutes: not worth keeping.
	for _, c := range []struct{ lifetime, least, most int }{{3600, 2376, 2640}, {300, 81, 90}, {110, 0, 0}} {
		t.Run(fmt.Sprint(c.lifetime), func(t *testing.T) {
			server, s := newTokenServer(t, c.lifetime), newStore(t)
			server.login(s, "r.test")
			bin, file := answersInto(t)
			k := generated(t, s, bin)
			pod := server.podOf("team", "builder", "uid-1", "pod-1")
			k.wantPull(pod, "r.test/a", 0, mintedFor(pod, 1), 1)
			duration := kept(t, file)
			if duration < time.Duration(c.least)*time.Second || duration > time.Duration(c.most)*time.Second {
				t.Fatalf("kept for %v", duration)
			}
			if c.most == 0 {
				// With so little left it is asked for anew, and that is no more than it was.
				k.wantPull(pod, "r.test/a", 0, mintedFor(pod, 2), 1)
				return
			}
			k.wantPull(pod, "r.test/a", 0, mintedFor(pod, 1), 0)
			k.wantPull(pod, "r.test/other", duration-time.Second, mintedFor(pod, 1), 0)
			k.wantPull(pod, "r.test/a", 2*time.Second, mintedFor(pod, 1), 1)
			equal(t, "requests to the service", 1, server.count())
		})
	}
}

// The kubelet hands tokens over as `config generate` told it, and keeps what
// comes back for an account, or for a token.
func TestOurConfigurationBringsThePodsTokenToTheService(t *testing.T) {
	for _, c := range []struct {
		cache           string
		runsOfSecondPod int
	}{{"service-account", 0}, {"token", 1}} {
		t.Run(c.cache, func(t *testing.T) {
			server, s := newTokenServer(t, 3600), newStore(t)
			server.login(s, "r.test", "token-cache="+c.cache)
			k := generated(t, s, binDir(t))
			first, second := server.podOf("team", "builder", "uid-1", "pod-1"), server.podOf("team", "builder", "uid-1", "pod-2")
			k.wantPull(first, "r.test/a", 0, mintedFor(first, 1), 1)
			k.wantPull(first, "r.test/a", 0, mintedFor(first, 1), 0)
			k.wantPull(second, "r.test/a", 0, mintedFor(first, 1), c.runsOfSecondPod)
			k.wantPull(second, "r.test/a", 0, mintedFor(first, 1), 0)
			equal(t, "requests to the service", 1, server.count())
		})
	}
}

// A token that the cluster did not sign, or that is for somebody else, gets
// nothing, and the log says so.
func TestTheServiceRefusesATokenOfAnotherCluster(t *testing.T) {
	server, other, s := newTokenServer(t, 3600), newTokenServer(t, 3600), newStore(t)
	server.login(s, "r.test")
	k := generated(t, s, binDir(t))
	got, reply := k.pullFor(other.podOf("team", "builder", "uid-1", "pod-1"), "r.test/a", 0)
	equal(t, "credentials", []login{}, got.logins())
	failures := kubeletLog(reply.Log).failures()
	if len(failures) != 1 || !strings.Contains(failures[0], "answered 400: wrong signature") {
		t.Errorf("failures: %s", show(failures))
	}
}

// Neither the kubelet's cache nor the program's gives one account what was
// issued for another: of another name, in another namespace, made anew.
func TestPodsOfDifferentServiceAccountsNeverShareACredential(t *testing.T) {
	for _, cache := range []string{"service-account", "token"} {
		t.Run(cache, func(t *testing.T) {
			server, s := newTokenServer(t, 3600), newStore(t)
			server.login(s, "r.test", "token-cache="+cache)
			pods := []*pod{
				server.podOf("team", "builder", "uid-1", "pod-1"),
				server.podOf("team", "other", "uid-2", "pod-2"),
				server.podOf("team-b", "builder", "uid-3", "pod-3"),
				server.podOf("team", "builder", "uid-4", "pod-4"),
				// The same letters, cut elsewhere, and a UID that is somebody else's name.
				server.podOf("teamb", "uilder", "uid-1", "pod-5"),
				server.podOf("team", "uid-1", "builder", "pod-6"),
			}
			k := generated(t, s, binDir(t))
			for runs := range 2 {
				for i, pod := range pods {
					k.wantPull(pod, "r.test/a", 0, mintedFor(pod, i+1), 1-runs)
				}
			}
			// A kubelet that was restarted has nothing; the program still knows what it issued for whom.
			k = generated(t, s, binDir(t))
			for i := range pods {
				i = len(pods) - 1 - i
				k.wantPull(pods[i], "r.test/a", 0, mintedFor(pods[i], i+1), 1)
			}
			equal(t, "requests to the service", len(pods), server.count())
		})
	}
}

// A static pod has no service account.
func TestAPodWithoutAServiceAccountGetsNothingThatRequiresOne(t *testing.T) {
	server, s := newTokenServer(t, 3600), newStore(t)
	server.login(s, "r.test")
	static := &pod{Namespace: "kube-system", Name: "static", UID: "uid"}

	k := generated(t, s, binDir(t))
	got, log := k.pullFor(static, "r.test/a", 0)
	equal(t, "credentials", []login{}, got.logins())
	equal(t, "executions of the plugin", 0, kubeletLog(log.Log).runs())

	// What is stored for others of this node is there for it.
	s.login("s.test", "user", "secret")
	k = generated(t, s, binDir(t))
	got, log = k.pullFor(static, "s.test/a", 0)
	equal(t, "failures", []string{}, kubeletLog(log.Log).failures())
	equal(t, "credentials", []login{{"user", "secret"}}, got.logins())
	got, log = k.pullFor(static, "r.test/a", 0)
	equal(t, "credentials", []login{}, got.logins())
	failures := kubeletLog(log.Log).failures()
	if len(failures) != 1 || !strings.Contains(failures[0], "r.test: the request has no service-account token") {
		t.Errorf("failures: %s", show(failures))
	}
	equal(t, "requests to the service", 0, server.count())
	pod := server.podOf("team", "builder", "uid-1", "pod-1")
	k.wantPull(pod, "r.test/a", 0, mintedFor(pod, 1), 1)
}

// A service may hand the pod's token back. The kubelet takes that only where it
// keeps answers by token, and the answer must end before the token.
func TestAPasswordThatIsThePodsTokenIsForThisPodAlone(t *testing.T) {
	server, s := newTokenServer(t, 36_000), newStore(t)
	server.echo = true
	server.login(s, "r.test", "token-cache=token")
	bin, file := answersInto(t)
	k := generated(t, s, bin)
	for i := range 2 {
		pod := server.podOf("team", "builder", "uid-1", fmt.Sprint("pod-", i))
		k.wantPull(pod, "r.test/a", 0, pod.Account.Token, 1)
		if duration := kept(t, file); duration < 50*time.Minute || duration > 59*time.Minute {
			t.Errorf("kept for %v, the token for an hour", duration)
		}
		k.wantPull(pod, "r.test/a", 0, pod.Account.Token, 0)
	}

	server.login(s, "r.test")
	k = generated(t, s, binDir(t))
	const refusal = "credential provider plugin returned the service account token as the password which is not allowed when service account cache type is not set to 'Token'"
	for i := range 2 {
		got, reply := k.pullFor(server.podOf("team", "builder", "uid-1", fmt.Sprint("pod-", i)), "r.test/a", 0)
		equal(t, "credentials", []login{}, got.logins())
		equal(t, "failures", []string{refusal}, kubeletLog(reply.Log).failures())
	}
}
