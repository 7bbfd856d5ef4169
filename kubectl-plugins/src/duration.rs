//! Durations as kubectl reads them: `90s`, `1h30m`, `100ms`, a bare `0`.

use jiff::SignedDuration;

/// Reads a duration of Go's `time.ParseDuration`, without a sign.
///
/// # Errors
/// A sentence with an example.
pub(crate) fn parse(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is no duration; examples: 90s, 1h30m, 500ms");
    if text == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let mut rest = text;
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(wrong()),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let mut part_nanos = 0;
        let mut place = scale;
        for digit in part.chars() {
            place /= 10;
            part_nanos += i128::from(digit.to_digit(10).ok_or_else(wrong)?) * place;
        }
        nanos = whole.checked_mul(scale).and_then(|more| nanos.checked_add(more + part_nanos)).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let nanos = i64::try_from(nanos).map_err(|_| format!("{text} is longer than 292 years"))?;
    Ok(SignedDuration::from_nanos(nanos))
}

/// Reads a time limit: a duration, bare seconds, or `0` for none.
///
/// # Errors
/// A sentence with an example.
pub(crate) fn parse_limit(text: &str) -> Result<std::time::Duration, String> {
    let duration = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        Err(_) => parse(text)?,
    };
    std::time::Duration::try_from(duration).map_err(|error| error.to_string())
}

/// Writes a duration for people: `0.4s` below ten seconds, then `48s`, `1m02s`, `3h05m`, `2d04h`; `10m` where nothing is left over.
pub(crate) fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..10 => {
            let tenths = duration.as_millis().max(0) / 100;
            if tenths % 10 == 0 { format!("{}s", tenths / 10) } else { format!("{}.{}s", tenths / 10, tenths % 10) }
        }
        10..60 => format!("{seconds}s"),
        60..3600 => two_units(seconds, (60, "m"), (1, "s")),
        3600..86400 => two_units(seconds, (3600, "h"), (60, "m")),
        _ => two_units(seconds, (86400, "d"), (3600, "h")),
    }
}

/// Writes the greater unit and what is left over in the smaller one; each is seconds and a letter.
fn two_units(seconds: i64, (greater, letter): (i64, &str), (smaller, small_letter): (i64, &str)) -> String {
    let left = seconds % greater / smaller;
    let left = if left == 0 { String::new() } else { format!("{left:02}{small_letter}") };
    format!("{}{letter}{left}", seconds / greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in
            [("0", 0), ("90s", 90_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("100ms", 100), ("2m0.5s", 120_500)]
        {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
        for wrong in ["", "5", "s", "5x", "-1s", "1h-3m", "999999999h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_limit("30").unwrap(), std::time::Duration::from_secs(30));
    }

    #[test]
    fn people_read_two_units_at_most() {
        for (millis, text) in [
            (0, "0s"),
            (430, "0.4s"),
            (9_900, "9.9s"),
            (48_000, "48s"),
            (62_000, "1m02s"),
            (600_000, "10m"),
            (11_100_000, "3h05m"),
            (187_200_000, "2d04h"),
        ] {
            assert_eq!(human(SignedDuration::from_millis(millis)), text);
        }
    }
}
