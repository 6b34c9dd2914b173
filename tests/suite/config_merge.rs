//! A provider put into a configuration and taken out again: every other byte stays.

use keyring_credential_provider::kubelet::config::{
    self, Generated, KubeletVersion, MergeError, Merged, Position, System, merge, remove, summarize,
};

const NAME: &str = "keyring-credential-provider";

fn provider(patterns: &[&str]) -> Generated {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    config::generate_for(patterns, NAME, KubeletVersion::NEWEST, System::Linux, None).unwrap()
}

fn put(text: &str, position: Position) -> Result<Merged, MergeError> {
    merge(text.as_bytes(), &provider(&["r.test"]), &[NAME], position)
}

#[track_caller]
fn changed(result: Result<Merged, MergeError>) -> String {
    match result {
        Ok(Merged::Changed(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// In YAML: what comes before, then ours indented so, then what comes behind.
const OURS: &str = "- name: \"keyring-credential-provider\"
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages:
  - \"r.test\"
  defaultCacheDuration: \"0s\"
  args:
  - \"get-credentials\"
";

fn ours(indent: usize) -> String {
    OURS.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
}

/// `<F>` is where the provider goes when it is the first, `<L>` when it is the last.
const FORMS: [(&str, usize); 9] = [
    ("kind: K\nproviders:\n<F>- name: a\n  x: 1\n<L>", 0),
    ("kind: K\nproviders: # of this node\n<F>  # about a\n  - name: a\n    x: 1 # one\n<L>apiVersion: v\n", 2),
    ("providers:\n<F>    -   name: a\n        args:\n        - b\n        # for a\n<L>\nkind: K\n", 4),
    ("providers:\n<F>-\n  name: a\n<L># the end\n", 0),
    ("providers:\n<F>- {name: a, args: [b]}\n<L>", 0),
    ("providers:\n<F>- name: a\n  note: |\n    several\n    lines\n<L>kind: K\n", 0),
    ("# first\n---\nproviders:\n<F>- name: a\n- name: b\n<L>---\nproviders: []\n", 0),
    ("\"providers\":\n<F>- \"name\": \"a\"\n  \"\\u00e4\": 'ö'\n<L>\"kind\": K\n", 0),
    ("x: {providers: [1]}\nproviders:\n<F>- name: a\n  providers:\n  - name: c\n<L>", 0),
];

#[test]
fn yaml_keeps_its_comments_its_order_and_its_indentation() {
    for (form, indent) in FORMS {
        let without = form.replace("<F>", "").replace("<L>", "");
        for (position, sign, other) in [(Position::First, "<F>", "<L>"), (Position::Last, "<L>", "<F>")] {
            let expected = form.replace(other, "").replace(sign, &ours(indent));
            assert_eq!(changed(put(&without, position)), expected, "{form}");
            assert_eq!(changed(remove(expected.as_bytes(), &[NAME])), without, "{form}");
            assert_eq!(put(&expected, position), Ok(Merged::Same), "{form}");
        }
        let expected = form.replace("<F>", "").replace("<L>", &ours(indent));
        // Windows line ends stay too.
        let windows = changed(put(&without.replace('\n', "\r\n"), Position::Last));
        assert_eq!(windows, expected.replace('\n', "\r\n"), "{form}");
        // An older entry of ours is replaced where it stands.
        let old = merge(without.as_bytes(), &provider(&["old.test"]), &[NAME], Position::Last);
        assert_eq!(changed(put(&changed(old), Position::Last)), expected, "{form}");
    }
}

#[test]
fn a_last_line_without_an_end_gets_one() {
    let expected = format!("providers:\n- name: a\n{OURS}");
    assert_eq!(changed(put("providers:\n- name: a", Position::Last)), expected);
}

#[test]
fn json_stays_json() {
    for text in [
        "{\"kind\":\"K\",\"providers\":[{\"name\":\"a\"}]}",
        "{\n  \"providers\": [\n    {\n      \"name\": \"a\",\n      \"x\": [1.50, 1e3]\n    }\n  ],\n  \"kind\": \"K\"\n}\n",
        "{\n\t\"providers\": [\n\t\t{\"name\": \"a\"}, {\"name\": \"b\"}\n\t]\n}\n",
        "kind: K\nproviders: [{name: a}, {name: b, args: [']']}] # flow\n",
    ] {
        for position in [Position::First, Position::Last] {
            let with = changed(put(text, position));
            let names: Vec<_> =
                config::providers(with.as_bytes()).unwrap().into_iter().map(|provider| provider.name).collect();
            let place = if position == Position::First { 0 } else { names.len() - 1 };
            assert_eq!(names[place], NAME, "{with}");
            assert_eq!(changed(remove(with.as_bytes(), &[NAME])), text);
            if text.starts_with('{') {
                serde_json::from_str::<serde_json::Value>(&with).unwrap();
            }
        }
    }
}

#[test]
fn what_cannot_be_edited_is_refused_and_the_only_provider_is_told() {
    let form = |text: &str| put(text, Position::Last).unwrap_err().to_string();
    let rest = "has a form that cannot be edited without rewriting the rest: ";
    assert_eq!(form("kind: K\n"), format!("{rest}`providers` is missing"));
    assert_eq!(form("providers: []\n"), format!("{rest}`providers` is empty"));
    assert_eq!(form("a: &a [{name: a}]\nproviders: *a\n"), format!("{rest}`providers` is not written as one list"));
    assert_eq!(form("<<: {providers: [{name: a}]}\n"), format!("{rest}`providers` is missing"));
    assert!(form("providers: [").starts_with("cannot be read: yaml: "));
    assert_eq!(remove(format!("providers:\n{OURS}").as_bytes(), &[NAME]), Ok(Merged::Empty));
    assert_eq!(remove(b"providers:\n- name: a\n", &[NAME]), Ok(Merged::Same));
}

#[test]
fn a_summary_hides_what_may_be_a_secret() {
    let text = format!(
        "providers:\n- name: {NAME}\n  matchImages: [a.test]\n  args: [get-credentials, --store=/s, --token=hush]\n  env:\n  - {{name: KEYRING_CREDENTIAL_PROVIDER_STORE, value: /s}}\n  - {{name: TOKEN, value: hush}}\n  hushed: hush\n"
    );
    let lines = summarize(text.as_bytes(), &[NAME]).unwrap();
    let expected = [
        "\"hushed\": (not shown)",
        "args: \"get-credentials\"",
        "args: \"--store=/s\"",
        "args: (not shown)",
        "env: \"KEYRING_CREDENTIAL_PROVIDER_STORE\"=\"/s\"",
        "env: \"TOKEN\"=(not shown)",
        "matchImages: \"a.test\"",
        "name: \"keyring-credential-provider\"",
    ];
    assert_eq!(lines, expected);
}
