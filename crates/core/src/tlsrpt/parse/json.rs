//! JSON values as they stand in a report, read with bounds.
//!
//! Only members that a report can have are kept; all others are passed over while their nesting is
//! still bounded. Depth, the length of every list and the number of values have limits, so that memory
//! stays in proportion whatever comes. A member that stands twice counts by its last value (REP-025).

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Limits;
use super::oddity::Refusal;

/// Values kept of one document. The largest report within the limits has fewer.
const VALUES: usize = 1_500_000;

/// A JSON value. Texts without escapes are borrowed from the input.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// For a message: scalars as written, at most 100 characters of a text.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Negative(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{:?}", text.chars().take(100).collect::<String>()),
            Self::List(_) => f.write_str("a list"),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

/// The members of an object that a report can have.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Object<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> Object<'a> {
    /// The value of a member; `null` counts as present.
    pub(super) fn member(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The value of a member that is neither missing nor `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.member(name).filter(|value| **value != Value::Null)
    }

    /// Whether any of these members is present.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.member(name).is_some())
    }
}

macro_rules! members {
    ($($name:literal)*) => {
        /// The member of a report by this name.
        fn known(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some($name),)*
                _ => None,
            }
        }
    };
}

members! {
    "organization-name" "date-range" "start-datetime" "end-datetime" "contact-info" "report-id" "policies"
    "policy" "policy-type" "policy-string" "policy-domain" "mx-host" "mx-host-pattern"
    "summary" "total-successful-session-count" "total-failure-session-count"
    "failure-details" "result-type" "sending-mta-ip" "receiving-mx-hostname" "receiving-mx-helo"
    "receiving-ip" "failed-session-count" "additional-information" "additional-info-uri"
    "failure-reason-code"
    "report-metadata" "applied-policy" "success-aggregate" "failure-aggregate" "session-count"
}

/// One document of a text.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) value: Value<'a>,
    /// A member that stands twice, if one does.
    pub(super) repeated: Option<&'static str>,
}

/// Reads the documents of a text one after the other.
pub(super) struct Documents<'a, 'l> {
    input: serde_json::Deserializer<serde_json::de::StrRead<'a>>,
    limits: &'l Limits,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    First,
    Further,
    Ended,
}

impl<'a, 'l> Documents<'a, 'l> {
    pub(super) fn new(text: &'a str, limits: &'l Limits) -> Self {
        let input = serde_json::Deserializer::from_str(text);
        Self { input, limits, state: State::First }
    }
}

/// Why a document could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// What stands behind the last document is not the beginning of another one.
    Tail(Refusal),
    /// The document is malformed, cut off or beyond a limit; what went before is whole.
    Document(Refusal),
}

impl<'a> Iterator for Documents<'a, '_> {
    type Item = Result<Document<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let further = self.state == State::Further;
        let mut bounds = Bounds {
            depth_limit: self.limits.depth,
            policies: self.limits.policies,
            details: self.limits.details,
            values: VALUES,
            exceeded: None,
            repeated: None,
            opened: false,
        };
        let read = Build { bounds: &mut bounds, depth: 0, member: "" }.deserialize(&mut self.input);
        match read {
            Ok(value) => {
                self.state = if self.input.end().is_ok() { State::Ended } else { State::Further };
                Some(Ok(Document { value, repeated: bounds.repeated }))
            }
            Err(error) => {
                self.state = State::Ended;
                let refusal = refusal(&error, bounds.exceeded);
                let document = bounds.opened || !further;
                Some(Err(if document { Broken::Document(refusal) } else { Broken::Tail(refusal) }))
            }
        }
    }
}

/// A text that holds one JSON value with nothing behind it, such as a policy-string in a policy-string.
pub(super) fn value_in<'a>(text: &'a str, limits: &Limits) -> Option<Value<'a>> {
    let mut documents = Documents::new(text, limits);
    match (documents.next(), documents.next()) {
        (Some(Ok(document)), None) => Some(document.value),
        _ => None,
    }
}

fn refusal(error: &serde_json::Error, exceeded: Option<String>) -> Refusal {
    let place = format!("line {}, column {}", error.line(), error.column());
    if let Some(what) = exceeded {
        return Refusal::quarantine("REP-072", place, what);
    }
    let words = error.to_string();
    // serde_json has no kind for it: a number beyond every type is a count nobody can add.
    if words.starts_with("number out of range") {
        return Refusal::quarantine("REP-076", place, "A number is larger than any count can be.");
    }
    let message = if error.is_eof() {
        format!("The document is cut off: {words}.")
    } else {
        format!("The document is not well-formed: {words}.")
    };
    Refusal::quarantine("REP-073", place, message)
}

struct Bounds {
    depth_limit: usize,
    policies: usize,
    details: usize,
    values: usize,
    exceeded: Option<String>,
    repeated: Option<&'static str>,
    opened: bool,
}

impl Bounds {
    fn exceed<E: serde::de::Error>(&mut self, what: String) -> E {
        self.exceeded = Some(what);
        E::custom("limit")
    }

    fn open<E: serde::de::Error>(&mut self, depth: usize) -> Result<(), E> {
        self.opened = true;
        if depth > self.depth_limit {
            let limit = self.depth_limit;
            return Err(self.exceed(format!("The document nests deeper than {limit} levels.")));
        }
        Ok(())
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        match self.values.checked_sub(1) {
            Some(left) => {
                self.values = left;
                Ok(())
            }
            None => Err(self.exceed(format!("The document has more than {VALUES} values."))),
        }
    }

    fn list_limit(&self, member: &str) -> usize {
        if member == "failure-details" { self.details } else { self.policies }
    }
}

/// Builds a value.
struct Build<'b> {
    bounds: &'b mut Bounds,
    depth: usize,
    member: &'static str,
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value<'de>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value<'de>, A::Error> {
        let depth = self.depth + 1;
        self.bounds.open(depth)?;
        let limit = self.bounds.list_limit(self.member);
        let mut list = Vec::new();
        while let Some(value) =
            from.next_element_seed(Build { bounds: &mut *self.bounds, depth, member: "" })?
        {
            if list.len() == limit {
                let list = if self.member.is_empty() { "A list" } else { self.member };
                return Err(self.bounds.exceed(format!("{list} has more than {limit} entries.")));
            }
            self.bounds.count()?;
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value<'de>, A::Error> {
        let depth = self.depth + 1;
        self.bounds.open(depth)?;
        let mut object = Object::default();
        while let Some(name) = from.next_key_seed(Name)? {
            let Some(member) = name else {
                from.next_value_seed(Skip { bounds: &mut *self.bounds, depth })?;
                continue;
            };
            let value = from.next_value_seed(Build { bounds: &mut *self.bounds, depth, member })?;
            self.bounds.count()?;
            match object.0.iter_mut().find(|(known, _)| *known == member) {
                Some((_, earlier)) => {
                    self.bounds.repeated.get_or_insert(member);
                    *earlier = value;
                }
                None => object.0.push((member, value)),
            }
        }
        Ok(Value::Object(object))
    }
}

/// Reads the name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(known(name))
    }
}

/// Passes over a value, with its nesting bounded all the same.
struct Skip<'b> {
    bounds: &'b mut Bounds,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Skip<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        self.bounds.open(depth)?;
        while from.next_element_seed(Skip { bounds: &mut *self.bounds, depth })?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        self.bounds.open(depth)?;
        while from.next_key_seed(Name)?.is_some() {
            from.next_value_seed(Skip { bounds: &mut *self.bounds, depth })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Vec<&'static str> {
        Documents::new(text, &Limits::default())
            .map(|document| match document {
                Ok(document) if document.repeated.is_some() => "repeated",
                Ok(_) => "read",
                Err(Broken::Tail(_)) => "tail",
                Err(Broken::Document(Refusal::Quarantine(id, ..) | Refusal::Foreign(id, ..))) => id,
            })
            .collect()
    }

    #[test]
    fn documents_are_read_one_by_one() {
        let nested = |n: usize| format!("{{\"policies\":{}{}}}", "[".repeat(n), "]".repeat(n));
        let ignored = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
        let rows: Vec<(String, &[&str], &str)> = vec![
            ("{}".into(), &["read"], "one"),
            ("{} [1]\n{}".into(), &["read", "read", "read"], "three"),
            ("{}{".into(), &["read", "REP-073"], "second cut off"),
            ("{} x".into(), &["read", "tail"], "garbage behind"),
            ("".into(), &["REP-073"], "nothing"),
            ("{\"a\":NaN}".into(), &["REP-073"], "NaN is no JSON"),
            ("{\"a\":1e400}".into(), &["REP-076"], "beyond every number"),
            ("{\"policy\":1,\"policy\":2}".into(), &["repeated"], "twice"),
            (nested(63), &["read"], "depth 64"),
            (nested(64), &["REP-072"], "depth 65"),
            (ignored(63), &["read"], "depth 64, ignored"),
            (ignored(64), &["REP-072"], "depth 65, ignored"),
            ("[".repeat(100_000), &["REP-072"], "a tower"),
        ];
        for (text, want, why) in rows {
            assert_eq!(outcome(&text), want, "{why}");
        }
    }

    #[test]
    fn lists_have_limits() {
        let list = |member: &str, n: usize| format!("{{\"{member}\":[{}1]}}", "1,".repeat(n - 1));
        for (member, limit) in [("policies", 10_000), ("failure-details", 100_000), ("policy-string", 10_000)]
        {
            assert_eq!(outcome(&list(member, limit)), ["read"], "{member}");
            assert_eq!(outcome(&list(member, limit + 1)), ["REP-072"], "{member}");
        }
    }

    #[test]
    fn the_last_of_two_counts() {
        let Some(Value::Object(object)) =
            value_in("{\"report-id\":\"a\",\"report-id\":\"b\"}", &Limits::default())
        else {
            panic!("no object")
        };
        assert_eq!(object.get("report-id"), Some(&Value::Text("b".into())));
    }
}
