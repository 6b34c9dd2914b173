//! JSON of which only places are known, as JSON pointers (RFC 6901). Wiped when dropped: it may hold a secret anywhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroize;

use super::token::Expiry;

/// A JSON document.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Document(Value);

impl Document {
    /// Returns the text at a place that is not empty.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
    }

    /// Returns how long what is told at a place lasts; `date` is the server's clock.
    pub(super) fn lifetime(&self, pointer: &str, expiry: Expiry, date: Option<i64>) -> Option<Duration> {
        expiry.lifetime(self.0.pointer(pointer)?, date)
    }

    /// Whether a place holds an object.
    pub(super) fn has_object(&self, pointer: &str) -> bool {
        self.0.pointer(pointer).is_some_and(Value::is_object)
    }
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes a name as a part of a pointer.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
