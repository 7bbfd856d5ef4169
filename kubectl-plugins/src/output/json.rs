//! JSON as every command writes it; the report as one JSON or YAML object.

use std::io::{self, Write};

use kubeguard_core::wait::report::WaitReport;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::Show;

pub(super) struct Json;
pub(super) struct Yaml;

/// Writes a document indented, with a line end behind it; no text of it is kept, however long it is.
pub(crate) fn write<T: Serialize + ?Sized, W: Write>(mut to: W, document: &T) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut to, Printable(PrettyFormatter::new()));
    document.serialize(&mut serializer)?;
    to.write_all(b"\n")
}

/// Returns what [`write`] writes.
pub(crate) fn text<T: Serialize + ?Sized>(document: &T) -> io::Result<String> {
    let mut text = Vec::new();
    write(&mut text, document)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// Returns a document on one line.
pub(crate) fn line<T: Serialize + ?Sized>(document: &T) -> io::Result<String> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, Printable(CompactFormatter)))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(io::Error::other)
}

/// Escapes what JSON lets stand in a text and a terminal obeys: delete, and the control characters above it.
///
/// A reader gets the same text.
struct Printable<F>(F);

/// Passes on what is said of the form.
macro_rules! pass_on {
    ($($method:ident($($argument:ident: $type:ty)?);)*) => {
        $(fn $method<W: Write + ?Sized>(&mut self, to: &mut W $(, $argument: $type)?) -> io::Result<()> {
            self.0.$method(to $(, $argument)?)
        })*
    };
}

impl<F: Formatter> Formatter for Printable<F> {
    pass_on! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| c.is_control()) {
            let (before, behind) = rest.split_at(at);
            to.write_all(before.as_bytes())?;
            write!(to, "\\u{:04x}", u32::from(c))?;
            rest = behind.get(c.len_utf8()..).unwrap_or_default();
        }
        to.write_all(rest.as_bytes())
    }
}

impl Show for Json {
    fn report(&self, report: &WaitReport) -> String {
        text(report).unwrap_or_else(|error| error.to_string())
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}

impl Show for Yaml {
    fn report(&self, report: &WaitReport) -> String {
        serde_saphyr::to_string(report).unwrap_or_else(|error| error.to_string())
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}
