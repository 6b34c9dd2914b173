//! What a recipe is: a request with places to fill, and where user, password and end stand in the answer. The recipes of this
//! version are JSON files beside this one, in the same form in which an operator gives one of his own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::token::Expiry;
use super::template;
use crate::time;

/// Those of this version, by name.
pub(super) const BUILT_IN: [(&str, &str); 8] = [
    ("chainguard", include_str!("recipes/chainguard.json")),
    ("cloudsmith", include_str!("recipes/cloudsmith.json")),
    ("digitalocean", include_str!("recipes/digitalocean.json")),
    ("gitlab-deploy-token", include_str!("recipes/gitlab-deploy-token.json")),
    ("harbor-robot", include_str!("recipes/harbor-robot.json")),
    ("ibm", include_str!("recipes/ibm.json")),
    ("jfrog", include_str!("recipes/jfrog.json")),
    ("vultr", include_str!("recipes/vultr.json")),
];

/// What proves who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProofKind {
    /// The entry's secret.
    Key,
    /// The entry's secret, or the pod's token where none is stored.
    Token,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Options,
    #[default]
    Post,
}

/// A recipe. Texts of `path`, headers, form, JSON and answer have places (`template`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    pub(super) proof: ProofKind,
    /// Whom to ask unless the entry says so; `https://{registry}` is the only place that it can have.
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) method: Method,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Whether user and secret are sent by HTTP Basic.
    #[serde(default)]
    pub(super) basic: bool,
    pub(super) form: Option<BTreeMap<String, String>>,
    pub(super) json: Option<Value>,
    pub(super) answer: Answer,
    /// How long a credential is asked for, unless the entry says so.
    pub(super) lifetime: Option<String>,
}

/// Where things stand in the answer: JSON pointers, which begin with `/`; a user and an end may be texts as well.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// In place of both: `user:password` in base64.
    pub(super) pair: Option<String>,
    pub(super) expires: Option<String>,
    #[serde(default, rename = "expires-as")]
    pub(super) expires_as: Expiry,
}

impl Recipe {
    /// Finds a recipe by name, or reads one. The error completes a sentence about the setting.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let json = match BUILT_IN.iter().find(|(name, _)| *name == text) {
            Some((_, json)) => json,
            None if text.trim_start().starts_with('{') => text,
            None => {
                let names: Vec<String> = BUILT_IN.iter().map(|(name, _)| format!("`{name}`")).collect();
                return Err(format!("is none of {}, and no recipe in JSON", names.join(", ")));
            }
        };
        let recipe: Self = serde_json::from_str(json).map_err(|error| {
            format!("is no recipe: something is wrong at line {} column {}", error.line(), error.column())
        })?;
        recipe.check().map_err(|reason| format!("is no recipe: {reason}"))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.texts().iter().any(|text| template::parts(text).is_none()) {
            return Err("a `{` or `}` is wrong in one of its texts");
        }
        if !self.path.starts_with('/') {
            return Err("`path` does not begin with `/`");
        }
        if template::places(&self.path).iter().any(|place| place.name == "secret") {
            return Err("`path` has the secret in it, where every log would keep it");
        }
        if self.form.is_some() && self.json.is_some() {
            return Err("it has both `form` and `json`");
        }
        let answer = &self.answer;
        let is_pointer = |text: &Option<String>| text.as_ref().is_some_and(|text| text.starts_with('/'));
        let has_two = is_pointer(&answer.password) && answer.username.is_some() && answer.pair.is_none();
        let has_pair = is_pointer(&answer.pair) && answer.password.is_none() && answer.username.is_none();
        if !has_two && !has_pair {
            return Err("`answer` needs `username` and a pointer `password`, or a pointer `pair`");
        }
        if self.lifetime.as_ref().is_some_and(|text| time::parse_duration(text).is_none()) {
            return Err("`lifetime` is no duration such as `2h`");
        }
        if self.lifetime.is_none() && self.texts().iter().any(|text| asks_for_time(text)) {
            return Err("it needs a `lifetime` for `{lifetime}`, `{days}` and `{until}`");
        }
        Ok(())
    }

    /// Every text that has places.
    pub(super) fn texts(&self) -> Vec<&str> {
        let answer = [&self.answer.username, &self.answer.password, &self.answer.pair, &self.answer.expires];
        let mut texts: Vec<&str> = answer.into_iter().flatten().map(String::as_str).collect();
        texts.extend(self.url.as_deref());
        texts.push(&self.path);
        texts.extend(self.headers.values().map(String::as_str));
        texts.extend(self.form.iter().flat_map(BTreeMap::values).map(String::as_str));
        if let Some(json) = &self.json {
            strings(json, &mut texts);
        }
        texts
    }

    /// Returns how long a credential is asked for by itself; zero when it is not asked for any time.
    pub(super) fn default_lifetime(&self) -> Duration {
        self.lifetime.as_deref().and_then(time::parse_duration).unwrap_or_default()
    }
}

fn asks_for_time(text: &str) -> bool {
    template::places(text).iter().any(|place| matches!(place.name, "lifetime" | "days" | "until"))
}

fn strings<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_of_this_version_is_one() {
        for (name, _) in BUILT_IN {
            assert_eq!(Recipe::of(name).map(drop), Ok(()), "{name}");
        }
    }
}
