//! Commands of probes: shells, scripts, and the hosts that clients name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::audit::kinds::Container;

const SHELLS: &[&str] = &["sh", "bash", "ash", "dash", "zsh", "ksh"];
/// Programs that do nothing but start another.
const WRAPPERS: &[&str] = &[
    "exec", "timeout", "env", "nice", "command", "time", "sudo", "gosu", "tini", "if", "then", "do", "!", "while",
    "until", "else", "{", "(",
];

/// Returns a program's name without its folder.
pub(in crate::audit) fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Returns whether a program is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&base(program))
}

/// Returns whether a command is given to a shell, directly or through another program, as in `timeout 5 sh -c …`.
pub(super) fn has_shell(argv: &[String]) -> bool {
    argv.iter().any(|word| is_shell(word))
}

/// Returns the script of `sh -c SCRIPT`.
pub(super) fn script(argv: &[String]) -> Option<&str> {
    let [shell, flag, script, ..] = argv else { return None };
    let flagged = flag.starts_with('-') && !flag.starts_with("--") && flag.contains('c');
    (is_shell(shell) && flagged).then_some(script)
}

/// Splits a script into commands and those into words, without quotes; a sketch of a shell that knows no nesting.
fn commands(script: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word, mut quote, mut open) = (Vec::new(), Vec::new(), String::new(), None, false);
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(mark), _) if letter == mark => quote = None,
            (None, '\'' | '"') => (quote, open) = (Some(letter), true),
            (None, '\\') => word.extend(letters.next().filter(|next| *next != '\n')),
            (None, ';' | '&' | '|' | '\n') => {
                if !word.is_empty() || open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
                all.push(std::mem::take(&mut words));
            }
            (None, _) if letter.is_whitespace() => {
                if !word.is_empty() || open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            _ => word.push(letter),
        }
    }
    if !word.is_empty() || open {
        words.push(word);
    }
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

/// Returns the commands that a probe runs, each from its program on.
pub(in crate::audit) fn run(argv: &[String]) -> Vec<Vec<String>> {
    let from = argv.iter().position(|word| is_shell(word));
    let inner = from.and_then(|at| argv.get(at..)).and_then(script);
    let all = match (inner, from) {
        (Some(script), _) => commands(script),
        // A shell that runs a file: nobody knows what is in it.
        (None, Some(_)) => Vec::new(),
        (None, None) => vec![argv.to_vec()],
    };
    let program = |words: Vec<String>| {
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.peek() {
            let wraps = WRAPPERS.contains(&base(word)) || word.contains('=') && !word.starts_with('-');
            let number = word.trim_end_matches(['s', 'm']).parse::<f64>().is_ok();
            if wraps || number || word.starts_with('-') {
                words.next();
            } else {
                break;
            }
        }
        words.collect::<Vec<_>>()
    };
    all.into_iter().map(program).filter(|words| !words.is_empty()).collect()
}

/// Returns whether a command succeeds whatever happens: `true`, `:`, `exit 0`, `echo …`.
pub(super) fn always_succeeds(argv: &[String]) -> bool {
    let succeeds = |words: &[String]| {
        let Some((program, rest)) = words.split_first() else { return false };
        // What is written elsewhere, or taken from another command, can fail.
        let plain = !rest.iter().any(|word| word.contains(['>', '<', '`', '$', '&', '|', ';']));
        match base(program) {
            "true" | ":" => rest.is_empty(),
            "echo" => plain,
            "exit" => rest == ["0"],
            _ => false,
        }
    };
    match script(argv) {
        Some(script) => {
            let quiet = !script.contains(['>', '<', '`', '$']);
            let all = commands(script);
            quiet && !all.is_empty() && all.iter().all(|words| succeeds(words))
        }
        None => succeeds(argv) && argv.first().is_some_and(|program| !matches!(program.as_str(), ":" | "exit")),
    }
}

/// Returns whether a container's command only waits, as in `sleep infinity`: it listens nowhere.
pub(super) fn only_waits(container: &Container) -> bool {
    const QUIET: &[&str] =
        &["touch", "echo", "printf", "mkdir", "rm", "date", "true", ":", "trap", "wait", "done", "set", "exit", "cd"];
    let argv: Vec<String> = container.command.iter().chain(&container.args).cloned().collect();
    let all = run(&argv);
    let program = |words: &Vec<String>| words.first().map_or(String::new(), |word| base(word).to_owned());
    // An image without a command of its own may hand the first argument to its entry point.
    let whole = !container.command.is_empty() || argv.first().is_some_and(|word| is_shell(word));
    let waits = |name: &str| matches!(name, "sleep" | "pause" | "tail");
    whole
        && all.iter().any(|words| waits(&program(words)))
        && all.iter().all(|words| waits(&program(words)) || QUIET.contains(&program(words).as_str()))
}

/// Whether something is in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<T> {
    /// It is.
    Local,
    /// It is elsewhere, there.
    Remote(T),
    /// Nobody knows.
    Unknown,
}

/// Returns where a host is. What depends on a variable or another command is unknown.
pub(super) fn place(host: &str) -> Target<&str> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.starts_with('/') || host.eq_ignore_ascii_case("localhost") {
        return Target::Local;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let own = address.is_loopback() || address.is_unspecified();
        return if own { Target::Local } else { Target::Remote(host) };
    }
    let plain = host.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-_".contains(letter));
    let localhost = host.to_lowercase();
    if matches!(localhost.as_str(), "localhost.localdomain" | "ip6-localhost" | "localhost4" | "localhost6") {
        return Target::Local;
    }
    if plain && host.chars().any(|letter| letter.is_ascii_alphabetic()) {
        Target::Remote(host)
    } else {
        Target::Unknown
    }
}

/// Returns the host of a URL, or of what curl takes for one.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(end) = authority.find(']') {
        return authority.get(..=end).unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// Database and cache clients: name, flags that name a host, variables that do.
type Client = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);
const CLIENTS: &[Client] = &[
    (&["psql", "pg_isready"], &["-h", "--host"], &["PGHOST"]),
    (&["mysql", "mysqladmin", "mariadb", "mariadb-admin"], &["-h", "--host"], &["MYSQL_HOST"]),
    (&["redis-cli", "valkey-cli"], &["-h"], &["REDISCLI_HOST", "REDIS_HOST"]),
    (&["mongosh", "mongo"], &["--host"], &[]),
    (&["grpc_health_probe", "grpc-health-probe"], &["-addr", "--addr"], &[]),
];
/// Flags of curl and wget whose value is the next word.
const TAKING: &[&str] = &[
    "-o",
    "--output",
    "-O",
    "-m",
    "--max-time",
    "-H",
    "--header",
    "-w",
    "--write-out",
    "-X",
    "--request",
    "-d",
    "--data",
    "-u",
    "--user",
    "-A",
    "--user-agent",
    "-T",
    "--timeout",
    "-t",
    "--tries",
    "--connect-timeout",
    "--retry",
    "--cert",
    "--key",
    "--cacert",
    "-E",
    "--unix-socket",
    "-b",
    "--cookie",
    "-e",
    "--retry-delay",
    "--resolve",
];

/// Returns a flag's value: the next word, or what follows it in the same one.
fn value<'a>(words: &'a [String], flags: &[&str]) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(at, word)| {
        flags.iter().find_map(|flag| {
            let rest = word.strip_prefix(flag)?;
            match rest {
                "" => words.get(at + 1).map(String::as_str),
                _ if rest.starts_with('=') => rest.strip_prefix('='),
                // `-hdb` and `--host=db`; never `--hostname` for `--host`.
                _ if flag.starts_with("--") => rest.strip_prefix('='),
                _ => Some(rest),
            }
        })
    })
}

/// Returns the URL that curl or wget is asked to fetch.
pub(super) fn fetched(words: &[String]) -> Option<&str> {
    let (program, rest) = words.split_first()?;
    let wget = base(program) == "wget";
    if !matches!(base(program), "curl" | "wget") {
        return None;
    }
    let mut skip = false;
    rest.iter().map(String::as_str).find(|word| {
        if std::mem::take(&mut skip) {
            return false;
        }
        // `-qO-` of wget needs no further word, `-O` does.
        skip = TAKING.contains(word) && (wget || *word != "-O");
        !word.starts_with('-')
            && !matches!(*word, ">" | ">>" | "2>&1" | "<")
            && !word.starts_with("/dev/")
            && !word.starts_with('>')
    })
}

/// Returns the host that netcat connects to: its first word that is no flag, no flag's value and no port.
fn connected(rest: &[String]) -> Option<&str> {
    let mut skip = false;
    let mut words = rest.iter().map(String::as_str).filter(|word| {
        let value = std::mem::take(&mut skip);
        // `-w 2`, and `-zw2` with its value in it.
        let flags = word.strip_prefix('-');
        skip = flags.is_some_and(|flags| flags.ends_with(['w', 'i', 'p', 's', 'q', 'x', 'X']));
        !value && flags.is_none()
    });
    let (first, second) = (words.next()?, words.next());
    // A socket, and a port without a host, are local.
    second.filter(|port| port.parse::<u16>().is_ok() || port.starts_with('$')).map(|_| first)
}

/// Returns where the command of a probe looks: the first host that is not the pod's own, by `variables` that are
/// literally set.
pub(super) fn target(argv: &[String], container: &Container) -> Target<String> {
    let literal: BTreeMap<&str, &str> = container
        .env
        .iter()
        .filter(|variable| variable.value_from.is_none())
        .map(|variable| (variable.name.as_str(), variable.value.as_str()))
        .collect();
    let mut known = Target::Unknown;
    for words in run(argv) {
        let Some((program, rest)) = words.split_first() else { continue };
        let client = CLIENTS.iter().find(|(names, ..)| names.contains(&base(program)));
        let host = if matches!(base(program), "nc" | "ncat" | "netcat") {
            connected(rest).unwrap_or_default()
        } else if let Some(url) = fetched(&words) {
            if rest.iter().any(|word| word == "--unix-socket") { "" } else { host_of(url) }
        } else if let Some((names, flags, variables)) = client {
            let variable = || variables.iter().find_map(|name| literal.get(name).copied());
            let url = rest.iter().find(|word| word.contains("://") && !word.starts_with('-')).map(|url| host_of(url));
            // With a socket the host says nothing.
            let socket = names.contains(&"mysql") && value(rest, &["-S", "--socket"]).is_some();
            if socket { "" } else { value(rest, flags).or(url).or_else(variable).unwrap_or_default() }
        } else {
            continue;
        };
        let host = resolved(host, &literal);
        // mongosh takes `host:port` and lists.
        let host = host.split([':', ',']).next().filter(|_| host.parse::<IpAddr>().is_err()).unwrap_or(&host);
        match place(host) {
            Target::Remote(host) => return Target::Remote(host.to_owned()),
            Target::Local => known = Target::Local,
            Target::Unknown => {}
        }
    }
    known
}

/// Puts variables in until none is known any more; a value may be a whole URL.
fn resolved(text: &str, literal: &BTreeMap<&str, &str>) -> String {
    let mut text = text.to_owned();
    // A variable may name another, not itself without end.
    for _ in 0..4 {
        let next = host_of(&substituted(&text, literal)).to_owned();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// Puts the values of literal variables in: `$(NAME)` by Kubernetes, `$NAME` and `${NAME}` by the shell.
fn substituted(text: &str, literal: &BTreeMap<&str, &str>) -> String {
    let inner = text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
    let inner = inner.or_else(|| text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')));
    let name = inner.or_else(|| text.strip_prefix('$'));
    match name.and_then(|name| literal.get(name)) {
        // An empty value may be set by the image's own script: nobody knows.
        Some(value) if !value.is_empty() => (*value).to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn looks(words: &[&str]) -> Target<String> {
        target(&argv(words), &Container::default())
    }

    #[test]
    fn a_command_that_cannot_fail_is_told_from_one_that_can() {
        for noop in [
            &["/bin/true"][..],
            &["sh", "-c", "exit 0"],
            &["echo", "ok"],
            &["sh", "-c", ":"],
            &["bash", "-c", "echo a; true"],
        ] {
            assert!(always_succeeds(&argv(noop)), "{noop:?}");
        }
        for real in [
            &["cat", "/tmp/a"][..],
            &["sh", "-c", "echo a > /data/x"],
            &["sh", "-c", "test -f /a && exit 0"],
            &["sh", "-c", ""],
        ] {
            assert!(!always_succeeds(&argv(real)), "{real:?}");
        }
    }

    #[test]
    fn a_command_that_only_waits_listens_nowhere() {
        let container = |command: &[&str], args: &[&str]| Container {
            command: argv(command),
            args: argv(args),
            ..Container::default()
        };
        assert!(only_waits(&container(&["/bin/sleep", "infinity"], &[])));
        assert!(only_waits(&container(&[], &["/bin/sh", "-c", "touch /tmp/healthy; sleep 3600"])));
        assert!(only_waits(&container(&["sh", "-c", "while true; do sleep 30; done"], &[])));
        assert!(only_waits(&container(&["tail", "-f", "/dev/null"], &[])));
        assert!(!only_waits(&container(&["sh", "-c", "server & sleep infinity"], &[])));
        assert!(!only_waits(&container(&[], &["sleep"])) && !only_waits(&Container::default()));
        assert!(!only_waits(&container(&["/entrypoint.sh"], &["sleep", "5"])));
    }

    #[test]
    fn a_client_s_host_is_found_wherever_it_is_written() {
        let remote = |host: &str| Target::Remote(host.to_owned());
        assert_eq!(looks(&["psql", "-h", "db-svc", "-c", "select 1"]), remote("db-svc"));
        assert_eq!(looks(&["sh", "-c", "exec pg_isready -hdb.prod -U x"]), remote("db.prod"));
        assert_eq!(looks(&["sh", "-c", "true && curl -fsS -o /dev/null http://user@api:80/x"]), remote("api"));
        assert_eq!(looks(&["timeout", "5", "mysqladmin", "ping", "--host=db"]), remote("db"));
        assert_eq!(looks(&["mongosh", "mongodb://db:27017/x"]), remote("db"));
        assert_eq!(looks(&["sh", "-c", "nc -zw2 db 5432"]), remote("db"));
        assert_eq!(looks(&["grpc_health_probe", "-addr=api.prod:50051"]), remote("api.prod"));
    }

    #[test]
    fn what_is_in_the_pod_or_unknown_is_not_remote() {
        assert_eq!(looks(&["pg_isready", "-U", "postgres"]), Target::Local);
        assert_eq!(looks(&["mysqladmin", "ping", "-h", "127.0.0.1"]), Target::Local);
        assert_eq!(looks(&["psql", "-h", "/var/run/postgresql"]), Target::Local);
        assert_eq!(looks(&["sh", "-c", "echo ruok | nc -w 2 127.0.0.1 2181 | grep imok"]), Target::Local);
        assert_eq!(looks(&["nc", "-U", "/run/x.sock"]), Target::Local);
        assert_eq!(looks(&["grpc_health_probe", "-addr=:50051"]), Target::Local);
        assert_eq!(looks(&["curl", "http://[::1]:8080/"]), Target::Local);
        assert_eq!(looks(&["sh", "-c", "redis-cli -h $HOSTNAME ping"]), Target::Unknown);
        assert_eq!(looks(&["sh", "-c", "/probe.sh"]), Target::Unknown);
        assert_eq!(looks(&["sh", "/probe.sh", "-h", "db"]), Target::Unknown);
        let variable = |name: &str, value: &str| crate::audit::kinds::EnvVar {
            name: name.to_owned(),
            value: value.to_owned(),
            ..Default::default()
        };
        let at = |value: &str| {
            let container = Container { env: vec![variable("ADDR", value)], ..Container::default() };
            target(&argv(&["sh", "-c", "curl -s ${ADDR}/v1/leader"]), &container)
        };
        assert_eq!(at("http://$(POD_IP):8500"), Target::Unknown);
        assert_eq!(at("http://127.0.0.1:8500"), Target::Local);
        assert_eq!(at("http://consul.prod:8500"), Target::Remote("consul.prod".to_owned()));
    }
}
