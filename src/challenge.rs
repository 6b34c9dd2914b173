//! How a registry wants to be logged in to: the `WWW-Authenticate` headers of a 401.
//!
//! Source of the rules: RFC 9110 §11.6.1, distribution `docs/spec/auth/token.md`, containerd `core/remotes/docker/auth/parse.go`,
//! which takes Bearer before Digest before Basic.

/// The way that containerd takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from the server at `realm`.
    Bearer(Bearer),
    /// User name and password with each request.
    Basic,
    /// Something that containerd does not do.
    Unsupported,
}

/// What a token is asked for with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// URL of the token server.
    pub(crate) realm: String,
    /// Name of the registry at the token server.
    pub(crate) service: Option<String>,
    /// What the registry would let in.
    pub(crate) scope: Option<String>,
    /// Why the token that was sent is not enough.
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// Chooses among all headers of an answer; `None` when there is no challenge.
    pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<(String, Vec<(String, String)>)> = headers.flat_map(parse).collect();
        let find = |scheme: &str| all.iter().find(|(known, _)| known == scheme);
        if let Some((_, parameters)) = find("bearer") {
            let get = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            return Some(Self::Bearer(Bearer {
                realm: get("realm").unwrap_or_default(),
                service: get("service"),
                scope: get("scope"),
                error: get("error"),
            }));
        }
        if find("basic").is_some() { Some(Self::Basic) } else { (!all.is_empty()).then_some(Self::Unsupported) }
    }

    /// Returns the name of the scheme.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic => "Basic",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Splits one header into its challenges: a scheme in lower case and its parameters, names in lower case.
fn parse(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if word.is_empty() {
            return challenges;
        }
        let after = tail.trim_start_matches([' ', '\t']);
        let value = after.strip_prefix('=').filter(|_| !challenges.is_empty());
        match (value, challenges.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, tail) = parameter(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_ascii_lowercase(), value));
                rest = tail;
            }
            _ => {
                challenges.push((word.to_ascii_lowercase(), Vec::new()));
                rest = tail;
                // The form with one value and no names, `Negotiate abc=`, has nothing of use here.
                if !tail.is_empty() && !tail.starts_with([' ', '\t', ',']) {
                    return challenges;
                }
            }
        }
    }
}

/// Takes a token or a quoted text off the front.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if is_escaped => {
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(headers: &[&str]) -> Option<Challenge> {
        Challenge::choose(headers.iter().copied())
    }

    #[test]
    fn bearer_comes_before_basic_wherever_it_stands() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer(Bearer {
            realm: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
            error: None,
        });
        for headers in [&[hub][..], &["Basic realm=x", hub], &[&format!("Basic realm=\"a,b\", {hub}")]] {
            assert_eq!(choose(headers), Some(expected.clone()), "{headers:?}");
        }
        assert_eq!(choose(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(choose(&["BASIC"]), Some(Challenge::Basic));
        assert_eq!(choose(&["Negotiate abc=", "Digest realm=\"x\""]), Some(Challenge::Unsupported));
        assert_eq!(choose(&[""]), None);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn quotes_escapes_and_blanks_are_those_of_http() {
        let Some(Challenge::Bearer(bearer)) =
            choose(&[r#"bearer REALM = "https://t.test/\"x\"" , error="invalid_token", service=plain"#])
        else {
            panic!("no bearer challenge")
        };
        assert_eq!(bearer.realm, r#"https://t.test/"x""#);
        assert_eq!((bearer.error.as_deref(), bearer.service.as_deref()), (Some("invalid_token"), Some("plain")));
    }

    /// Azure's own parser runs past the end of an unquoted last parameter.
    #[test]
    fn peer_bug_a_challenge_is_read_to_its_end() {
        let Some(Challenge::Bearer(bearer)) = choose(&["Bearer realm=https://t.test/t,service=team.test"]) else {
            panic!("no bearer challenge")
        };
        assert_eq!((bearer.realm.as_str(), bearer.service.as_deref()), ("https://t.test/t", Some("team.test")));
    }

    #[test]
    fn what_is_cut_off_or_nonsense_ends() {
        for header in
            ["Bearer realm=\"", "Bearer realm", "Bearer =", "=", "\"", "Bearer realm=\"\\", ",,,", "Bearer\u{e4}"]
        {
            let _ = choose(&[header]);
        }
    }
}
