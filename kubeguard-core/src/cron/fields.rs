//! The five fields of a schedule as sets of numbers.

use jiff::civil::DateTime;

use super::ScheduleError;

/// What each field may hold.
struct Bounds {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Bounds = Bounds { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Bounds = Bounds { name: "day of month", least: 1, most: 31, names: &[] };
const MONTH: Bounds = Bounds {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Bounds =
    Bounds { name: "weekday", least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// The numbers of one field, one bit each.
#[derive(Debug, Clone, Copy, Default)]
struct Set {
    bits: u64,
    /// It is `*` or `?` with no step beyond 1, which makes the other of the two day fields decide alone.
    star: bool,
}

impl Set {
    const fn has(self, number: u32) -> bool {
        self.bits & (1 << number) != 0
    }
}

/// A schedule's five fields.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

impl Fields {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Count { text: text.to_owned(), found: fields.len() });
        };
        Ok(Self {
            minutes: set(minutes, &MINUTE)?,
            hours: set(hours, &HOUR)?,
            days: set(days, &DAY)?,
            months: set(months, &MONTH)?,
            weekdays: set(weekdays, &WEEKDAY)?,
        })
    }

    /// Returns whether the month matches.
    pub(super) fn has_month(&self, local: DateTime) -> bool {
        self.months.has(local.month().unsigned_abs().into())
    }

    /// Returns whether the hour matches.
    pub(super) fn has_hour(&self, local: DateTime) -> bool {
        self.hours.has(local.hour().unsigned_abs().into())
    }

    /// Returns whether the minute matches.
    pub(super) fn has_minute(&self, local: DateTime) -> bool {
        self.minutes.has(local.minute().unsigned_abs().into())
    }

    /// Returns whether day of month and weekday match: both, or one of them when both are restricted.
    pub(super) fn has_day(&self, local: DateTime) -> bool {
        let of_month = self.days.has(local.day().unsigned_abs().into());
        let of_week = self.weekdays.has(local.weekday().to_sunday_zero_offset().unsigned_abs().into());
        if self.days.star || self.weekdays.star { of_month && of_week } else { of_month || of_week }
    }
}

/// Reads one field: ranges with steps, separated by commas; empty ones are passed over.
fn set(text: &str, bounds: &Bounds) -> Result<Set, ScheduleError> {
    let mut whole = Set::default();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let problem = |problem: String| ScheduleError::Field { field: bounds.name, text: text.to_owned(), problem };
        let Set { bits, star } = read_range(range, bounds).map_err(problem)?;
        whole.bits |= bits;
        whole.star |= star;
    }
    Ok(whole)
}

fn read_range(range: &str, bounds: &Bounds) -> Result<Set, String> {
    let (span, step) = match range.split('/').collect::<Vec<_>>().as_slice() {
        [span] => (*span, None),
        [span, step] => (*span, Some(number(step)?)),
        _ => return Err("too many slashes".to_owned()),
    };
    let ends: Vec<&str> = span.split('-').collect();
    let any = matches!(ends.first(), Some(&("*" | "?")));
    let (start, mut end) = match ends.as_slice() {
        _ if any => (bounds.least, bounds.most),
        [one] => (value(one, bounds)?, value(one, bounds)?),
        [start, end] => (value(start, bounds)?, value(end, bounds)?),
        _ => return Err("too many hyphens".to_owned()),
    };
    // `N/step` goes on to the end.
    if step.is_some() && ends.len() == 1 {
        end = bounds.most;
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err("a step of 0".to_owned());
    }
    if start < bounds.least || end > bounds.most {
        return Err(format!("outside {} to {}", bounds.least, bounds.most));
    }
    if start > end {
        return Err("its start is beyond its end".to_owned());
    }
    let bits = (start..=end).step_by(step as usize).fold(0, |bits, number| bits | 1 << number);
    Ok(Set { bits, star: any && step == 1 })
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let named = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named.and_then(|index| u32::try_from(index).ok()) {
        Some(index) => Ok(bounds.least + index),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}
