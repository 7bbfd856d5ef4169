//! What commands say: that they never end, or that they ask a sidecar to quit.

/// What marks a request that ends a sidecar.
const QUITS: &[&str] = &["quitquitquit", ":4191/shutdown", "/v1.0/shutdown", "/agent/v1/quit", "graceful_shutdown"];

/// Returns whether text asks a sidecar to quit.
pub(super) fn is_quit(text: &str) -> bool {
    QUITS.iter().any(|mark| text.contains(mark))
}

/// Returns the script that a shell is given, and whether it stops at the first failure (`-e`).
pub(super) fn script<'a>(command: &'a [String], args: &'a [String]) -> Option<(&'a str, bool)> {
    let words: Vec<&str> = command.iter().chain(args).map(String::as_str).collect();
    let first = words.first()?.rsplit('/').next()?;
    if !matches!(first, "sh" | "bash" | "ash" | "dash" | "zsh" | "ksh") {
        return None;
    }
    let mut stops = false;
    for (index, word) in words.iter().enumerate().skip(1) {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.starts_with('-')) else {
            // The value of `-o`, as in `-o pipefail`; anything else is a script's file.
            match words.get(index.wrapping_sub(1)) {
                Some(before) if before.starts_with('-') && before.ends_with('o') => {
                    stops |= *word == "errexit";
                    continue;
                }
                _ => return None,
            }
        };
        stops |= letters.contains('e');
        if letters.contains('c') {
            return words.get(index + 1).map(|script| (*script, stops));
        }
    }
    None
}

/// What divides two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// It is the first.
    Start,
    /// `;`, a newline or `&`.
    Then,
    And,
    Or,
}

/// A simple command, with what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Command {
    joint: Joint,
    text: String,
}

/// Divides a script into commands; `None` when it is not made of simple commands and closed blocks at its top.
fn commands(script: &str) -> Option<Vec<Command>> {
    let mut found: Vec<Command> = Vec::new();
    let (mut text, mut joint) = (String::new(), Joint::Start);
    let (mut quote, mut comment): (Option<char>, bool) = (None, false);
    let mut letters = script.chars().peekable();
    let mut end = |text: &mut String, joint: Joint| {
        let trimmed = text.trim();
        if !trimmed.is_empty() {
            found.push(Command { joint, text: trimmed.to_owned() });
        }
        let some = !trimmed.is_empty();
        text.clear();
        some
    };
    while let Some(letter) = letters.next() {
        if comment {
            comment = letter != '\n';
            if comment {
                continue;
            }
        }
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => {
                quote = None;
                text.push(letter);
            }
            (None, '\'' | '"') => {
                quote = Some(letter);
                text.push(letter);
            }
            (Some('"') | None, '\\') => {
                // A line that goes on.
                match letters.next() {
                    Some('\n') => text.push(' '),
                    Some(next) => text.extend(['\\', next]),
                    None => {}
                }
            }
            (None, '#') if text.is_empty() || text.ends_with(char::is_whitespace) => comment = true,
            (None, '`' | '(' | ')' | '{' | '}') if !in_variable(&text, letter) => return None,
            (None, ';' | '\n') => {
                // After `&&` a command may stand on the next line.
                if end(&mut text, joint) {
                    joint = Joint::Then;
                }
            }
            (None, '&') => {
                let both = letters.next_if_eq(&'&').is_some();
                // A redirection, as in `2>&1` or `&>`.
                if !both && (text.ends_with('>') || text.ends_with('<') || letters.peek() == Some(&'>')) {
                    text.push('&');
                    continue;
                }
                end(&mut text, joint);
                joint = if both { Joint::And } else { Joint::Then };
            }
            (None, '|') if letters.next_if_eq(&'|').is_some() => {
                end(&mut text, joint);
                joint = Joint::Or;
            }
            _ => text.push(letter),
        }
    }
    end(&mut text, joint);
    (quote.is_none()).then_some(found)
}

/// Returns whether a brace belongs to `${name}`.
fn in_variable(text: &str, letter: char) -> bool {
    match letter {
        '{' => text.ends_with('$'),
        '}' => text.rfind("${").is_some_and(|at| text.get(at..).is_some_and(|rest| !rest.contains('}'))),
        _ => false,
    }
}

/// Puts `until … done` and the like together; `None` where a block asks a sidecar to quit or is not closed.
fn blocks(commands: Vec<Command>) -> Option<Vec<Command>> {
    let (mut found, mut open): (Vec<Command>, Vec<Command>) = Default::default();
    let mut depth = 0_u32;
    for command in commands {
        let first = command.text.split_whitespace().next().unwrap_or_default();
        let opens = matches!(first, "if" | "while" | "until" | "for" | "case" | "select" | "function");
        let closes = matches!(first, "fi" | "done" | "esac");
        // `do if …` and the like open a block inside a block.
        let inner = matches!(first, "do" | "then" | "else")
            && command
                .text
                .split_whitespace()
                .nth(1)
                .is_some_and(|w| matches!(w, "if" | "while" | "until" | "for" | "case"));
        depth += u32::from(opens || inner);
        if depth == 0 {
            found.push(command);
            continue;
        }
        if is_quit(&command.text) {
            return None;
        }
        open.push(command);
        if closes {
            depth -= 1;
        }
        if depth == 0 {
            let text: Vec<&str> = open.iter().map(|command| command.text.as_str()).collect();
            let joint = open.first().map_or(Joint::Then, |command| command.joint);
            found.push(Command { joint, text: text.join("; ") });
            open.clear();
        }
    }
    (depth == 0).then_some(found)
}

/// How a script loses the exit code of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// After a failure the sidecar is never asked.
    NeverQuits,
    /// The script ends with the code of the request.
    HidesFailure,
}

/// Returns how a script that asks a sidecar to quit after its work loses the exit code of that work.
///
/// `None` for scripts that keep it, that do not ask, and for those that cannot be read with certainty.
pub(super) fn loses(script: &str, stops: bool) -> Option<Loss> {
    let commands = blocks(commands(script)?)?;
    let at = commands.iter().position(|command| is_quit(&command.text) && !is_prelude(&command.text))?;
    let (before, rest) = commands.split_at(at);
    let quit = rest.first()?;
    let mut stops = stops;
    for command in before {
        let mut words = command.text.split_whitespace();
        if words.next() == Some("set") {
            for word in words {
                let e = word.get(1..).is_some_and(|letters| letters.contains('e')) && !word.starts_with("--");
                stops = match word.chars().next() {
                    Some('-') if e => true,
                    Some('+') if e => false,
                    _ => stops || word == "errexit",
                };
            }
        }
    }
    // A handler at the end of the shell runs after success and failure alike.
    if before.iter().any(|command| command.text.starts_with("trap ")) {
        return None;
    }
    // Where the code is saved the work is over.
    let end = before.iter().position(|command| command.text.contains("=$?")).unwrap_or(at);
    let work = before.get(..end)?.iter().rposition(|command| !is_prelude(&command.text))?;
    // What a block does at its condition, and what is not last in a chain, does not stop a shell.
    let block = before.get(work).is_some_and(|command| is_block(&command.text));
    let next = before.get(work + 1).map_or(quit.joint, |next| next.joint);
    let guarded = block || matches!(next, Joint::And | Joint::Or);
    let saved: Vec<&str> = before.iter().flat_map(|command| all_assigned(&command.text)).collect();
    let keeps = rest.iter().skip(1).any(|command| {
        let tells = !matches!(command.text.split_whitespace().next(), Some("echo" | "printf"));
        tells && saved.iter().any(|name| mentions(&command.text, name))
    });
    if keeps && (!stops || guarded) {
        return None;
    }
    if quit.joint == Joint::And {
        // `a && quit || quit` asks in both cases, and cannot be told from others that do.
        let again = rest.iter().skip(1).any(|command| is_quit(&command.text));
        return (work + 1 == at && !again).then_some(Loss::NeverQuits);
    }
    match (stops && !guarded, block && stops) {
        (true, _) => Some(Loss::NeverQuits),
        (false, true) => None,
        (false, false) => Some(Loss::HidesFailure),
    }
}

fn is_block(text: &str) -> bool {
    matches!(text.split_whitespace().next(), Some("if" | "while" | "until" | "for" | "case" | "select"))
}

/// Returns whether text uses a variable: `$x`, `${x}` or `${x:-0}`.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let rest = text.get(at + 1..).unwrap_or_default().trim_start_matches('{');
        let ends = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        rest.strip_prefix(name).is_some_and(|rest| ends(rest.chars().next()))
    })
}

/// Returns every variable that a command or block sets.
fn all_assigned(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split([' ', ';', '\n', '\t']);
    words.filter_map(|word| {
        let (name, _) = word.split_once('=')?;
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        (first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
    })
}

/// Returns the variables that a command sets, when it sets variables alone.
fn assigned(text: &str) -> Option<&str> {
    let text = text.strip_prefix("export ").or_else(|| text.strip_prefix("local ")).unwrap_or(text);
    let (name, _) = text.split_once('=')?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}

/// Returns whether a command is no work: settings, waiting, printing.
fn is_prelude(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let sets = assigned(text).is_some() && text.split_whitespace().count() == 1;
    sets || matches!(
        first,
        "set"
            | "trap"
            | "until"
            | "while"
            | "sleep"
            | "echo"
            | "printf"
            | "export"
            | "cd"
            | "true"
            | ":"
            | "["
            | "[["
            | "test"
    )
}

/// Returns the part of a command that never ends.
pub(super) fn endless(command: &[String], args: &[String]) -> Option<String> {
    let words: Vec<&str> = command.iter().chain(args).map(String::as_str).collect();
    let text = script(command, args).map(|(script, _)| script);
    let parts: Vec<String> = match text {
        // What a script does last, in the foreground.
        Some(text) => {
            if text.contains("while true") || text.contains("while :") {
                let breaks = ["break", "exit", "return", "kill"].iter().any(|word| text.contains(word));
                return (!breaks).then(|| "while true".to_owned());
            }
            commands(text)?.into_iter().next_back().map(|command| command.text).into_iter().collect()
        }
        None => vec![words.join(" ")],
    };
    parts.into_iter().find(|part| runs_on(part))
}

fn runs_on(part: &str) -> bool {
    let mut words = part.split_whitespace().skip_while(|word| matches!(*word, "exec" | "tini" | "--" | "dumb-init"));
    let Some(program) = words.next().and_then(|word| word.rsplit('/').next()) else { return false };
    let rest: Vec<&str> = words.collect();
    match program {
        "sleep" => matches!(rest.as_slice(), ["infinity" | "inf"]),
        "tail" => rest.iter().any(|word| matches!(*word, "-f" | "-F") || word.starts_with("--follow")),
        "nginx" => rest.join(" ").contains("daemon off"),
        "httpd-foreground" | "apache2-foreground" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_saves_the_exit_code_or_traps_its_end_loses_nothing() {
        for script in [
            "app; x=$?; curl -X POST http://localhost:15020/quitquitquit; exit $x",
            "app\nrc=$?\ncurl -fsS -X POST localhost:15020/quitquitquit || true\nexit \"${rc}\"",
            "trap 'curl -X POST localhost:15020/quitquitquit' EXIT; app",
            "until curl -fs localhost:15021/healthz/ready; do sleep 1; done; app; x=$?; curl -XPOST localhost:15020/quitquitquit; exit $x",
            "set -e; x=0; app || x=$?; curl -XPOST localhost:15020/quitquitquit; exit $x",
            "app",
            "if app; then curl localhost:15020/quitquitquit; fi",
            "app && curl localhost:15020/quitquitquit || (curl localhost:15020/quitquitquit; exit 1)",
            "app || rc=$?; curl localhost:15020/quitquitquit; exit ${rc:-0}",
            "set -e; app && code=0 || code=$?; curl localhost:15020/quitquitquit; exit $code",
            "if app; then rc=0; else rc=1; fi; curl localhost:15020/quitquitquit; exit $rc",
            "set -e\nif app; then rc=0; else rc=1; fi\ncurl localhost:15020/quitquitquit\nexit $rc",
            "app; rc=$?; [ \"$ISTIO\" = true ] && curl localhost:15020/quitquitquit; exit $rc",
            "app; rc=$?; command -v curl && curl localhost:15020/quitquitquit; exit $rc",
            "app; rc=$?; curl localhost:15020/quitquitquit; [ $rc -eq 0 ]",
            "app & pid=$!; wait $pid; rc=$?; curl localhost:15020/quitquitquit; exit $rc",
        ] {
            assert_eq!(loses(script, false), None, "{script}");
        }
    }

    #[test]
    fn a_chain_that_never_asks_after_a_failure_or_hides_it_is_found() {
        for (script, stops, loss) in [
            ("app && curl -X POST localhost:15020/quitquitquit", false, Loss::NeverQuits),
            ("set -euo pipefail\napp\ncurl -X POST localhost:15020/quitquitquit", false, Loss::NeverQuits),
            ("app; curl -X POST localhost:15020/quitquitquit", true, Loss::NeverQuits),
            ("app; curl -X POST localhost:15020/quitquitquit", false, Loss::HidesFailure),
            ("app; x=$?; wget --post-data '' localhost:4191/shutdown", false, Loss::HidesFailure),
            ("app || curl -X POST localhost:15020/quitquitquit", false, Loss::HidesFailure),
            ("set -e; app; x=$?; curl localhost:15020/quitquitquit; exit $x", false, Loss::NeverQuits),
            ("app; x=$?; curl localhost:15020/quitquitquit; echo \"ended with $x\"", false, Loss::HidesFailure),
            ("if app; then echo ok; fi; curl localhost:15020/quitquitquit", false, Loss::HidesFailure),
            ("cd /app && app && curl localhost:15020/quitquitquit", false, Loss::NeverQuits),
            (
                "while ! nc -z localhost 5432; do sleep 1; done\napp\ncurl localhost:9091/quitquitquit\nexit $?",
                false,
                Loss::HidesFailure,
            ),
        ] {
            assert_eq!(loses(script, stops), Some(loss), "{script}");
        }
    }

    #[test]
    fn scripts_are_found_behind_the_flags_of_shells() {
        let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(script(&words(&["/bin/sh", "-c"]), &words(&["app"])), Some(("app", false)));
        assert_eq!(script(&words(&["bash", "-ec", "app"]), &[]), Some(("app", true)));
        assert_eq!(script(&words(&["bash", "-o", "errexit", "-c", "app"]), &[]), Some(("app", true)));
        assert_eq!(script(&words(&["python", "-c", "app"]), &[]), None);
        assert_eq!(script(&words(&["sh", "run.sh"]), &[]), None);
    }

    #[test]
    fn commands_that_never_end_are_known_by_their_last_words() {
        let never = |text: &[&str]| {
            let words: Vec<String> = text.iter().map(|word| (*word).to_owned()).collect();
            endless(&words, &[]).is_some()
        };
        assert!(never(&["sleep", "infinity"]) && never(&["sh", "-c", "setup; exec tail -f /dev/null"]));
        assert!(never(&["nginx", "-g", "daemon off;"]) && never(&["sh", "-c", "while true; do date; done"]));
        assert!(!never(&["sleep", "3600"]) && !never(&["sh", "-c", "tail -f log & app"]));
        assert!(!never(&["sh", "-c", "while true; do app && break; done"]) && !never(&["app"]));
    }
}
