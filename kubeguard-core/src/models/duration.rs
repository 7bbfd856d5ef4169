//! Durations as Go's `time.ParseDuration` reads them: `90s`, `1h30m`, `100ms`, a bare `0`.

use jiff::SignedDuration;

/// Reads a duration of Go's `time.ParseDuration`, without a sign.
///
/// # Errors
/// A sentence with an example.
pub fn parse(text: &str) -> Result<SignedDuration, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [("0", 0), ("90s", 90_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("100ms", 100)] {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
        for wrong in ["", "5", "s", "5x", "-1s", "1h-3m", "999999999h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
