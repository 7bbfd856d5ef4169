//! Errors in words: what was being done, why it failed, what to try; each fact once.

use kubeguard_core::error::Error;

use crate::terminal::{Terminal, printable};

/// Shows an error with its chain and hint on stderr.
pub(crate) fn show(terminal: Terminal, error: &Error) {
    terminal.complain(&text(error));
}

fn text(error: &Error) -> String {
    let mut said = vec![error.to_string()];
    let mut lines = vec![format!("error: {}", printable(&said.concat()))];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !said.iter().any(|before| before.contains(&cause_text)) {
            lines.push(format!("because: {}", printable(&cause_text)));
            said.push(cause_text);
        }
        source = cause.source();
    }
    lines.extend(error.hint().map(|hint| format!("try: {}", printable(&hint))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use kubeguard_core::error::Failure;

    use super::*;

    #[test]
    fn a_refusal_names_verb_resource_and_namespace_and_what_to_try() {
        let failure = Failure::Status {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: "pods is forbidden".to_owned(),
            retry_after: None,
        };
        let doing = "list pods in namespace team".to_owned();
        let error = Error::Api { doing, failure, server: "https://10.0.0.1".to_owned() };
        assert_eq!(
            text(&error),
            "error: cannot list pods in namespace team\n\
             because: server says (Forbidden): pods is forbidden\n\
             try: kubectl auth can-i list pods -n team; --print-rbac prints the Role it needs"
        );
    }
}
