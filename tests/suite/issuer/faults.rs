//! Every way in which a server can misbehave, for every issuer: one line and a failure, in time, without a secret; or, where a
//! second try helps, the right answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fake::{Fake, Received, Reply};
use super::{ask, ask_for_pod, ca_file, login, parts};
use crate::support::{AnyNode, Node, Run};

/// A secret that nobody has.
pub(crate) const WRONG: &str = "wrong-secret-of-some-length";

/// An issuer's part in the matrix.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) issuer: &'static str,
    /// Scope of the entry, and an image that it serves.
    pub(crate) scope: &'static str,
    pub(crate) image: &'static str,
    /// Settings and options for a server at this URL.
    pub(crate) settings: fn(url: &str) -> Vec<String>,
    pub(crate) secret: &'static str,
    /// One that is refused.
    pub(crate) wrong: &'static str,
    /// Whether the secret is the pod's token, not the entry's.
    pub(crate) by_pod: bool,
    /// Path of the request that fails.
    pub(crate) path: &'static str,
    /// Verifies a request and answers it: rightly, or, if its secret is not `secret`, with a refusal.
    pub(crate) reply: fn(&Received) -> Reply,
    /// What the program says of that refusal, behind the endpoint.
    pub(crate) refused: &'static str,
    /// User, password and the longest time that the kubelet may keep them.
    pub(crate) answer: (&'static str, &'static str, u64),
}

impl Subject {
    /// A node with an entry that asks this server.
    #[track_caller]
    pub(crate) fn node(&self, fake: &Fake) -> Node {
        let node = Node::new();
        self.store(&node, fake, self.secret, None);
        node
    }

    /// Stores an entry that asks this server.
    #[track_caller]
    fn store(&self, node: &dyn AnyNode, fake: &Fake, secret: &str, ca: Option<&str>) {
        let trust = ca_file(node);
        let mut settings = (self.settings)(fake.url());
        settings.push(ca.map_or(trust, str::to_owned));
        let settings: Vec<&str> = settings.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let run = login(node, self.scope, self.issuer, &settings, if self.by_pod { "" } else { secret });
        assert_eq!(run.code, 0, "{run:?}");
    }

    /// What the kubelet gets; the secret counts where it is the pod's.
    fn ask(&self, node: &dyn AnyNode, secret: &str, timeout: &str) -> Run {
        if self.by_pod { ask_for_pod(node, self.image, secret, timeout) } else { ask(node, self.image, timeout) }
    }

    /// A server that does this instead where it matters, and what the program makes of it.
    #[track_caller]
    fn with(
        &self,
        node: &dyn AnyNode,
        fault: impl Fn(&Received) -> Option<Reply> + Send + Sync + 'static,
        timeout: &str,
    ) -> (Fake, Run) {
        let subject = *self;
        let fake = Fake::https(move |received| {
            let at_place = received.target.split('?').next() == Some(subject.path);
            at_place.then(|| fault(received)).flatten().unwrap_or_else(|| (subject.reply)(received))
        });
        self.store(node, &fake, self.secret, None);
        let run = self.ask(node, self.secret, timeout);
        (fake, run)
    }

    #[track_caller]
    fn assert_fails(&self, fake: &Fake, run: &Run, reason: &str, remedy: &str) {
        let host = self.image.split('/').next().unwrap();
        let endpoint = format!("{}{}", fake.url(), self.path);
        let endpoint = endpoint.trim_end_matches('/');
        let expected = format!("keyring-credential-provider: {host}: `{endpoint}` {reason}; {remedy}\n");
        assert_eq!(*run, Run::new(1, "", &expected));
    }

    #[track_caller]
    fn assert_answers(&self, run: Run) {
        let (user, password, seconds, _) = parts(run);
        assert_eq!((user.as_str(), password.as_str()), (self.answer.0, self.answer.1));
        super::assert_kept(seconds, self.answer.2);
    }

    /// How many requests went to the place in question.
    fn count(&self, fake: &Fake) -> usize {
        fake.received().iter().filter(|received| received.target.split('?').next() == Some(self.path)).count()
    }
}

const STORED: &str = "check what is stored with `keyring-credential-provider explain`";
const NETWORK: &str = "check the address, the proxy, `ca-file` and the network";

pub(crate) fn right(subject: &Subject, node: &dyn AnyNode) {
    let (fake, run) = subject.with(node, |_| None, "10s");
    subject.assert_answers(run);
    assert_eq!(subject.count(&fake), 1);
}

pub(crate) fn wrong_secret(subject: &Subject, node: &dyn AnyNode) {
    let fake = Fake::https(subject.reply);
    subject.store(node, &fake, subject.wrong, None);
    let run = subject.ask(node, subject.wrong, "10s");
    subject.assert_fails(&fake, &run, subject.refused, STORED);
    assert!(!run.stderr.contains("wrong-secret"), "{}", run.stderr);
}

pub(crate) fn forbidden(subject: &Subject, node: &dyn AnyNode) {
    let no = |_: &Received| Some(Reply::json(403, &serde_json::json!({ "message": "not you" })));
    let (fake, run) = subject.with(node, no, "10s");
    subject.assert_fails(&fake, &run, "answered 403: not you", STORED);
    assert_eq!(subject.count(&fake), 1, "a refusal is not asked again");
}

pub(crate) fn busy_once(subject: &Subject, node: &dyn AnyNode) {
    let count = AtomicUsize::new(0);
    let (fake, run) = subject.with(
        node,
        move |_| {
            let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
            is_first.then(|| Reply::new(429, "text/plain", "slow down"))
        },
        "10s",
    );
    subject.assert_answers(run);
    assert_eq!(subject.count(&fake), 2);
}

pub(crate) fn broken_for_ever(subject: &Subject, node: &dyn AnyNode) {
    let broken = |_: &Received| Some(Reply::new(500, "text/html", "<html>oops</html>"));
    let start = Instant::now();
    let (fake, run) = subject.with(node, broken, "2s");
    subject.assert_fails(&fake, &run, "answered 500", STORED);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!((2..=4).contains(&subject.count(&fake)), "{}", subject.count(&fake));
}

pub(crate) fn slow_drip(subject: &Subject, node: &dyn AnyNode) {
    let (fake, run) = subject.with(node, |_| Some(Reply::Drip), "1s");
    subject.assert_fails(&fake, &run, "did not answer in time", NETWORK);
}

pub(crate) fn truncated(subject: &Subject, node: &dyn AnyNode) {
    let (fake, run) =
        subject.with(node, |_| Some(Reply::new(200, "application/json", r#"{"access_token":"secret-tok"#)), "10s");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    let endpoint = format!("{}{}", fake.url(), subject.path);
    let start = format!("`{}` answered with something else than was asked for: ", endpoint.trim_end_matches('/'));
    assert!(run.stderr.contains(&start) && run.stderr.ends_with(&format!("; {STORED}\n")), "{}", run.stderr);
    assert!(!run.stderr.contains("secret-tok") && run.stderr.lines().count() == 1, "{}", run.stderr);
}

pub(crate) fn cut_off(subject: &Subject, node: &dyn AnyNode) {
    let (fake, run) = subject.with(node, |_| Some(Reply::Cut), "1s");
    subject.assert_fails(&fake, &run, "cannot be reached: unexpected end of file", NETWORK);
}

pub(crate) fn huge(subject: &Subject, node: &dyn AnyNode) {
    let (fake, run) = subject.with(node, |_| Some(Reply::Huge), "10s");
    let reason = "answered with something else than was asked for: its body is larger than 1 MiB";
    subject.assert_fails(&fake, &run, reason, STORED);
    assert_eq!(subject.count(&fake), 1);
}

pub(crate) fn redirect(subject: &Subject, node: &dyn AnyNode) {
    let elsewhere = Fake::https(subject.reply);
    let target = format!("{}{}", elsewhere.url(), subject.path);
    let (fake, run) =
        subject.with(node, move |_| Some(Reply::new(307, "text/plain", "").header("Location", &target)), "10s");
    let reason = "answered 307 with a redirect, which is not followed with a credential";
    subject.assert_fails(&fake, &run, reason, STORED);
    assert_eq!(elsewhere.count(), 0);
}

pub(crate) fn unknown_authority(subject: &Subject, node: &dyn AnyNode) {
    let fake = Fake::https(subject.reply);
    subject.store(node, &fake, subject.secret, Some(""));
    let run = subject.ask(node, subject.secret, "10s");
    let first = fake.url();
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    let reason = "cannot be reached: its certificate is from an authority that is not trusted here";
    assert!(run.stderr.contains(first) && run.stderr.contains(reason), "{}", run.stderr);
    assert_eq!(fake.count(), 0, "nothing was sent");
}

pub(crate) fn closed(subject: &Subject, node: &dyn AnyNode) {
    let count = AtomicUsize::new(0);
    let (fake, run) =
        subject.with(node, move |_| (count.fetch_add(1, Ordering::Relaxed) == 0).then_some(Reply::Close), "10s");
    subject.assert_answers(run);
    assert_eq!(subject.count(&fake), 2);
}

/// A server whose clock is ten minutes ahead or behind: what it says of its tokens is understood by its clock.
pub(crate) fn clock_is_off(subject: &Subject, node: &dyn AnyNode) {
    for offset in [600, -600] {
        let fake = Fake::with_clock(offset, subject.reply);
        subject.store(node, &fake, subject.secret, None);
        subject.assert_answers(subject.ask(node, subject.secret, "10s"));
    }
}

/// Makes a test of every fault.
macro_rules! fault_matrix {
    ($subject:expr) => {
        mod faults {
            use super::*;
            use crate::issuer::faults;

            fault_matrix!(@tests $subject, right wrong_secret forbidden busy_once broken_for_ever slow_drip truncated cut_off
                huge redirect unknown_authority closed clock_is_off);
        }
    };
    (@tests $subject:expr, $($name:ident)*) => {
        $(#[test] fn $name() { faults::$name(&$subject, &$crate::support::Node::new()); })*
    };
}
pub(crate) use fault_matrix;
