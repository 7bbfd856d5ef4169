//! When a CronJob should have run: schedules as the CronJob controller reads them.
//!
//! The grammar and the instants are those of `robfig/cron` v3 (`ParseStandard`), which the controller uses: five fields
//! or a descriptor; day of month and weekday are alternatives when both are restricted. A time that the clocks skip in
//! spring never comes, one that they repeat in autumn comes twice.

mod fields;
mod walk;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use fields::Fields;

/// A schedule in its time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    rhythm: Rhythm,
    zone: TimeZone,
    zone_is_assumed: bool,
}

#[derive(Debug, Clone)]
enum Rhythm {
    Fields(Fields),
    /// Of `@every`: so long after the run before.
    Every(SignedDuration),
}

/// Why a schedule never fires: it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A schedule has five fields.
    #[error("expected 5 fields, found {found}: {text:?}")]
    Count {
        /// The schedule.
        text: String,
        /// Its fields.
        found: usize,
    },
    /// One field is not what it can be.
    #[error("{field} {text:?}: {problem}")]
    Field {
        /// Name of the field, as in `weekday`.
        field: &'static str,
        /// The field.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A descriptor that there is not.
    #[error(
        "{0:?} is no schedule: @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every DURATION"
    )]
    Descriptor(String),
    /// A time zone that there is not.
    #[error("{0:?} is no time zone")]
    Zone(String),
}

/// How many instants a CronJob did not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Their number, at most [`Missed::MOST`].
    pub count: usize,
    /// There are more.
    pub more: bool,
}

impl Missed {
    /// Where counting ends.
    pub const MOST: usize = 10_000;
}

impl Schedule {
    /// How far ahead a schedule is searched, in years: one without an instant until then never fires.
    pub const YEARS: i16 = 5;

    /// Reads a schedule; without a zone it is that of the controller manager, which is taken to be UTC.
    ///
    /// # Errors
    /// When it does not parse, or the zone is not known.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let mut rest = text.trim();
        let mut zone = zone.map(ToOwned::to_owned);
        if let Some(after) = rest.strip_prefix("TZ=").or_else(|| rest.strip_prefix("CRON_TZ=")) {
            let (inner, schedule) = after.split_once(' ').unwrap_or((after, ""));
            zone = Some(inner.to_owned());
            rest = schedule.trim();
        }
        let rhythm = if rest.starts_with('@') { descriptor(rest)? } else { Rhythm::Fields(Fields::parse(rest)?) };
        let zone_is_assumed = zone.is_none();
        let zone = match zone.as_deref() {
            None | Some("" | "UTC") => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))?,
        };
        Ok(Self { rhythm, zone, zone_is_assumed })
    }

    /// Returns whether the zone is an assumption, which an answer that rests on it must say.
    #[must_use]
    pub const fn zone_is_assumed(&self) -> bool {
        self.zone_is_assumed
    }

    /// Returns the instants after `after`, up to and including `until`, in their order.
    pub fn instants(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |last| self.next(*last)).take_while(move |instant| *instant <= until)
    }

    /// Returns the first instant after `after`; `None` when there is none within [`Self::YEARS`].
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Every(step) => Timestamp::from_second(after.as_second()).ok()?.checked_add(*step).ok(),
            Rhythm::Fields(fields) => walk::next(fields, &self.zone, after),
        }
    }

    /// Returns the longest gap among the last four instants before `now`; `None` for a schedule that rarely fires.
    #[must_use]
    pub fn interval(&self, now: Timestamp) -> Option<SignedDuration> {
        for days in [2, 40, 800, 366 * i64::from(Self::YEARS)] {
            let after = now.checked_sub(SignedDuration::from_hours(24 * days)).ok()?;
            let mut last = std::collections::VecDeque::new();
            for instant in self.instants(after, now) {
                last.push_back(instant);
                if last.len() > 4 {
                    last.pop_front();
                }
            }
            if last.len() == 4 {
                return last.iter().zip(last.iter().skip(1)).map(|(a, b)| b.duration_since(*a)).max();
            }
        }
        None
    }
}

/// Counts the instants after `since` that have passed for longer than `slack`.
#[must_use]
pub fn missed(schedule: &Schedule, since: Timestamp, now: Timestamp, slack: SignedDuration) -> Missed {
    let until = now.checked_sub(slack).unwrap_or(now);
    let count = schedule.instants(since, until).take(Missed::MOST + 1).count();
    Missed { count: count.min(Missed::MOST), more: count > Missed::MOST }
}

fn descriptor(text: &str) -> Result<Rhythm, ScheduleError> {
    let unknown = || ScheduleError::Descriptor(text.to_owned());
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let every = text.strip_prefix("@every ").and_then(go_duration).ok_or_else(unknown)?;
            // Whole seconds, and one at least.
            return Ok(Rhythm::Every(SignedDuration::from_secs(every.as_secs().max(1))));
        }
    };
    Fields::parse(fields).map(Rhythm::Fields)
}

/// Reads a duration as Go writes it, as in `1h30m` or `1.5h`.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    SignedDuration::try_from_secs_f64(if negative { -seconds } else { seconds }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn first(schedule: &str, zone: Option<&str>, after: &str, most: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        let until = at(after) + SignedDuration::from_hours(24 * 366 * 5);
        schedule.instants(at(after), until).take(most).map(|instant| instant.to_string()).collect()
    }

    #[test]
    fn instants_follow_the_schedule() {
        assert_eq!(
            first("*/30 2 * * *", None, "2026-11-22T02:00:00Z", 2),
            ["2026-11-22T02:30:00Z", "2026-11-23T02:00:00Z"]
        );
        assert_eq!(first("0 0 29 2 *", None, "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
        assert_eq!(first("@every 90m", None, "2026-01-01T00:10:00Z", 1), ["2026-01-01T01:40:00Z"]);
        assert_eq!(first("0 9 * jan mon-FRI", None, "2026-12-31T00:00:00Z", 1), ["2027-01-01T09:00:00Z"]);
    }

    #[test]
    fn day_of_month_and_weekday_are_alternatives_only_when_both_are_restricted() {
        // Friday the first or any Monday.
        assert_eq!(
            first("0 0 13 * 1", None, "2026-11-10T00:00:00Z", 2),
            ["2026-11-13T00:00:00Z", "2026-11-16T00:00:00Z"]
        );
        assert_eq!(first("0 0 ? * 1", None, "2026-11-10T00:00:00Z", 1), ["2026-11-16T00:00:00Z"]);
    }

    #[test]
    fn skipped_hours_never_come_and_repeated_ones_come_twice() {
        let zone = Some("America/New_York");
        assert_eq!(first("30 2 * * *", zone, "2026-03-07T12:00:00Z", 1), ["2026-03-09T06:30:00Z"]);
        assert_eq!(
            first("30 1 1 11 *", zone, "2026-10-01T00:00:00Z", 2),
            ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]
        );
    }

    #[test]
    fn what_the_controller_cannot_read_is_an_error() {
        for wrong in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "@often",
            "a * * * *",
        ] {
            assert!(Schedule::parse(wrong, None).is_err(), "{wrong}");
        }
        assert!(matches!(Schedule::parse("* * * * *", Some("Mars/Base")), Err(ScheduleError::Zone(_))));
    }

    #[test]
    fn a_date_that_never_comes_has_no_instant() {
        let never = Schedule::parse("0 0 30 2 *", None).unwrap();
        assert_eq!(never.next(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(never.interval(at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn the_interval_is_the_longest_gap_of_the_last_four_runs() {
        let schedule = Schedule::parse("0 9,17 * * *", None).unwrap();
        assert_eq!(schedule.interval(at("2026-11-22T18:00:00Z")), Some(SignedDuration::from_hours(16)));
        let weekly = Schedule::parse("@weekly", None).unwrap();
        assert_eq!(weekly.interval(at("2026-11-22T18:00:00Z")), Some(SignedDuration::from_hours(168)));
    }

    #[test]
    fn counting_missed_runs_ends_at_ten_thousand() {
        let schedule = Schedule::parse("* * * * *", None).unwrap();
        let (since, slack) = (at("2026-01-01T00:00:00Z"), SignedDuration::from_secs(100));
        assert_eq!(missed(&schedule, since, at("2026-01-01T00:05:00Z"), slack), Missed { count: 3, more: false });
        let many = missed(&schedule, since, at("2026-11-01T00:00:00Z"), slack);
        assert_eq!(many, Missed { count: Missed::MOST, more: true });
    }
}
