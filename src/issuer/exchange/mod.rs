//! The `exchange` issuer: one request that a recipe describes, for registries that give a credential for a key or for a token.
//!
//! A recipe (`recipe.rs`) names settings by the places in its texts, so that `check` knows which the entry must have. Whom to ask
//! comes from the entry and the recipe alone; a registry with a wildcard in its name is nobody to ask.

mod recipe;
mod template;

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::{self, Http, Request, Response};
use super::json::{self, Document};
use super::pod_token::Shown;
use super::settings::Settings;
use super::token::{self, Lifetime};
use super::{IssuerError, Issuing, Needs};
use crate::credential::Credential;
use crate::secret::Secret;
use crate::time;
use recipe::{Method, ProofKind, Recipe};
use template::Place;

pub(super) const NAME: &str = "exchange";

/// What an entry may set with every recipe.
const SETTINGS: [&str; 3] = ["recipe", "url", "username"];

/// Filled by the program and not by settings.
const FILLED: [&str; 6] = ["secret", "user", "registry", "days", "until", "unique"];

const CAP: Duration = Duration::from_secs(6 * 60 * 60);
const DAY: u64 = 24 * 60 * 60;

fn recipe(settings: Settings<'_>) -> Result<Recipe, IssuerError> {
    let [text] = settings.required(NAME, ["recipe"])?;
    Recipe::of(text).map_err(|reason| IssuerError::Setting { name: "recipe", reason })
}

pub(super) fn needs(settings: Settings<'_>) -> Needs {
    let Ok(recipe) = recipe(settings) else { return Needs { user: false, secret: false } };
    Needs { user: takes_user(&recipe), secret: recipe.proof == ProofKind::Key }
}

fn takes_user(recipe: &Recipe) -> bool {
    let is_user = |text: &&str| template::places(text).iter().any(|place| place.name == "user");
    recipe.basic || recipe.texts().iter().any(is_user)
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let settings = Settings(&credential.settings);
    let recipe = recipe(settings)?;
    let texts = recipe.texts();
    let places: Vec<Place<'_>> = texts.iter().flat_map(|text| template::places(text)).collect();
    let own = places.iter().filter(|place| !FILLED.contains(&place.name));
    let takes_time = recipe.lifetime.as_ref().map(|_| "lifetime");
    let names: Vec<&str> = SETTINGS.into_iter().chain(takes_time).chain(own.clone().map(|place| place.name)).collect();
    settings.check(NAME, &unique_names(names), true)?;
    let is_missing =
        |place: &&Place<'_>| place.name != "lifetime" && place.default.is_none() && settings.get(place.name).is_none();
    let missing = unique_names(own.filter(is_missing).map(|place| place.name).collect());
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        return Err(IssuerError::MissingSettings { issuer: NAME, names: missing.join(", ") });
    }
    lifetime(&recipe, settings)?;
    endpoint(&recipe, credential)?;
    let (has_user, has_secret) = (!credential.username.is_empty(), !credential.secret.expose().is_empty());
    if has_user != takes_user(&recipe) {
        return Err(if has_user {
            IssuerError::TakesNo { issuer: NAME, what: "user" }
        } else {
            IssuerError::Needs { issuer: NAME, what: "a user" }
        });
    }
    if recipe.proof == ProofKind::Key && !has_secret {
        return Err(IssuerError::Needs { issuer: NAME, what: "a password, which is the key" });
    }
    text(&credential.secret).map(drop)
}

fn unique_names(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}

fn text(secret: &Secret) -> Result<&str, IssuerError> {
    let text = std::str::from_utf8(secret.expose()).ok().filter(|text| !text.contains(char::is_control));
    text.ok_or(IssuerError::Needs { issuer: NAME, what: "a secret of printable characters" })
}

fn lifetime(recipe: &Recipe, settings: Settings<'_>) -> Result<Duration, IssuerError> {
    let Some(text) = settings.get("lifetime") else { return Ok(recipe.default_lifetime()) };
    let range = Duration::from_secs(5 * 60)..=Duration::from_secs(30 * DAY);
    time::parse_duration(text).filter(|lifetime| range.contains(lifetime)).ok_or_else(|| IssuerError::Setting {
        name: "lifetime",
        reason: "is no duration such as `2h`, from five minutes to 30 days".to_owned(),
    })
}

/// Whom to ask: what the entry says, or the recipe, or the registry itself where it has a name.
fn endpoint(recipe: &Recipe, credential: &Credential) -> Result<Endpoint, IssuerError> {
    let settings = Settings(&credential.settings);
    let wrong = |reason: &str| IssuerError::Setting { name: "url", reason: reason.to_owned() };
    if let Some(endpoint) = settings.endpoint("url")? {
        return Ok(endpoint);
    }
    let registry = credential.scope.domain();
    let url = match recipe.url.as_deref() {
        Some("https://{registry}") if !registry.contains('*') => format!("https://{registry}"),
        Some(url) if !url.contains('{') => url.to_owned(),
        Some(_) | None => return Err(IssuerError::MissingSettings { issuer: NAME, names: "`url`".to_owned() }),
    };
    Endpoint::parse(&url).map_err(wrong)
}

/// What is filled into the places.
struct Values<'a> {
    settings: Settings<'a>,
    user: &'a str,
    secret: Secret,
    registry: String,
    lifetime: Duration,
}

impl Values<'_> {
    /// Returns a value, empty when there is none.
    fn get<'v>(&'v self, place: Place<'_>, unique: &'v str) -> Cow<'v, str> {
        match place.name {
            "secret" => Cow::Borrowed(text(&self.secret).unwrap_or_default()),
            "user" => Cow::Borrowed(self.user),
            "registry" => Cow::Borrowed(&self.registry),
            "lifetime" => Cow::Owned(self.lifetime.as_secs().to_string()),
            "days" => Cow::Owned(self.lifetime.as_secs().div_ceil(DAY).to_string()),
            "until" => {
                let end = time::now().saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(0));
                Cow::Owned(jiff::Timestamp::from_second(end).unwrap_or_default().to_string())
            }
            "unique" => Cow::Borrowed(unique),
            name => match self.settings.get(name) {
                Some(value) => Cow::Borrowed(value),
                None => Cow::Owned(place.default.unwrap_or_default().to_owned()),
            },
        }
    }
}

pub(super) fn shown(credential: &Credential) -> Result<Option<Shown>, IssuerError> {
    Ok(match recipe(Settings(&credential.settings))?.proof {
        ProofKind::Key => None,
        ProofKind::Token => token::is_of_pod(credential).then(Shown::to_any),
    })
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let settings = Settings(&credential.settings);
    let recipe = recipe(settings)?;
    let base = endpoint(&recipe, credential)?;
    let scope = credential.scope.domain();
    let registry = if scope.contains('*') { issuing.registry } else { scope }.to_owned();
    let (secret, service_account) = match recipe.proof {
        ProofKind::Key => (credential.secret.clone(), None),
        ProofKind::Token => token::subject(credential, issuing)?,
    };
    let lifetime = lifetime(&recipe, settings)?;
    let depends_on = vec![registry.clone()];
    let values = Values { settings, user: &credential.username, secret, registry, lifetime };
    let path = template::fill(&recipe.path, &|place| values.get(place, ""), &|text| http::encode(text.as_bytes()));
    let endpoint = base.join(&path);
    Ok(Plan {
        issuer: NAME,
        endpoint: endpoint.to_string(),
        service_account,
        depends_on,
        cap: CAP,
        mint: Box::new(move |http| mint(&recipe, &values, &endpoint, http)),
    })
}

fn mint(recipe: &Recipe, values: &Values<'_>, endpoint: &Endpoint, http: &Http) -> Result<Minted, IssuerError> {
    let unique = http::unique();
    let value = |place: Place<'_>| values.get(place, &unique);
    let plain = |text: &str| Zeroizing::new(text.to_owned());
    let fill = |text: &str| template::fill(text, &value, &plain);
    let response = http.send(&request(recipe, values, endpoint, &fill))?.ok()?;
    let document: Document = response.json()?;
    let pointer = |text: &str| template::fill(text, &value, &|text| Zeroizing::new(json::escape(text)));
    let find = |text: &str| {
        let place = pointer(text);
        document.text(&place).ok_or_else(|| response.unexpected("no text where the recipe says"))
    };
    let answer = &recipe.answer;
    let (username, password) = match (&answer.pair, &answer.username, &answer.password) {
        (Some(pair), _, _) => split(find(pair)?, &response)?,
        (None, username, password) => {
            let username = match (values.settings.get("username"), username.as_deref()) {
                (Some(own), _) => own.to_owned(),
                (None, Some(place)) if place.starts_with('/') => {
                    let missing = || response.unexpected("no user where the recipe says; set `username`");
                    document.text(&pointer(place)).ok_or_else(missing)?.to_owned()
                }
                (None, text) => fill(text.unwrap_or_default()).to_string(),
            };
            (username, Zeroizing::new(find(password.as_deref().unwrap_or_default())?.as_bytes().to_vec()))
        }
    };
    let told = match answer.expires.as_deref() {
        Some(place) if place.starts_with('/') => document.lifetime(&pointer(place), answer.expires_as, response.date),
        Some(text) => fill(text).parse().ok().map(Duration::from_secs),
        None => None,
    };
    let lifetimes = vec![told, Lifetime(None).or_claim(&password, response.date)];
    Ok(Minted { username, password: Secret::new(password), lifetimes })
}

fn request<'a>(
    recipe: &'a Recipe,
    values: &'a Values<'_>,
    endpoint: &'a Endpoint,
    fill: &dyn Fn(&str) -> Zeroizing<String>,
) -> Request<'a> {
    let mut request = match (&recipe.form, &recipe.json) {
        (Some(form), _) => {
            let filled: Vec<_> = form.iter().map(|(name, text)| (name.as_str(), fill(text))).collect();
            let fields = filled.iter().filter(|(_, value)| !value.is_empty());
            let fields: Vec<_> = fields.map(|(name, value)| (*name, value.as_bytes())).collect();
            Request::form(endpoint, &fields)
        }
        (None, Some(json)) => Request::json(endpoint, &Document::from(fill_json(json, fill))),
        (None, None) => Request::empty(endpoint),
    };
    request = request.method_of(match recipe.method {
        Method::Get => "GET",
        Method::Options => "OPTIONS",
        Method::Post => "POST",
    });
    request = request.header("accept", "application/json");
    for (name, text) in &recipe.headers {
        let value = fill(text);
        if !value.is_empty() {
            request = request.header(name, value.as_str());
        }
    }
    if recipe.basic {
        request = request.basic(values.user, values.secret.expose());
    }
    request.hiding(values.secret.expose())
}

/// Fills the texts of a document. A field that comes out empty is left out; a text that is a number by itself becomes one.
fn fill_json(value: &Value, fill: &dyn Fn(&str) -> Zeroizing<String>) -> Value {
    match value {
        Value::String(text) => {
            let filled = fill(text);
            match (text.as_str(), filled.parse::<u64>()) {
                ("{lifetime}" | "{days}", Ok(number)) => number.into(),
                _ => Value::String(filled.to_string()),
            }
        }
        Value::Array(items) => items.iter().map(|item| fill_json(item, fill)).collect(),
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, value)| (name.clone(), fill_json(value, fill)));
            filled.filter(|(_, value)| value.as_str() != Some("")).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Takes `user:password` in base64 apart.
fn split(pair: &str, response: &Response) -> Result<(String, Zeroizing<Vec<u8>>), IssuerError> {
    let bad = || response.unexpected("no user and password in base64 where the recipe says");
    let pair = STANDARD.decode(pair).map(Zeroizing::new).map_err(|_| bad())?;
    let at = pair.iter().position(|byte| *byte == b':').ok_or_else(bad)?;
    let username = std::str::from_utf8(&pair[..at]).map_err(|_| bad())?;
    Ok((username.to_owned(), Zeroizing::new(pair[at + 1..].to_vec())))
}
