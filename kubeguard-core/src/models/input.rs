//! A number with its origin, and the sum that decided.

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;

/// Where a number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A field of an object.
    Object,
    /// Somebody said so on the command line.
    Flag,
    /// An annotation states it.
    Annotation,
    /// Somebody measured it.
    Measured,
    /// Nobody said anything.
    Default,
}

impl Origin {
    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Flag => "flag",
            Self::Annotation => "annotation",
            Self::Measured => "measured",
            Self::Default => "default",
        }
    }
}

/// A value of a model with its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Input<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
    /// JSON pointer of the field, where it is one.
    pub path: Option<String>,
    /// Why this one, as in `proxied mesh`.
    pub note: Option<String>,
}

impl<T> Input<T> {
    /// Returns a value of an origin.
    #[must_use]
    pub const fn new(value: T, origin: Origin) -> Self {
        Self { value, origin, path: None, note: None }
    }

    /// Returns the value of a field.
    #[must_use]
    pub fn object(value: T, path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..Self::new(value, Origin::Object) }
    }

    /// Returns what is taken where nobody said anything, and why.
    #[must_use]
    pub fn default(value: T, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..Self::new(value, Origin::Default) }
    }

    /// Adds why.
    #[must_use]
    pub fn because(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// Returns the first of several that is there, in their order: flag, annotation, measurement; else the last.
    #[must_use]
    pub fn or(given: impl IntoIterator<Item = Option<Self>>, otherwise: Self) -> Self {
        given.into_iter().flatten().next().unwrap_or(otherwise)
    }

    /// Returns it under a name, as reports have it.
    #[must_use]
    pub fn named(&self, name: &str) -> Given
    where
        T: Unit,
    {
        let Self { value, origin, path, note } = self;
        Given {
            name: name.to_owned(),
            value: value.number(),
            unit: T::UNIT,
            origin: *origin,
            path: path.clone(),
            note: note.clone(),
        }
    }
}

/// A value that reports show as a number.
pub trait Unit {
    /// As in `s`; empty for a count.
    const UNIT: &'static str;

    /// Returns the number in that unit.
    fn number(&self) -> Value;
}

impl Unit for SignedDuration {
    const UNIT: &'static str = "s";

    fn number(&self) -> Value {
        let millis = self.as_millis();
        match (i64::try_from(millis / 1000), millis % 1000) {
            (Ok(seconds), 0) => seconds.into(),
            _ => self.as_secs_f64().into(),
        }
    }
}

/// Implements [`Unit`] for counts.
macro_rules! counts {
    ($($type:ty)*) => {
        $(impl Unit for $type {
            const UNIT: &'static str = "";

            fn number(&self) -> Value {
                Value::from(*self)
            }
        })*
    };
}
counts!(i32 i64 u32 u64 f64 bool);

/// An input under its name, as reports have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Given {
    /// As in `propagation`.
    pub name: String,
    /// The number.
    pub value: Value,
    /// As in `s`; empty for a count.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub unit: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// JSON pointer of the field, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Given {
    /// Returns it as a sentence: `propagation 10s (default: proxied mesh)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let note = self.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
        format!("{} {}{} ({}{note})", self.name, self.value, self.unit, self.origin.word())
    }
}

/// The sum by which a finding was judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Calculation {
    /// With the numbers in it, as in `drain 0s < propagation 10s`.
    pub inequality: String,
    /// What it was made of.
    pub inputs: Vec<Given>,
    /// The smallest single change that turns it round; none where no single one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip: Option<String>,
}

impl Calculation {
    /// Begins with the inequality.
    #[must_use]
    pub fn new(inequality: impl Into<String>) -> Self {
        Self { inequality: inequality.into(), ..Self::default() }
    }

    /// Adds an input.
    #[must_use]
    pub fn with<T: Unit>(mut self, name: &str, input: &Input<T>) -> Self {
        self.inputs.push(input.named(name));
        self
    }

    /// Says what turns it round.
    #[must_use]
    pub fn flip(self, change: impl Into<String>) -> Self {
        Self { flip: Some(change.into()), ..self }
    }

    /// Returns what it takes for granted: a sentence for each input that is no field of an object.
    #[must_use]
    pub fn assumptions(&self) -> Vec<String> {
        let assumed = self.inputs.iter().filter(|input| input.origin != Origin::Object);
        assumed.map(Given::sentence).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_calculation_shows_its_numbers_and_what_it_assumes() {
        let drain = Input::object(SignedDuration::ZERO, "/spec/template/spec/containers/0/lifecycle");
        let propagation = Input::default(SignedDuration::from_millis(10_500), "proxied mesh");
        let sum = Calculation::new("drain 0s < propagation 10.5s")
            .with("drain", &drain)
            .with("propagation", &propagation)
            .flip("preStop.sleep.seconds of container app at least 11");
        assert_eq!(sum.assumptions(), ["propagation 10.5s (default: proxied mesh)"]);
        assert_eq!(
            serde_json::to_value(&sum).unwrap(),
            json!({"inequality": "drain 0s < propagation 10.5s", "inputs": [
                {"name": "drain", "value": 0, "unit": "s", "origin": "object", "path": "/spec/template/spec/containers/0/lifecycle"},
                {"name": "propagation", "value": 10.5, "unit": "s", "origin": "default", "note": "proxied mesh"},
            ], "flip": "preStop.sleep.seconds of container app at least 11"})
        );
    }

    #[test]
    fn the_first_that_is_given_counts() {
        let annotation = Some(Input::new(2, Origin::Annotation));
        let chosen = Input::or([None, annotation], Input::new(1, Origin::Default));
        assert_eq!((chosen.value, chosen.origin), (2, Origin::Annotation));
        assert_eq!(Input::or([None, None], Input::new(1, Origin::Default)).value, 1);
    }
}
