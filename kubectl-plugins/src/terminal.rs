//! Owns stdout and stderr: what is an answer, what is chatter, what has colour. Nothing else writes.

use std::io::{BufRead as _, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use console::measure_text_width;
use serde::Serialize;

use crate::output::json;

/// An answer could not be written, though somebody may be reading.
static LOST: AtomicBool = AtomicBool::new(false);

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    #[default]
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// The two streams of the process.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about two streams")]
pub(crate) struct Terminal {
    colour_out: bool,
    colour_err: bool,
    quiet: bool,
    live: bool,
}

/// A style, by what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Good,
    Bad,
    Waiting,
    Plain,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Waiting => "33",
            Self::Plain => "",
        }
    }

    /// Wraps `text`; plain without `colour`.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        if colour && self != Self::Plain { format!("\u{1b}[{}m{text}\u{1b}[0m", self.code()) } else { text.to_owned() }
    }
}

impl Terminal {
    /// Looks at the streams and the environment; `logs` says that stderr gets log lines, which a table that is redrawn
    /// would overwrite.
    pub(crate) fn new(colour: Colour, quiet: bool, logs: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !set("NO_COLOR") && !dumb,
        };
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let live = err && !dumb && !quiet && !logs && !set("CI");
        Self { colour_out: wanted(out), colour_err: wanted(err), quiet, live }
    }

    /// Writes answers and nothing else.
    pub(crate) const fn plain() -> Self {
        Self { colour_out: false, colour_err: false, quiet: true, live: false }
    }

    /// Returns whether answers have colour.
    pub(crate) fn colour(self) -> bool {
        self.colour_out
    }

    /// Returns whether progress may be redrawn in place.
    pub(crate) fn is_live(self) -> bool {
        self.live
    }

    /// Returns whether chatter has colour.
    pub(crate) fn colour_chatter(self) -> bool {
        self.colour_err
    }

    /// Writes an answer. Returns whether anybody still reads: a closed pipe is a quiet success, and an answer that is
    /// lost for another reason is an error.
    pub(crate) fn answer(self, text: &str) -> bool {
        self.answer_by(|out| out.write_all(text.as_bytes()))
    }

    /// Writes a document as JSON, like [`Self::answer`]: no text of it is kept, however long it is.
    pub(crate) fn answer_json<T: Serialize + ?Sized>(self, document: &T) -> bool {
        self.answer_by(|out| json::write(out, document))
    }

    fn answer_by(self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> bool {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        match write(&mut out).and_then(|()| out.flush()) {
            Ok(()) => true,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::BrokenPipe {
                    self.complain(&format!("error: cannot write the answer\nbecause: {error}"));
                    LOST.store(true, Ordering::Relaxed);
                }
                false
            }
        }
    }

    /// Returns whether an answer was lost.
    pub(crate) fn has_lost_an_answer() -> bool {
        LOST.load(Ordering::Relaxed)
    }

    /// Writes chatter: progress, hints, warnings. Silent with `-q`.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Returns whether somebody sits at the terminal who could be asked.
    pub(crate) fn can_ask() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks a question that only `y` or `yes` answers with yes; an end of the input is no.
    #[expect(clippy::unused_self, reason = "only who has a terminal may write")]
    pub(crate) fn ask(self, question: &str) -> bool {
        let mut err = std::io::stderr().lock();
        drop(write!(err, "{question} [y/N] ").and_then(|()| err.flush()));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Writes an error, which is not chatter.
    #[expect(clippy::unused_self, reason = "only who has a terminal may write")]
    pub(crate) fn complain(self, text: &str) {
        let mut err = std::io::stderr().lock();
        // Nobody is left to tell when stderr is closed too.
        drop(writeln!(err, "{text}"));
    }
}

/// Takes out of text that came from a cluster what would steer a terminal; line ends and tabs become spaces.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => clean.push(' '),
            c if c.is_control() || turns(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Returns whether a mark changes the direction of writing, which can make a line read as something else.
const fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shortens text to `most` columns of a terminal; a wide character takes two.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if measure_text_width(text) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut left = most.saturating_sub(1);
    for c in text.chars() {
        let width = measure_text_width(c.encode_utf8(&mut [0; 4]));
        let Some(rest) = left.checked_sub(width) else { break };
        left = rest;
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_cluster_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{202e}d"), "a[31mb cd");
        assert_eq!(printable("x\u{9b}2Jy\u{7f}\u{200f}z\tend"), "x2Jyz end");
    }

    #[test]
    fn text_is_cut_to_the_columns_it_takes() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
        assert_eq!(shorten("容器容器容器", 6), "容器…");
    }
}
