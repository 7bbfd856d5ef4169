//! The canonical form of a document and its hash: RFC 8785 (JSON Canonicalization Scheme), without fractions.
//!
//! Files that prove what they say (inventories, plans) carry the sha256 of their own canonical form, so that spacing and
//! the order of fields do not matter to it. Numbers are whole: a fraction is refused instead of rounded.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;
use serde::ser::{self, Impossible};
use sha2::Digest as _;

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// It cannot be written.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
    /// It holds what has no canonical form here, in words.
    #[error("{0}")]
    Value(String),
}

impl ser::Error for CanonicalError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

type Result<T = ()> = std::result::Result<T, CanonicalError>;

/// Writes the canonical form of a value.
///
/// # Errors
/// [`CanonicalError::Value`] for a fraction and for a key that is no text, [`CanonicalError::Io`] when writing fails.
pub fn write<T: Serialize + ?Sized, W: Write>(value: &T, to: &mut W) -> Result {
    value.serialize(Writer { to })
}

/// Returns the sha256 of the canonical form of a document without some of its own fields, as lower-case hexadecimal
/// digits.
///
/// The document is written field by field: of a list with a million items no text is kept in memory.
///
/// # Errors
/// [`CanonicalError::Value`] when the value is no document, or as for [`write()`].
pub fn sha256<T: Serialize + ?Sized>(document: &T, without: &[&str]) -> Result<String> {
    let mut names = Vec::new();
    document.serialize(Fields {
        of: &mut |name, _| {
            names.push(name.to_owned());
            Ok(())
        },
    })?;
    names.retain(|name| !without.contains(&name.as_str()));
    sort(&mut names, |name| name);
    let mut hasher = io::BufWriter::new(sha2::Sha256::new());
    for (index, wanted) in names.iter().enumerate() {
        hasher.write_all(if index == 0 { b"{" } else { b"," })?;
        string(&mut hasher, wanted)?;
        hasher.write_all(b":")?;
        document.serialize(Fields {
            of: &mut |name, value| {
                if name == wanted { value(&mut hasher) } else { Ok(()) }
            },
        })?;
    }
    hasher.write_all(if names.is_empty() { b"{}" } else { b"}" })?;
    let hasher = hasher.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Sorts as RFC 8785 asks: by UTF-16 code units, whose order is that of bytes where all is ASCII.
fn sort<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    items.sort_unstable_by(|a, b| {
        let (a, b) = (name(a), name(b));
        if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
    });
}

/// Writes a text; the escapes of `serde_json` are those of the RFC.
fn string<W: Write>(to: &mut W, text: &str) -> Result {
    serde_json::to_writer(to, text).map_err(|error| CanonicalError::Io(error.into()))
}

fn refuse<T>(what: &str) -> Result<T> {
    Err(CanonicalError::Value(what.to_owned()))
}

const FRACTION: &str = "a fraction has no canonical form here";
const NO_DOCUMENT: &str = "this is no document with fields";
const NO_KEY: &str = "a key that is no text";

struct Writer<'a, W> {
    to: &'a mut W,
}

/// Items of a list, written as they come.
struct List<'a, W> {
    to: &'a mut W,
    empty: bool,
    /// Behind the list, where a variant wraps it.
    close: &'static [u8],
}

/// Fields of an object, kept until all are known: they are written sorted.
struct Object<'a, W> {
    to: &'a mut W,
    /// Names with the places of their values in `text`.
    fields: Vec<(Cow<'static, str>, Range<usize>)>,
    /// Values, one behind the other.
    text: Vec<u8>,
    close: &'static [u8],
}

macro_rules! whole_numbers {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result {
            write!(self.to, "{value}").map_err(Into::into)
        })*
    };
}

impl<'a, W: Write> ser::Serializer for Writer<'a, W> {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = List<'a, W>;
    type SerializeTuple = List<'a, W>;
    type SerializeTupleStruct = List<'a, W>;
    type SerializeTupleVariant = List<'a, W>;
    type SerializeMap = Object<'a, W>;
    type SerializeStruct = Object<'a, W>;
    type SerializeStructVariant = Object<'a, W>;

    whole_numbers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_bool: bool,
    }

    fn serialize_f32(self, _: f32) -> Result {
        refuse(FRACTION)
    }

    fn serialize_f64(self, _: f64) -> Result {
        refuse(FRACTION)
    }

    fn serialize_char(self, value: char) -> Result {
        string(self.to, value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result {
        string(self.to, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        self.to.write_all(b"null").map_err(Into::into)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        open_variant(self.to, variant)?;
        value.serialize(Writer { to: &mut *self.to })?;
        self.to.write_all(b"}").map_err(Into::into)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a, W>> {
        self.to.write_all(b"[")?;
        Ok(List { to: self.to, empty: true, close: b"]" })
    }

    fn serialize_tuple(self, length: usize) -> Result<List<'a, W>> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<List<'a, W>> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<List<'a, W>> {
        open_variant(self.to, variant)?;
        Ok(List { close: b"]}", ..self.serialize_seq(Some(length))? })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a, W>> {
        Ok(Object { to: self.to, fields: Vec::new(), text: Vec::new(), close: b"}" })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'a, W>> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Object<'a, W>> {
        open_variant(self.to, variant)?;
        Ok(Object { close: b"}}", ..self.serialize_map(None)? })
    }
}

fn open_variant<W: Write>(to: &mut W, variant: &str) -> Result {
    to.write_all(b"{")?;
    string(to, variant)?;
    to.write_all(b":").map_err(Into::into)
}

impl<W: Write> List<'_, W> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        if !self.empty {
            self.to.write_all(b",")?;
        }
        self.empty = false;
        value.serialize(Writer { to: &mut *self.to })
    }

    fn close(self) -> Result {
        self.to.write_all(self.close).map_err(Into::into)
    }
}

impl<W: Write> Object<'_, W> {
    fn field<T: Serialize + ?Sized>(&mut self, name: Cow<'static, str>, value: &T) -> Result {
        let start = self.text.len();
        value.serialize(Writer { to: &mut self.text })?;
        self.fields.push((name, start..self.text.len()));
        Ok(())
    }

    fn close(mut self) -> Result {
        sort(&mut self.fields, |(name, _)| name);
        self.to.write_all(b"{")?;
        for (index, (name, place)) in self.fields.iter().enumerate() {
            if index > 0 {
                self.to.write_all(b",")?;
            }
            string(self.to, name)?;
            self.to.write_all(b":")?;
            self.to.write_all(self.text.get(place.clone()).unwrap_or_default())?;
        }
        self.to.write_all(self.close).map_err(Into::into)
    }
}

macro_rules! lists {
    ($($trait:ident.$method:ident,)*) => {
        $(impl<W: Write> ser::$trait for List<'_, W> {
            type Ok = ();
            type Error = CanonicalError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
                self.item(value)
            }

            fn end(self) -> Result {
                self.close()
            }
        })*
    };
}

lists! {
    SerializeSeq.serialize_element,
    SerializeTuple.serialize_element,
    SerializeTupleStruct.serialize_field,
    SerializeTupleVariant.serialize_field,
}

macro_rules! objects {
    ($($trait:ident,)*) => {
        $(impl<W: Write> ser::$trait for Object<'_, W> {
            type Ok = ();
            type Error = CanonicalError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
                self.field(Cow::Borrowed(name), value)
            }

            fn end(self) -> Result {
                self.close()
            }
        })*
    };
}

objects! { SerializeStruct, SerializeStructVariant, }

impl<W: Write> ser::SerializeMap for Object<'_, W> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        self.fields.push((key_of(key)?.into(), 0..0));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        let Some((name, _)) = self.fields.pop() else { return refuse(NO_KEY) };
        self.field(name, value)
    }

    fn end(self) -> Result {
        self.close()
    }
}

/// Returns the text of a key.
fn key_of<T: Serialize + ?Sized>(key: &T) -> Result<String> {
    match serde_json::to_value(key) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => refuse(NO_KEY),
    }
}

/// What is done with one field: its name, and a way to write its value.
type EachField<'a> = dyn FnMut(&str, &dyn Fn(&mut dyn Write) -> Result) -> Result + 'a;

/// Visits the fields of a document one by one, without writing those that are not wanted.
struct Fields<'a> {
    of: &'a mut EachField<'a>,
}

impl Fields<'_> {
    fn visit<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result {
        (self.of)(name, &|mut to| write(value, &mut to))
    }
}

macro_rules! no_document {
    ($($method:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$result> {
            refuse(NO_DOCUMENT)
        })*
    };
}

impl<'a> ser::Serializer for Fields<'a> {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Impossible<(), CanonicalError>;
    type SerializeTuple = Impossible<(), CanonicalError>;
    type SerializeTupleStruct = Impossible<(), CanonicalError>;
    type SerializeTupleVariant = Impossible<(), CanonicalError>;
    type SerializeMap = MapFields<'a>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), CanonicalError>;

    no_document! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result {
        refuse(NO_DOCUMENT)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapFields<'a>> {
        Ok(MapFields { fields: self, name: String::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
        self.visit(name, value)
    }

    fn end(self) -> Result {
        Ok(())
    }
}

struct MapFields<'a> {
    fields: Fields<'a>,
    name: String,
}

impl ser::SerializeMap for MapFields<'_> {
    type Ok = ();
    type Error = CanonicalError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        self.name = key_of(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        let name = std::mem::take(&mut self.name);
        self.fields.visit(&name, value)
    }

    fn end(self) -> Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text<T: Serialize + ?Sized>(value: &T) -> String {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_sorted_by_utf_16_and_escapes_are_the_shortest() {
        // The example of RFC 8785, section 3.2.3, and the string of section 3.2.2.
        let sorted = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{0080}": "Control", "\u{00f6}": "Latin Small Letter O With Diaeresis",
        });
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(text(&sorted), expected);
        assert_eq!(text("\u{20ac}$\u{f}\nA'B\"\\\\\"/"), r#""€$\u000f\nA'B\"\\\\\"/""#);
        assert_eq!(text(&json!([true, false, null, -7, "x", {}, []])), r#"[true,false,null,-7,"x",{},[]]"#);
    }

    #[derive(Serialize)]
    struct Document {
        zone: &'static str,
        kind: Kind,
        sha256: &'static str,
        items: Vec<Option<u64>>,
    }

    #[derive(Serialize)]
    enum Kind {
        Plain,
        Wrapped(u8),
        Pair(u8, u8),
        Named { b: u8, a: u8 },
    }

    #[test]
    fn a_document_is_hashed_without_its_own_hash_whatever_the_order_of_its_fields() {
        for kind in [Kind::Plain, Kind::Wrapped(1), Kind::Pair(1, 2), Kind::Named { b: 1, a: 2 }] {
            let document = Document { zone: "z", kind, sha256: "of before", items: vec![Some(1), None] };
            let mut value = serde_json::to_value(&document).unwrap();
            value.as_object_mut().unwrap().remove("sha256");
            let expected: String =
                sha2::Sha256::digest(text(&value)).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sha256(&document, &["sha256"]).unwrap(), expected);
            assert_eq!(sha256(&value, &[]).unwrap(), expected);
        }
        assert_eq!(sha256(&json!({}), &[]).unwrap(), crate::images::Digest::of(b"{}").hex());
    }

    #[test]
    fn fractions_and_lists_are_refused_in_words() {
        assert_eq!(sha256(&json!({"a": 0.5}), &[]).unwrap_err().to_string(), FRACTION);
        assert_eq!(sha256(&json!([1]), &[]).unwrap_err().to_string(), NO_DOCUMENT);
    }
}
