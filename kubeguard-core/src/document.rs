//! Configuration files: YAML read strictly, with the place of what is wrong and the word that was meant.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Reads one document; unknown keys, doubled keys and wrong types are errors.
///
/// # Errors
/// [`Error::File`] with line and column.
pub(crate) fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location();
        let line = place.map_or(1, |place| place.line()).max(1);
        let column = place.map_or(1, |place| place.column()).max(1);
        let said = error.without_snippet().to_string();
        let (problem, hint) = in_words(said.lines().next().unwrap_or_default());
        wrong(file, line, column, problem, hint)
    })
}

/// Returns the error for something that no parser can see, at the beginning of a file.
pub(crate) fn invalid(file: &str, problem: impl Into<String>, hint: impl Into<String>) -> Error {
    wrong(file, 1, 1, problem.into(), hint.into())
}

fn wrong(file: &str, line: u64, column: u64, problem: String, hint: String) -> Error {
    Error::File { file: file.to_owned(), line, column, problem, hint }
}

/// Says what serde found without the parser's own words, and suggests the key that was meant.
fn in_words(said: &str) -> (String, String) {
    let end = said.find(" at line ").unwrap_or(said.len());
    let said = said.get(..end).unwrap_or(said);
    let end = said.find("set DuplicateKeyPolicy").unwrap_or(said.len());
    let said = said.get(..end).unwrap_or(said).trim_end_matches([' ', ',', ';', ':', '(']);
    let unknown = ["field", "variant"].into_iter().find_map(|what| {
        let (_, rest) = said.split_once(&format!("unknown {what} `"))?;
        let (found, rest) = rest.split_once('`')?;
        Some((if what == "field" { what } else { "word" }, found, rest))
    });
    let Some((what, found, rest)) = unknown else { return (said.to_owned(), String::new()) };
    let words = rest.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
    let known: Vec<&str> = words.filter(|word| !matches!(*word, "" | "expected" | "one" | "of" | "or")).collect();
    let near = known.iter().map(|word| (strsim::damerau_levenshtein(word, found), *word)).min();
    let hint = match near {
        Some((distance, word)) if distance <= 1 + found.len() / 3 => format!("did you mean {word}?"),
        _ => format!("known: {}", known.join(", ")),
    };
    (format!("unknown {what} {found:?}"), hint)
}
