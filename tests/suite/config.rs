//! `config validate` and `config generate`, held against what the kubelet's own code says.
//!
//! `tests/data/config/recorded.json` has whole files and the answer of Kubernetes 1.36.3 to each. The groups of
//! `tests/data/kubelet.json` mostly name their input only; it is made again here from the fields and the case's name.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use keyring_credential_provider::kubelet::config::{self, KubeletVersion, System, Target, Verdict};

use crate::support::{Dir, Node, Run, vectors};

const GOOD: &str = r#"apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: plugin
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["r.io"]
  defaultCacheDuration: "1h"
"#;

const TOKENS: &str = "  tokenAttributes:
    serviceAccountTokenAudience: registry
    cacheType: Token
    requireServiceAccount: true
";

const V1: &str = "credentialprovider.kubelet.k8s.io/v1";

fn kubelet(version: &str) -> Target {
    Target::new(version.parse().unwrap(), System::Linux)
}

fn newest() -> Target {
    Target::new(KubeletVersion::NEWEST, System::Linux)
}

#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn errors(text: &str, version: &str) -> Vec<String> {
    config::judge_text(text, &kubelet(version)).errors
}

fn warnings(text: &str, version: &str) -> Vec<String> {
    let verdict = config::judge_text(text, &kubelet(version));
    assert_eq!(verdict.errors, [""; 0], "{text}");
    verdict.warnings
}

fn path(dir: &Dir, name: &str) -> PathBuf {
    dir.path().join(name)
}

/// A directory with `bin/plugin`, `bin/plugin2`, `bin/noexec2`, and `bin/noexec` that is not executable.
fn with_programs() -> Dir {
    let dir = Dir::new();
    fs::create_dir(path(&dir, "bin")).unwrap();
    for name in ["plugin", "plugin2", "noexec2", "noexec"] {
        let program = path(&dir, "bin").join(name);
        fs::write(&program, "#!/bin/sh\n").unwrap();
        #[cfg(unix)]
        fs::set_permissions(
            &program,
            std::os::unix::fs::PermissionsExt::from_mode(if name == "noexec" { 0o600 } else { 0o700 }),
        )
        .unwrap();
    }
    dir
}

/// Puts the errors as the kubelet does: the first of reading or of programs, or all of the validation.
fn as_kubelet(verdict: &Verdict, dir: &Dir) -> String {
    let shown = |error: &String| error.replace(dir.path().to_str().unwrap(), "$DIR");
    let (rules, others): (Vec<_>, Vec<_>) =
        verdict.errors.iter().map(shown).partition(|error| error.starts_with("providers"));
    match (rules.as_slice(), others.as_slice()) {
        ([], []) => String::new(),
        // The kubelet does not say which provider it is.
        ([], [first, ..]) => first.split(" (provider \"").next().unwrap().to_owned(),
        ([rule], _) => format!("failed to validate credential provider config: {rule}"),
        (rules, _) => format!("failed to validate credential provider config: [{}]", rules.join(", ")),
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name)
}

#[test]
fn every_recorded_file_is_judged_as_by_the_kubelet() {
    let recorded: Value = serde_json::from_slice(&fs::read(data("recorded.json")).unwrap()).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 291);
    let dir = with_programs();
    let mut failures = Vec::new();
    for case in cases {
        let bytes = match case["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => base64(case["base64"].as_str().unwrap()),
        };
        fs::write(path(&dir, "cfg.yaml"), bytes).unwrap();
        let verdict = config::judge(&path(&dir, "cfg.yaml"), Some(&path(&dir, "bin")), &newest()).unwrap();
        let expected = case.get("ours").unwrap_or(&case["error"]).as_str().unwrap();
        let got = as_kubelet(&verdict, &dir);
        if got != expected {
            failures.push(format!("{}\n  expected {expected}\n  got      {got}", case["case"]));
        }
    }
    assert!(failures.is_empty(), "{} differ\n{}", failures.len(), failures.join("\n"));
    let otherwise: Vec<_> = cases.iter().filter(|case| case.get("ours").is_some()).collect();
    assert_eq!(otherwise.len(), 29);
    // A base64 value, and half of a surrogate pair: refused here, taken there.
    let judged_otherwise = otherwise.iter().filter(|case| (case["error"] == "") != (case["ours"] == ""));
    assert_eq!(judged_otherwise.count(), 2);
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        buffer = buffer << 6 | u32::try_from(digit).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).unwrap());
        }
    }
    bytes
}

#[test]
fn config_validation() {
    let cases = vectors("config_validation");
    assert_eq!(cases.len(), 18);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let mut provider = json!({
            "name": case["providerNames"][0],
            "matchImages": case["matchImages"][0],
            "apiVersion": case["apiVersions"][0],
            "defaultCacheDuration": "1m",
        });
        // The fields that the vectors leave out are in the names.
        if name.starts_with("no default cache duration") {
            provider.as_object_mut().unwrap().remove("defaultCacheDuration");
        }
        if let Some(attributes) = token_attributes(name) {
            provider["tokenAttributes"] = attributes;
        }
        let config = json!({
            "kind": "CredentialProviderConfig", "apiVersion": "kubelet.config.k8s.io/v1", "providers": [provider],
        });
        let expected: Vec<_> = case["error"].as_str().into_iter().collect();
        assert_eq!(errors(&config.to_string(), "1.36"), expected, "{name}");
    }
}

fn token_attributes(name: &str) -> Option<Value> {
    let mut attributes = json!({ "serviceAccountTokenAudience": "audience", "cacheType": "ServiceAccount", "requireServiceAccount": true });
    let mut set = |field: &str, value: Value| attributes[field] = value;
    match name {
        name if name.contains("empty ServiceAccountTokenAudience") => set("serviceAccountTokenAudience", json!("")),
        name if name.contains("invalid CacheType") => set("cacheType", json!("invalid-cache-type")),
        name if name.starts_with("required service account annotation keys not") => {
            set("requiredServiceAccountAnnotationKeys", json!(["cantendwithadash-"]));
        }
        name if name.starts_with("optional service account annotation keys not") => {
            set("optionalServiceAccountAnnotationKeys", json!(["cantendwithadash-"]));
        }
        name if name.starts_with("duplicate optional") => {
            set("optionalServiceAccountAnnotationKeys", json!(["now-with-dashes/simple", "now-with-dashes/simple"]));
        }
        name if name.starts_with("annotation key in required and optional") => {
            set(
                "requiredServiceAccountAnnotationKeys",
                json!(["now-with-dashes/simple-1", "now-with-dashes/simple-2"]),
            );
            set(
                "optionalServiceAccountAnnotationKeys",
                json!(["now-with-dashes/simple-2", "now-with-dashes/simple-3"]),
            );
        }
        name if name.starts_with("required annotation keys set when") => {
            set("requireServiceAccount", json!(false));
            set("requiredServiceAccountAnnotationKeys", json!(["now-with-dashes/simple"]));
        }
        name if name.starts_with("valid config with") || name.starts_with("tokenAttributes set") => {}
        _ => return None,
    }
    Some(attributes)
}

/// A configuration with a provider of each name.
fn config_of(version: &str, names: &[&str]) -> String {
    let provider = |name: &&str| {
        format!("- name: {name}\n  apiVersion: {V1}\n  matchImages: [\"{name}.io\"]\n  defaultCacheDuration: 10m\n")
    };
    let providers: String = names.iter().map(provider).collect();
    format!("apiVersion: kubelet.config.k8s.io/{version}\nkind: CredentialProviderConfig\nproviders:\n{providers}")
}

#[test]
fn config_read() {
    let cases = vectors("config_read");
    assert_eq!(cases.len(), 19);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let dir = Dir::new();
        let config = path(&dir, "config");
        let write = |file: &str, text: &str| fs::write(config.join(file), text).unwrap();
        if case["directory"] == true {
            fs::create_dir(&config).unwrap();
        }
        let alpha = config_of("v1alpha1", &["test"]);
        let wrong_kind = "kind: CredentialProviderConfig";
        match name {
            "empty directory with no JSON or YAML files" => {}
            "directory with unsupported file extensions" => {
                ["config.txt", "config.md"].iter().for_each(|file| write(file, "x"));
            }
            "directory with multiple config files in lexicographic order" => {
                write("b.yaml", &config_of("v1", &["test2"]));
                write("a.yaml", &config_of("v1", &["test1"]));
            }
            "directory with mixed API versions in config files" => {
                write("1.yaml", &config_of("v1beta1", &["test-beta"]));
                write("2.yaml", &config_of("v1", &["test-v1", "test-v2"]));
            }
            "directory with duplicate provider names, throw error" => {
                write("1.yaml", &config_of("v1", &["duplicate"]));
                write("2.yaml", &config_of("v1", &["duplicate"]));
            }
            "directory with mixed supported and unsupported file extensions" => {
                write("config-001.yaml", &config_of("v1", &["test1"]));
                write("config-002.txt", "neither");
                write("config-003.json", &json_of("v1", "test2"));
            }
            "directory with one invalid config file" => {
                write("1.yaml", &config_of("v1", &["test1"]));
                write("2.yaml", &config_of("v1", &["test2"]).replace(wrong_kind, "kind: WrongKind"));
            }
            name => fs::write(
                &config,
                match name {
                    "config with 1 plugin and 1 image matcher" => alpha,
                    "config with 1 plugin and 1 image matcher (JSON!)" => json_of("v1alpha1", "test"),
                    "config with 1 plugin and a wildcard image match" => alpha.replace("test.io", "*.registry.io"),
                    "config with 1 plugin and multiple image matchers" => alpha.replace("test.io", "a.io\", \"b/c"),
                    "config with multiple providers" => config_of("v1alpha1", &["test1", "test2"]),
                    "v1beta1 config with multiple providers" => config_of("v1beta1", &["test1", "test2"]),
                    "v1 config with multiple providers" => config_of("v1", &["test1", "test2"]),
                    "config with wrong Kind" => alpha.replace(wrong_kind, "kind: WrongKind"),
                    "config with wrong apiversion" => alpha.replace("kubelet.config.k8s.io", "foobar"),
                    "config with invalid typo" => alpha + "  unknownField: x\n",
                    "v1alpha1 config with token attributes should fail" => alpha + TOKENS,
                    "v1beta1 config with token attributes should fail" => config_of("v1beta1", &["test"]) + TOKENS,
                    name => panic!("no input for {name}"),
                },
            )
            .unwrap(),
        }
        let verdict = config::judge(&config, None, &newest()).unwrap();
        if case["valid"] == true {
            assert_eq!(verdict.errors, [""; 0], "{name}");
            assert_eq!(order(&config), case["providersInOrder"], "{name}");
        } else {
            let [error] = verdict.errors.as_slice() else { panic!("{name}: {verdict:?}") };
            assert!(error.contains(case["errorContains"].as_str().unwrap()), "{name}: {error}");
        }
    }
}

fn json_of(version: &str, name: &str) -> String {
    let provider = json!({ "name": name, "matchImages": ["r.io"], "defaultCacheDuration": "1m", "apiVersion": V1 });
    json!({
        "kind": "CredentialProviderConfig",
        "apiVersion": format!("kubelet.config.k8s.io/{version}"),
        "providers": [provider],
    })
    .to_string()
}

/// The order of the providers: that in which their programs are missed in an empty directory.
fn order(config: &Path) -> Value {
    let bin = Dir::new();
    let verdict = config::judge(config, Some(bin.path()), &newest()).unwrap();
    verdict.errors.iter().map(|error| error.split('"').nth(1).unwrap()).collect()
}

#[test]
fn probe_register() {
    let cases = vectors("probe_register");
    assert_eq!(cases.len(), 22);
    for case in cases {
        let dir = with_programs();
        let name = case["case"].as_str().unwrap();
        let text = registered(name);
        fs::write(path(&dir, "cfg.yaml"), text).unwrap();
        let config = match name {
            "config missing" => path(&dir, "nocfg"),
            "config path empty" => PathBuf::new(),
            _ => path(&dir, "cfg.yaml"),
        };
        let bin = if name == "bin dir empty string" { PathBuf::new() } else { path(&dir, "bin") };
        let got = match config::judge(&config, Some(&bin), &newest()) {
            Ok(verdict) => as_kubelet(&verdict, &dir),
            Err(error) => error.to_string().replace(dir.path().to_str().unwrap(), "$DIR"),
        };
        let expected = match name {
            // On standard error, so in our words.
            "config missing" => "cannot read `$DIR/nocfg`: no such file or directory",
            _ => case["error"].as_str().unwrap_or_default(),
        };
        assert_eq!(got, expected, "{name}");
        assert_eq!(got.is_empty(), case["ok"] == true, "{name}");
    }
}

fn registered(case: &str) -> String {
    let named = |name: &str| changed("name: plugin", &format!("name: {name}"));
    let matching = |pattern: &str| changed("\"r.io\"", pattern);
    let cached = |duration: &str| changed("\"1h\"", duration);
    match case {
        "config missing" | "config path empty" | "bin dir empty string" => GOOD.to_owned(),
        "binary not executable" => named("noexec"),
        "defaultCacheDuration number" => cached("3600"),
        "defaultCacheDuration 0s" => cached("\"0s\""),
        "defaultCacheDuration '0'" => cached("\"0\""),
        "name with backslash" => named(r"'a\b'"),
        "name with dot slash windows" => named(r"'.\plugin'"),
        "duplicate yaml key" => GOOD.to_owned() + "  name: plugin\n",
        "wrong-case field" => GOOD.to_owned() + "  Args: [\"a\"]\n",
        "env empty name" => GOOD.to_owned() + "  env: [{name: \"\", value: x}]\n",
        "matchImages empty string" => matching("\"\""),
        "matchImages bad glob" => matching("\"[a.io\""),
        "matchImages bad glob2" => matching("\"a[.io\""),
        "matchImages port glob" => matching("\"r.io:*\""),
        "matchImages two ports" => matching("\"r.io:80:90\""),
        "two yaml documents" => GOOD.to_owned() + "---\nneither: read\n",
        "empty file" => String::new(),
        "providers empty" => config_of("v1", &[]).replace("providers:", "providers: []"),
        "kubelet config kind" => "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n".to_owned(),
        "tokenAttributes missing cacheType" => GOOD.to_owned() + &TOKENS.replace("    cacheType: Token\n", ""),
        case => panic!("no input for {case}"),
    }
}

#[cfg(unix)]
#[test]
fn probe_config_dir() {
    use std::os::unix::fs::symlink;

    let cases = vectors("probe_config_dir");
    assert_eq!(cases.len(), 5);
    let dir = Dir::new();
    let entries = cases[0]["files"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap());
    for (index, entry) in entries.enumerate() {
        match entry.strip_suffix("/ (directory)") {
            Some(name) => fs::create_dir(path(&dir, name)).unwrap(),
            None if entry.ends_with("json") => {
                fs::write(path(&dir, entry), json_of("v1", &format!("p{index}"))).unwrap();
            }
            None => fs::write(path(&dir, entry), config_of("v1", &[&format!("p{index}")])).unwrap(),
        }
    }
    // `.hidden.yaml`, `B.json`, `a.yml`, `b.yaml`, by their places in the list.
    assert_eq!(cases[0]["readInOrder"], json!([".hidden.yaml", "B.json", "a.yml", "b.yaml"]));
    assert_eq!(order(dir.path()), json!(["p4", "p2", "p1", "p0"]));
    let found = config::judge(dir.path(), None, &newest()).unwrap();
    let unread = format!("\"{}\": not read, for `.YAML` is not in lower case", path(&dir, "c.YAML").display());
    assert_eq!(found, Verdict { errors: vec![], warnings: vec![unread] });

    let refusal = |index: usize, name: &str| {
        let verdict = config::judge(dir.path(), None, &newest()).unwrap();
        let [error] = verdict.errors.as_slice() else { panic!("{verdict:?}") };
        assert!(error.contains(cases[index]["error"].as_str().unwrap()), "{error}");
        fs::remove_file(path(&dir, name)).unwrap();
        error.replace(dir.path().to_str().unwrap(), "$DIR")
    };
    fs::write(path(&dir, "e.yaml"), "").unwrap();
    assert_eq!(refusal(1, "e.yaml"), "error decoding config \"$DIR/e.yaml\": Object 'Kind' is missing in ''");
    symlink("nowhere", path(&dir, "f.yaml")).unwrap();
    let dangling = "unable to read file \"$DIR/f.yaml\": open $DIR/f.yaml: no such file or directory";
    assert_eq!(refusal(2, "f.yaml"), dangling);
    symlink("dir.yaml", path(&dir, "g.yaml")).unwrap();
    assert_eq!(refusal(3, "g.yaml"), "unable to read file \"$DIR/g.yaml\": read $DIR/g.yaml: is a directory");
    assert_eq!(cases[4]["file"], "two YAML documents in one file");
    fs::write(path(&dir, "h.yaml"), config_of("v1", &["p9"]) + "---\n" + &config_of("v1", &["p10"])).unwrap();
    assert_eq!(order(dir.path()), json!(["p4", "p2", "p1", "p0", "p9"]));
}

#[test]
fn probe_match_config_valid() {
    let cases = vectors("probe_match");
    assert_eq!(cases.len(), 137);
    for case in cases {
        let config = changed("\"r.io\"", &case["pattern"].to_string());
        let prefix = format!("providers.matchImages: Invalid value: {}: match image is invalid: ", case["pattern"]);
        let errors = errors(&config, "1.36");
        assert_eq!(errors.is_empty(), case["configValid"] == true, "{case}");
        assert!(errors.iter().all(|error| error.starts_with(&prefix)), "{case}: {errors:?}");
        if let (Some(parse), [error]) = (case["parseError"].as_str(), errors.as_slice()) {
            assert!(error.ends_with(parse), "{case}: {error}");
        }
    }
}

#[test]
fn every_sample_is_judged_at_every_version() {
    let version_of = |text: &str| -> KubeletVersion { text.parse().unwrap() };
    let known = |file: &str, version: KubeletVersion| match file {
        // Ignored, then unknown, then without `cacheType`, then known.
        "with-token-attributes.yaml" => version < version_of("1.32") || version >= version_of("1.34"),
        "conf.d" => version >= version_of("1.34"),
        _ => true,
    };
    let files = [
        "aks-linux.yaml",
        "conf.d",
        "eks-config.json",
        "merged-eks-expected.json",
        "rke2-windows-provider.yaml",
        "v1beta1-old.yaml",
        "with-token-attributes.yaml",
    ];
    for file in files {
        for version in KubeletVersion::all() {
            let target = Target::new(version, System::Linux);
            let verdict = config::judge(&data("samples").join(file), None, &target).unwrap();
            assert_eq!(verdict.is_valid(), known(file, version), "{file} at {version}: {verdict:?}");
        }
    }
}

/// What changed from version to version; all else is judged alike.
#[test]
fn each_version_has_its_own_rules() {
    let dir = with_programs();
    let nested = path(&dir, "conf.d");
    fs::create_dir(&nested).unwrap();
    fs::write(nested.join("a.yaml"), GOOD).unwrap();
    let unknown = GOOD.to_owned() + "  extra: 1\n";
    let twice = GOOD.to_owned() + "- " + GOOD.split_once("- ").unwrap().1;
    let tokens = GOOD.to_owned() + TOKENS;
    let no_cache_type = tokens.replace("    cacheType: Token\n", "");
    let name = "\"plugin\"";
    let strict = |field: &str| format!("error decoding config \"-\": strict decoding error: unknown field \"{field}\"");
    for version in KubeletVersion::all() {
        let minor: u8 = version.to_string()[2..].parse().unwrap();
        let mut target = Target::new(version, System::Linux);
        let quoted = |error: String| if minor < 34 { error.replace("\"-\"", "-") } else { error };
        let judged = |text: &str, target: &Target| config::judge_text(text, target).errors.join("|");
        assert_eq!(judged(GOOD, &target), "");

        let ignored = config::judge_text(&unknown, &target);
        let expected = if minor < 32 { String::new() } else { quoted(strict("providers[0].extra")) };
        assert_eq!(ignored.errors.join("|"), expected, "{version}");
        assert_eq!(ignored.warnings.len(), usize::from(minor < 32), "{version}");

        let expected = match minor {
            ..33 => format!("Credential provider {name} was registered twice"),
            33 => format!("providers.name: Duplicate value: {name}"),
            _ => format!("duplicate provider name {name} found in configuration file(s)"),
        };
        assert_eq!(judged(&twice, &target), expected, "{version}");

        let forbidden = "providers.tokenAttributes: Forbidden: tokenAttributes is not supported when \
                         KubeletServiceAccountTokenForCredentialProviders feature gate is disabled";
        let expected = match minor {
            ..32 => String::new(),
            32 => quoted(strict("providers[0].tokenAttributes")),
            33 => quoted(strict("providers[0].tokenAttributes.cacheType")),
            _ => String::new(),
        };
        assert_eq!(judged(&tokens, &target), expected, "{version}");
        let required = "providers.tokenAttributes.cacheType: Required value: cacheType is required to be set when \
                        tokenAttributes is specified. Supported values are: ServiceAccount, Token";
        let expected = match minor {
            ..32 => String::new(),
            32 => quoted(strict("providers[0].tokenAttributes")),
            33 => forbidden.to_owned(),
            _ => required.to_owned(),
        };
        assert_eq!(judged(&no_cache_type, &target), expected, "{version}");
        target.service_account_tokens = minor == 33;
        let expected = match minor {
            ..32 | 33 => String::new(),
            32 => quoted(strict("providers[0].tokenAttributes")),
            _ => format!("{forbidden}|{required}"),
        };
        assert_eq!(judged(&no_cache_type, &target), expected, "{version}");

        let judged = config::judge(&nested, None, &target).unwrap().errors.join("|");
        let expected = format!(
            "unable to read external registry credential provider configuration from \"{0}\": read {0}: is a directory",
            nested.display()
        );
        assert_eq!(judged, if minor < 34 { &expected } else { "" }, "{version}");
    }
}

#[cfg(unix)]
#[test]
fn programs_are_looked_for_as_each_version_does() {
    let dir = with_programs();
    let bin = path(&dir, "bin");
    fs::create_dir(bin.join("folder")).unwrap();
    fs::write(bin.join("windows.exe"), "").unwrap();
    let judged = |name: &str, version: &str, system: System| {
        fs::write(path(&dir, "cfg.yaml"), changed("name: plugin", &format!("name: {name}"))).unwrap();
        let target = Target::new(version.parse().unwrap(), system);
        let verdict = config::judge(&path(&dir, "cfg.yaml"), Some(&bin), &target).unwrap();
        [verdict.errors.join("|"), verdict.warnings.join("|")].map(|text| text.replace(bin.to_str().unwrap(), "$BIN"))
    };
    let not_run = |name: &str| {
        let reason = "is no executable file; this kubelet starts all the same, and every pull goes without it";
        [String::new(), format!("`$BIN/{name}` {reason}")]
    };
    let refused = |error: &str| [error.to_owned(), String::new()];
    let inspecting = "error inspecting binary executable : exec: \"$BIN";
    for (name, version, expected) in [
        ("plugin", "1.29", refused("")),
        ("plugin", "1.30", refused("")),
        ("absent", "1.29", refused("plugin binary executable $BIN/absent did not exist")),
        ("absent", "1.30", refused("plugin binary executable  did not exist (provider \"absent\")")),
        ("folder", "1.29", not_run("folder")),
        ("folder", "1.30", refused(&format!("{inspecting}/folder\": is a directory (provider \"folder\")"))),
        ("noexec", "1.29", not_run("noexec")),
        ("noexec", "1.30", refused(&format!("{inspecting}/noexec\": permission denied (provider \"noexec\")"))),
    ] {
        assert_eq!(judged(name, version, System::Linux), expected, "{name} at {version}");
    }
    let windows = |version: &str, name: &str| judged(name, version, System::Windows);
    assert_eq!(windows("1.30", "windows"), refused(""));
    assert_eq!(windows("1.30", "windows.exe"), refused(""));
    assert_eq!(windows("1.29", "windows.exe"), refused(""));
    assert_eq!(windows("1.29", "windows")[0], "plugin binary executable $BIN/windows did not exist");
    assert_eq!(
        windows("1.29", "plugin"),
        [
            "",
            "name \"plugin\": a Windows kubelet before 1.30 looks for exactly this file, and runs nothing without extension; \
             write \"plugin.exe\""
        ]
    );
    assert_eq!(windows("1.30", "plugin")[0], "plugin binary executable  did not exist (provider \"plugin\")");
}

#[test]
fn silent_mistakes_in_patterns_are_told() {
    let alone = |pattern: &str, why: &str| (pattern.to_owned(), vec![format!("matchImages \"{pattern}\": {why}")]);
    let no_hub = "matchImages names Docker Hub, but not as `docker.io`, which is what the kubelet calls it".to_owned();
    let hub = |pattern: &str| (pattern.to_owned(), vec![no_hub.clone()]);
    let mut index = alone("index.docker.io", "the kubelet never asks for this name; write `docker.io`");
    index.1.push(no_hub.clone());
    let mut url = alone("https://index.docker.io/v1/", "the scheme makes it match nothing; write `index.docker.io/v1`");
    url.1.push(no_hub.clone());
    let cases = [
        alone(
            "r.io/*",
            "`*` in a path is no wildcard, and matches nothing; a path covers all that starts with it, so leave `*` out",
        ),
        alone("https://r.io", "the scheme makes it match nothing; write `r.io`"),
        url,
        index,
        hub("registry-1.docker.io"),
        hub("*.docker.io"),
        alone("R.io", "letter case counts: write the host in lower case"),
        alone("r.io/Team", "has an upper-case letter in its path, and matches nothing"),
        alone("[::1]", "an address in brackets without a port matches nothing"),
        alone("r.io/a?b", "`?` is no wildcard: it and all that follows is dropped"),
        alone("**.r.io", "`**` is the same as `*`, which stands for one part of a host name"),
        alone("*", "`*` matches only hosts without a dot, such as `localhost`"),
        alone("r.io/a:1", "has a tag or digest, and matches nothing; a pattern is for all of them"),
        alone("r.io/a@sha256:0", "has a tag or digest, and matches nothing; a pattern is for all of them"),
        alone("user@r.io", "what is before `@` is dropped"),
        alone("", "names no registry, and matches nothing"),
        alone("busybox", "names no registry: images without one are on Docker Hub, so write `docker.io/` before it"),
    ];
    for (pattern, expected) in cases {
        assert_eq!(warnings(&changed("r.io", &pattern), "1.36"), expected, "{pattern}");
    }
    for pattern in ["docker.io", "*.io", "*.azurecr.io", "r.io:5000/team", "localhost", "[::1]:5000", "registry:5000"] {
        assert_eq!(warnings(&changed("r.io", pattern), "1.36"), [""; 0], "{pattern}");
    }
    assert_eq!(warnings(&changed("[\"r.io\"]", "[docker.io, registry-1.docker.io]"), "1.36"), [""; 0]);
    assert_eq!(warnings(&changed("[\"r.io\"]", "[r.io, r.io]"), "1.36"), ["matchImages \"r.io\": stands there twice"]);
    for pattern in ["r[a-c].io", "[127.0.0.1]", "r.io:80:90"] {
        let newer = format!("matchImages \"{pattern}\": a kubelet built with a newer Go refuses to start with it");
        assert_eq!(warnings(&changed("r.io", pattern), "1.35"), [newer]);
        assert_eq!(errors(&changed("r.io", pattern), "1.36").len(), 1, "{pattern}");
    }
}

#[test]
fn other_silent_mistakes_are_told() {
    for duration in ["1h", "3600s", "0"] {
        assert_eq!(warnings(&changed("\"1h\"", &format!("\"{duration}\"")), "1.36"), [""; 0], "{duration}");
    }
    let long = "defaultCacheDuration \"12h0m0s\": where the plugin does not say how long, a wrong or revoked credential stays \
                in use that long";
    assert_eq!(warnings(&changed("1h", "12h"), "1.36"), [long]);
    let second = "\"-\": second YAML document; the kubelet reads only the first one";
    assert_eq!(warnings(&(GOOD.to_owned() + "---\n[\n"), "1.36"), [second]);
    assert_eq!(warnings(&format!("---\n{GOOD}...\n---\n# end\n"), "1.36"), [""; 0]);
    let silent = |what: &str| format!("\"-\": {what}: ignored; a kubelet from 1.32 on refuses it");
    let wrong_case = silent("unknown field \"providers[0].Args\"");
    assert_eq!(warnings(&(GOOD.to_owned() + "  Args: [a]\n"), "1.31"), [wrong_case]);
    let repeated = silent("yaml: unmarshal errors:\n  line 8: key \"name\" already set in map");
    assert_eq!(warnings(&(GOOD.to_owned() + "  name: plugin\n"), "1.31"), [repeated]);
    let last_wins = GOOD.to_owned() + "  matchImages: [\"r io\"]\n";
    assert_eq!(errors(&last_wins, "1.31").len(), 1);
    for (bytes, form) in [
        ([b"\xef\xbb\xbf", GOOD.as_bytes()].concat(), "UTF-8 with a byte order mark"),
        ([b"\xff\xfe".to_vec(), GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat(), "UTF-16"),
    ] {
        let dir = Dir::new();
        fs::write(path(&dir, "c"), bytes).unwrap();
        let verdict = config::judge(&path(&dir, "c"), None, &newest()).unwrap();
        let warning = format!(
            "\"{}\": {form}; the kubelet reads it, other tools do not; write UTF-8 without the mark",
            path(&dir, "c").display()
        );
        assert_eq!(verdict, Verdict { errors: vec![], warnings: vec![warning] });
    }
}

#[test]
fn several_providers_are_told_apart() {
    let text = config_of("v1", &["a", "b"]).replace("\"b.io\"", "");
    let required = "providers.matchImages: Required value: at least 1 item in matchImages is required (provider \"b\")";
    assert_eq!(errors(&text, "1.36"), [required]);
    let dir = Dir::new();
    fs::write(path(&dir, "1.yaml"), config_of("v1", &["a"])).unwrap();
    fs::write(path(&dir, "2.yaml"), config_of("v1", &["b"]).replace("\"b.io\"", "")).unwrap();
    let verdict = config::judge(dir.path(), None, &newest()).unwrap();
    let place = format!("(provider \"b\" in \"{}\")", path(&dir, "2.yaml").display());
    assert_eq!(verdict.errors, [required.replace("(provider \"b\")", &place)]);
}

fn validate(node: &Node, arguments: &[&str]) -> Run {
    node.run(&[&["config", "validate"], arguments].concat(), "")
}

#[test]
fn validate_prints_its_verdict() {
    let node = Node::bare();
    let file = node.dir().join("c.yaml");
    let name = file.to_str().unwrap();
    fs::write(&file, GOOD).unwrap();
    assert_eq!(validate(&node, &[name]), Run::new(0, "kubelet 1.36 takes it\n", ""));
    let json = "{\n  \"valid\": true,\n  \"errors\": [],\n  \"warnings\": []\n}\n";
    assert_eq!(validate(&node, &[name, "--output", "json"]), Run::new(0, json, ""));

    fs::write(&file, changed("r.io", "r.io/*").replace("\"1h\"", "\"-1s\"")).unwrap();
    let error = "providers.defaultCacheDuration: Invalid value: \"-1s\": must be greater than or equal to 0";
    let warning = "matchImages \"r.io/*\": `*` in a path is no wildcard, and matches nothing; a path covers all that starts \
                   with it, so leave `*` out";
    let text = format!("error: {error}\nwarning: {warning}\nkubelet 1.26 refuses it\n");
    assert_eq!(validate(&node, &[name, "--kubelet-version", "v1.26.3"]), Run::new(1, &text, ""));
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let json = format!(
        "{{\n  \"valid\": false,\n  \"errors\": [\n    {}\n  ],\n  \"warnings\": [\n    {}\n  ]\n}}\n",
        quoted(error),
        quoted(warning)
    );
    assert_eq!(validate(&node, &[name, "--output", "json"]), Run::new(1, &json, ""));

    fs::write(&file, GOOD.to_owned() + "  name: plugin\n").unwrap();
    let text = format!(
        "error: error decoding config \"{name}\": strict decoding error: yaml: unmarshal errors: line 8: key \"name\" already \
         set in map\nkubelet 1.36 refuses it\n"
    );
    assert_eq!(validate(&node, &[name]), Run::new(1, &text, ""));

    fs::write(&file, GOOD.to_owned() + &TOKENS.replace("    cacheType: Token\n", "")).unwrap();
    let gate = "KubeletServiceAccountTokenForCredentialProviders=true";
    let arguments = [name, "--kubelet-version", "1.33", "--feature-gates", &format!("Other=false,{gate}")];
    assert_eq!(validate(&node, &arguments), Run::new(0, "kubelet 1.33 takes it\n", ""));
    assert_eq!(validate(&node, &arguments[..3]).code, 1);
}

#[test]
fn what_cannot_be_read_is_a_failure() {
    let node = Node::bare();
    let absent = node.dir().join("absent");
    let absent = absent.to_str().unwrap();
    let error = format!("error: cannot read `{absent}`: no such file or directory\n");
    assert_eq!(validate(&node, &[absent]), Run::new(1, "", &error));
    assert_eq!(validate(&node, &[""]).code, 2);
    let large = node.dir().join("large.yaml");
    fs::write(&large, " ".repeat(1024 * 1024 + 1)).unwrap();
    let error = format!("error: cannot read `{}`: larger than 1 MiB\n", large.display());
    assert_eq!(validate(&node, &[large.to_str().unwrap(), "--output", "json"]), Run::new(1, "", &error));
    assert_eq!(validate(&node, &[absent, "--kubelet-version", "1.25"]).code, 2);
    assert_eq!(validate(&node, &[absent, "--feature-gates", "x"]).code, 2);
}

#[test]
fn what_grows_without_bound_is_refused() {
    let nested = format!("{GOOD}x: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(errors(&nested, "1.36").len(), 1);
    let json = format!("{{\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(errors(&json, "1.36").len(), 1);
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for level in 1..40 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1);
    }
    assert_eq!(errors(&bomb, "1.36"), ["error decoding config \"-\": yaml: document contains excessive aliasing"]);
    let repeated = GOOD.to_owned() + &"  name: a\n".repeat(1000);
    assert!(errors(&repeated, "1.36")[0].len() < 8000);
}

const SCOPES: [&str; 6] =
    ["docker.io", "r.test/team/app", "r.test/team", "r.test:5000", "*.mirror.test", "[fd00::1]:5000/a"];

#[test]
fn generate_writes_what_a_kubelet_needs() {
    let node = Node::with(&SCOPES);
    let store = node.store().display().to_string();
    let expected = format!(
        r#"apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: "keyring-credential-provider"
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages:
  - "*.mirror.test"
  - "[fd00::1]:5000"
  - "docker.io"
  - "r.test"
  - "r.test:5000"
  - "registry-1.docker.io"
  defaultCacheDuration: "0s"
  args:
  - "get-credentials"
  env:
  - name: KEYRING_CREDENTIAL_PROVIDER_STORE
    value: "{store}"
"#
    );
    assert_eq!(node.run(&["config", "generate"], ""), Run::new(0, &expected, ""));
    let json: Value = serde_json::from_str(&node.run(&["config", "generate", "--output", "json"], "").done()).unwrap();
    assert_eq!(
        json,
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [{
                "name": "keyring-credential-provider",
                "apiVersion": V1,
                "matchImages":
                    ["*.mirror.test", "[fd00::1]:5000", "docker.io", "r.test", "r.test:5000", "registry-1.docker.io"],
                "defaultCacheDuration": "0s",
                "args": ["get-credentials"],
                "env": [{ "name": "KEYRING_CREDENTIAL_PROVIDER_STORE", "value": store }],
            }],
        })
    );
}

#[test]
fn what_generate_writes_passes_validate_at_every_version() {
    let node = Node::with(&SCOPES);
    let file = node.dir().join("c.yaml");
    for version in KubeletVersion::all() {
        for (form, system) in [("text", "linux"), ("json", "linux"), ("text", "windows"), ("json", "windows")] {
            let target = ["--kubelet-version", &version.to_string(), "--os", system];
            let written = node.run(&[&["config", "generate", "--output", form], &target[..]].concat(), "").done();
            let has_extension = written.contains("keyring-credential-provider.exe\"");
            let needs_extension = system == "windows" && version < "1.30".parse().unwrap();
            assert_eq!(has_extension, needs_extension, "{version} {system}");
            fs::write(&file, written).unwrap();
            let run = validate(&node, &[&[file.to_str().unwrap()], &target[..]].concat());
            assert_eq!(run, Run::new(0, &format!("kubelet {version} takes it\n"), ""), "{version} {system} {form}");
        }
    }
}

#[test]
fn a_generated_name_is_one_that_the_kubelet_takes() {
    let node = Node::with(&["r.test"]);
    let run = node.run(&["config", "generate", "--name", "a/b"], "");
    let error = "error: the kubelet would refuse it: providers.name: Invalid value: \"a/b\": provider name cannot contain '/'\n";
    assert_eq!(run, Run::new(2, "", error));
    let odd = "q\"\\\u{1f511}\u{202e}: #";
    let odd = &odd.replace([' ', '/'], "");
    let written = node.run(&["config", "generate", "--name", odd], "").done();
    let file = node.dir().join("c.yaml");
    fs::write(&file, written).unwrap();
    let bin = Dir::new();
    let verdict = config::judge(&file, Some(bin.path()), &newest()).unwrap();
    let expected = "plugin binary executable  did not exist (provider \"q\\\"\\\\\u{1f511}\\u202e:#\")";
    assert_eq!(verdict.errors, [expected]);
}

#[test]
fn an_empty_store_has_no_configuration() {
    let node = Node::new();
    let error = "error: nothing is stored, and a kubelet refuses a provider without `matchImages`\n\
                 hint: store a credential with `keyring-credential-provider login`\n";
    assert_eq!(node.run(&["config", "generate"], ""), Run::new(3, "", error));
    assert_eq!(Node::bare().run(&["config", "generate"], "").code, 4);
}

#[test]
fn generate_names_the_registries_that_mirrors_stand_for() {
    let node = Node::with(&["mirror.test:5000"]);
    let file = node.dir().join("mirrors.yaml");
    let rules =
        "mirrors:\n- source: docker.io\n  hosts: [mirror.test:5000]\n- source: \"*\"\n  hosts: [mirror.test:5000]\n";
    let head = "apiVersion: keyring-credential-provider/v1\nkind: Credentials\n";
    fs::write(&file, format!("{head}{rules}")).unwrap();
    node.run(&["apply", "-f", file.to_str().unwrap()], "").done();
    let json: Value = serde_json::from_str(&node.run(&["config", "generate", "--output", "json"], "").done()).unwrap();
    let expected = json!(["docker.io", "mirror.test:5000", "registry-1.docker.io"]);
    assert_eq!(json["providers"][0]["matchImages"], expected);
}
