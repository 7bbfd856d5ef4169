//! Numbers that may be percentages of another.

use crate::kinds::IntOrString;

/// Which way a share of a number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Towards more: `maxSurge`, and everything of `DaemonSet`s and disruption budgets.
    Up,
    /// Towards less: `maxUnavailable` of a `Deployment`.
    Down,
}

/// Text that is neither a number nor a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a number nor a percentage, as in 3 or 25%")]
pub struct NotACount {
    /// What is written.
    pub text: String,
}

/// Returns a number, or a percentage of `of`, rounded.
///
/// An integer is itself; `"k%"` is `k·of/100`; text without `%` is no number, even `"3"`. Source:
/// `intstr.GetScaledValueFromIntOrPercent`.
///
/// # Errors
/// When it is anything else.
pub fn int_or_percent(value: &IntOrString, of: i32, round: Round) -> Result<i32, NotACount> {
    if let Some(number) = value.number() {
        return Ok(number);
    }
    let text = value.to_string();
    let wrong = || NotACount { text: text.clone() };
    let percent: i32 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    let scaled = i64::from(percent) * i64::from(of);
    let up = i64::from(round == Round::Up && scaled.rem_euclid(100) != 0);
    i32::try_from(scaled.div_euclid(100) + up).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: serde_json::Value, of: i32, round: Round) -> Result<i32, NotACount> {
        int_or_percent(&serde_json::from_value(value).unwrap(), of, round)
    }

    #[test]
    fn a_percentage_is_of_the_objects_own_number() {
        for (value, of, up, down) in [
            (serde_json::json!(3), 10, 3, 3),
            (serde_json::json!("25%"), 10, 3, 2),
            (serde_json::json!("25%"), 4, 1, 1),
            (serde_json::json!("0%"), 7, 0, 0),
            (serde_json::json!("100%"), 60, 60, 60),
            (serde_json::json!("150%"), 3, 5, 4),
        ] {
            assert_eq!(read(value.clone(), of, Round::Up), Ok(up), "{value} of {of}");
            assert_eq!(read(value.clone(), of, Round::Down), Ok(down), "{value} of {of}");
        }
    }

    #[test]
    fn what_is_no_count_says_what_is_written() {
        for wrong in ["many", "3", "%", "2.5%", ""] {
            let error = read(serde_json::json!(wrong), 10, Round::Up).unwrap_err();
            assert_eq!(error.text, wrong);
        }
        assert!(read(serde_json::json!("2147483647%"), i32::MAX, Round::Up).is_err());
    }

    proptest! {
        #[test]
        fn rounding_up_and_down_differ_by_one_at_most(percent in 0..200_i32, of in 0..100_000_i32) {
            let value = IntOrString::from(format!("{percent}%"));
            let (up, down) = (int_or_percent(&value, of, Round::Up)?, int_or_percent(&value, of, Round::Down)?);
            prop_assert!(up - down <= 1 && up >= down);
            let exact = i64::from(percent) * i64::from(of);
            prop_assert!(i64::from(down) * 100 <= exact && exact <= i64::from(up) * 100);
        }
    }
}
