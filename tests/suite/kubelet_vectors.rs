//! Holds `kubelet::image_match` and `kubelet::keyring` against what the kubelet's own code answers.
//!
//! The cases are those of `tests/data/kubelet.json`, which names the source of each group. Counts are exact, so that no
//! case is lost unseen.

use std::fmt::{Debug, Display};
use std::fs;
use std::ptr;

use serde_json::Value;

use keyring_credential_provider::kubelet::image_match::MatchImage;
use keyring_credential_provider::kubelet::keyring;

#[test]
fn urls_match() {
    check_group("urls_match", 18, check_match);
}

#[test]
fn probe_match() {
    check_group("probe_match", 137, |case| {
        let (pattern, image) = (text(case, "pattern"), text(case, "image"));
        let valid = same(
            format_args!("validity of pattern {pattern:?} (image {image:?})"),
            &flag(case, "configValid"),
            &MatchImage::parse(pattern).is_ok(),
        );
        valid.and(check_match(case))
    });
}

#[test]
fn image_allowed_and_provide() {
    check_group("image_allowed_and_provide", 11, |case| {
        let (name, image) = (text(case, "name"), text(case, "image"));
        let patterns = texts(case, "matchImages");
        // In service-account mode a plugin whose pattern matches may still not run, for want of a token.
        let expected = flag(case, "pluginRuns") || name.starts_with("SA mode");
        let got = patterns.iter().any(|pattern| matches(pattern, image));
        same(format_args!("patterns {patterns:?}, image {image:?}"), &expected, &got)
    });
}

#[test]
fn keyring_key_hits() {
    check_group("keyring_key_hits", 16, check_found);
}

#[test]
fn keyring_key_misses() {
    check_group("keyring_key_misses", 6, check_found);
}

#[test]
fn docker_hub_default_key() {
    check_group("docker_hub_default_key", 4, |case| {
        let (key, image) = (text(case, "authKey"), text(case, "image"));
        let hits = keyring::lookup(&[key], image).len() as u64;
        // Misses name no bound.
        let bound = case.get("maxHits").map_or(0, |hits| hits.as_u64().expect("`maxHits` is a number"));
        let within = same(format_args!("key {key:?}, image {image:?}, at most {bound} hits"), &true, &(hits <= bound));
        within.and(check_found(case))
    });
}

#[test]
fn is_default_registry_match() {
    check_group("is_default_registry_match", 8, |case| {
        let image = text(case, "image");
        same(format_args!("image {image:?}"), &flag(case, "default"), &keyring::is_default_registry_match(image))
    });
}

#[test]
fn keyring_lookup_order() {
    check_group("keyring_lookup_order", 10, check_order);
}

#[test]
fn probe_auth_keys() {
    check_group("probe_auth_keys", 192, check_order);
}

#[test]
fn probe_multi_provider() {
    check_group("probe_multi_provider", 6, |case| {
        let image = text(case, "image");
        let providers = case["providersInConfigOrder"].as_array().expect("`providersInConfigOrder` is an array");
        // Each is `PROVIDER=KEY`; all keys end in one keyring, and two providers may give the same one.
        let labels: Vec<_> = providers.iter().flat_map(as_texts).collect();
        let keys: Vec<_> = labels.iter().map(|label| label.split_once('=').expect("`PROVIDER=KEY`").1).collect();
        let label_of = |found: &str| labels[keys.iter().position(|key| ptr::eq(*key, found)).expect("one of ours")];
        let got: Vec<_> = keyring::lookup(&keys, image).into_iter().map(label_of).collect();
        let order = same(format_args!("keys {labels:?}, image {image:?}"), &texts(case, "credentialsInOrder"), &got);
        order.and(same(format_args!("keys {labels:?}, image {image:?}, found"), &flag(case, "found"), &!got.is_empty()))
    });
}

/// Checks every case of a group and fails with all those that differ.
fn check_group(group: &str, count: usize, check: impl Fn(&Value) -> Result<(), String>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kubelet.json");
    let vectors: Value = serde_json::from_slice(&fs::read(path).expect(path)).expect(path);
    let cases = vectors[group]["cases"].as_array().expect(group);
    assert_eq!(cases.len(), count, "cases in {group}");
    let failures: Vec<_> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{group}: {} of {count} cases differ\n{}", failures.len(), failures.join("\n"));
}

fn check_match(case: &Value) -> Result<(), String> {
    let (pattern, image) = (text(case, "pattern"), text(case, "image"));
    same(format_args!("pattern {pattern:?}, image {image:?}"), &flag(case, "match"), &matches(pattern, image))
}

fn check_found(case: &Value) -> Result<(), String> {
    let (key, image) = (text(case, "authKey"), text(case, "image"));
    let found = !keyring::lookup(&[key], image).is_empty();
    same(format_args!("key {key:?}, image {image:?}"), &flag(case, "found"), &found)
}

fn check_order(case: &Value) -> Result<(), String> {
    let (keys, image) = (texts(case, "authKeys"), text(case, "image"));
    let mut expected = texts(case, "credentialsInOrder");
    let mut got = keyring::lookup(&keys, image);
    // Keys of one entry: the kubelet shuffles them.
    if case.get("orderUndefined").is_some() {
        expected.sort_unstable();
        got.sort_unstable();
    }
    same(format_args!("keys {keys:?}, image {image:?}"), &expected, &got)
}

fn matches(pattern: &str, image: &str) -> bool {
    MatchImage::parse(pattern).is_ok_and(|pattern| pattern.matches(image))
}

fn same<T: PartialEq + Debug>(what: impl Display, expected: &T, got: &T) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}")) }
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {case}"))
}

fn flag(case: &Value, field: &str) -> bool {
    case[field].as_bool().unwrap_or_else(|| panic!("no flag `{field}` in {case}"))
}

fn texts<'a>(case: &'a Value, field: &str) -> Vec<&'a str> {
    as_texts(&case[field])
}

fn as_texts(value: &Value) -> Vec<&str> {
    let items = value.as_array().unwrap_or_else(|| panic!("no array: {value}"));
    items.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("no text: {item}"))).collect()
}
