//! The README's tables of flags and exit codes are written by the command itself.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::path::Path;

use kubectl_plugins::ExitCode;

fn flags() -> String {
    let mut text = String::from("| flag | meaning |\n|---|---|\n");
    let command = kubectl_plugins::wait_deploy::command();
    // Access and help are kubectl's own; the README need not repeat them.
    let shown = |argument: &&clap::Arg| {
        !argument.is_hide_set()
            && !argument.is_positional()
            && argument.get_help_heading().is_some_and(|heading| heading != "Access")
    };
    for argument in command.get_arguments().filter(shown) {
        let short = argument.get_short().map_or(String::new(), |short| format!("-{short}, "));
        let long = argument.get_long().unwrap_or_default();
        let takes = argument.get_action().takes_values();
        let value =
            argument.get_value_names().filter(|_| takes).map_or(String::new(), |names| format!(" {}", names[0]));
        let help = argument.get_help().unwrap().to_string().replace('|', "\\|");
        text.push_str(&format!("| `{short}--{long}{}` | {help} |\n", value.replace('|', "\\|")));
    }
    text
}

fn exit_codes() -> String {
    let rows = ExitCode::ALL.iter().map(|(code, meaning)| format!("| {} | {meaning} |\n", code.code()));
    format!("| exit code | meaning |\n|---|---|\n{}", rows.collect::<String>())
}

/// Returns `readme` with `table` between the marks of `name`.
fn with(readme: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = readme.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}{begin}{table}{end}{after}")
}

#[test]
fn the_readme_lists_every_flag_and_exit_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let written = with(&with(&readme, "flags", &flags()), "exit codes", &exit_codes());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, written).unwrap();
        return;
    }
    assert_eq!(readme, written, "UPDATE_DOCS=1 cargo test -p kubectl-plugins --test readme writes it anew");
}
