//! Durations as kubectl reads them: `90s`, `1h30m`, `100ms`, a bare `0`.

use jiff::SignedDuration;

pub(crate) use kubeguard_core::models::duration::parse;

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
