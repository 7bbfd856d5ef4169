//! Values that JSON and protobuf write in different ways: times, quantities, numbers that may be percentages.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: RFC 3339 text in JSON, seconds and nanoseconds in protobuf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Time {
    /// Returns the moment; `None` where it lies outside of the years −9999 to 9999.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        Timestamp::new(self.seconds, self.nanos).ok()
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.timestamp() {
            Some(at) => serializer.collect_str(&at),
            None => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse::<Timestamp>().map(Self::from).map_err(D::Error::custom)
    }
}

/// An amount of a resource, as in `500m` or `2Gi`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Quantity {
    #[prost(string, tag = "1")]
    text: String,
}

impl Quantity {
    /// Returns the amount in billionths; `None` where the text is no quantity.
    ///
    /// Suffixes are those of `resource.Quantity` in apimachinery: n u m k M G T P E, Ki Mi Gi Ti Pi Ei, and exponents.
    #[must_use]
    pub fn nanos(&self) -> Option<i128> {
        let text = self.text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let scale: i128 = match suffix {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            "" => 1_000_000_000,
            "k" => 1_000_000_000_000,
            "M" => 10_i128.pow(15),
            "G" => 10_i128.pow(18),
            "T" => 10_i128.pow(21),
            "P" => 10_i128.pow(24),
            "E" => 10_i128.pow(27),
            "Ki" => 1_000_000_000 << 10,
            "Mi" => 1_000_000_000 << 20,
            "Gi" => 1_000_000_000 << 30,
            "Ti" => 1_000_000_000_i128 << 40,
            "Pi" => 1_000_000_000_i128 << 50,
            "Ei" => 1_000_000_000_i128 << 60,
            exponent => {
                let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
                10_i128.checked_pow(u32::try_from(power.checked_add(9)?).ok()?)?
            }
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 18 || !fraction.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let negative = whole.starts_with('-');
        let joined: i128 = format!("{whole}{fraction}").parse().ok()?;
        let divisor = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let scaled = joined.checked_mul(scale)?;
        // Rounds away from zero, as apimachinery does.
        let rest = i128::from(scaled % divisor != 0) * if negative { -1 } else { 1 };
        Some(scaled / divisor + rest)
    }
}

impl Quantity {
    /// Returns a quantity of `nanos` billionths, in whole units or thousandths, rounded up.
    #[must_use]
    pub fn whole(nanos: i128) -> Self {
        let thousandths = nanos.div_euclid(1_000_000) + i128::from(nanos.rem_euclid(1_000_000) > 0);
        let text = if thousandths % 1000 == 0 { (thousandths / 1000).to_string() } else { format!("{thousandths}m") };
        Self { text }
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.nanos()?.cmp(&other.nanos()?))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { text: TextOrNumber::deserialize(deserializer)?.into_text() })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Integer(i64),
    Float(f64),
    Text(String),
}

impl TextOrNumber {
    fn into_text(self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// A number, or a percentage of another.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IntOrString {
    /// 0 for a number, 1 for text.
    #[prost(int64, tag = "1")]
    form: i64,
    #[prost(int32, tag = "2")]
    number: i32,
    #[prost(string, tag = "3")]
    text: String,
}

impl IntOrString {
    /// Returns the number, where it is one and no text.
    #[must_use]
    pub fn number(&self) -> Option<i32> {
        (self.form == 0).then_some(self.number)
    }
}

impl std::str::FromStr for Quantity {
    type Err = std::convert::Infallible;

    /// Takes any text; [`Quantity::nanos`] says whether it is one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned() })
    }
}

impl From<i32> for IntOrString {
    fn from(number: i32) -> Self {
        Self { form: 0, number, text: String::new() }
    }
}

impl From<String> for IntOrString {
    fn from(text: String) -> Self {
        Self { form: 1, number: 0, text }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form == 0 { write!(f, "{}", self.number) } else { f.write_str(&self.text) }
    }
}

impl Serialize for IntOrString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.form == 0 { serializer.serialize_i32(self.number) } else { serializer.serialize_str(&self.text) }
    }
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TextOrNumber::deserialize(deserializer)? {
            TextOrNumber::Integer(number) => i32::try_from(number).map(Self::from).map_err(D::Error::custom),
            other => Ok(Self::from(other.into_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> Option<i128> {
        Quantity { text: text.to_owned() }.nanos()
    }

    #[test]
    fn quantities_of_every_suffix_compare_by_amount() {
        assert_eq!(nanos("1"), Some(1_000_000_000));
        assert_eq!(nanos("1500m"), nanos("1.5"));
        assert_eq!(nanos("1Ki"), nanos("1024"));
        assert_eq!(nanos("0.5Gi"), nanos("512Mi"));
        assert_eq!(nanos("1e3"), nanos("1k"));
        assert_eq!(nanos("2E"), nanos("2000P"));
        assert_eq!(nanos("-1"), Some(-1_000_000_000));
        assert_eq!(nanos("much"), None);
    }

    #[test]
    fn a_time_reads_back_as_written() {
        for text in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z"] {
            let time: Time = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(serde_json::to_string(&time).unwrap(), format!("\"{text}\""));
        }
    }
}
