//! The walk from one instant to the next, step by step as upstream does it, so that the answers are equal also where
//! clocks change.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::Schedule;
use super::fields::Fields;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Seconds since the epoch, seen by the clocks of one zone.
struct Clock<'a> {
    zone: &'a TimeZone,
    second: i64,
}

impl Clock<'_> {
    /// Returns what the clocks show; `None` beyond the years that there are.
    fn local(&self) -> Option<DateTime> {
        Some(self.zone.to_datetime(Timestamp::from_second(self.second).ok()?))
    }

    /// Sets the clocks.
    ///
    /// Of a time that is shown twice or never it takes the instant that Go's `time.Date` takes: the offset that holds
    /// where the local time, read as UTC, would be, corrected once.
    fn set(&mut self, local: DateTime) -> Option<()> {
        let as_utc = TimeZone::UTC.to_timestamp(local).ok()?;
        let guess = i64::from(self.zone.to_offset(as_utc).seconds());
        let guessed = Timestamp::from_second(as_utc.as_second() - guess).ok()?;
        self.second = as_utc.as_second() - i64::from(self.zone.to_offset(guessed).seconds());
        Some(())
    }
}

/// Returns the first second after `after` at which the fields match.
pub(super) fn next(fields: &Fields, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut clock = Clock { zone, second: after.as_second() + 1 };
    let last_year = clock.local()?.year() + Schedule::YEARS;
    // Whether the start of a field has been gone to, from where whole steps lead on.
    let mut moved = false;
    'wrap: loop {
        if clock.local()?.year() > last_year {
            return None;
        }
        while !fields.has_month(clock.local()?) {
            if !moved {
                moved = true;
                clock.set(clock.local()?.date().first_of_month().to_datetime(Time::midnight()))?;
            }
            clock.set(clock.local()?.checked_add(1.month()).ok()?)?;
            if clock.local()?.month() == 1 {
                continue 'wrap;
            }
        }
        while !fields.has_day(clock.local()?) {
            if !moved {
                moved = true;
                clock.set(clock.local()?.date().to_datetime(Time::midnight()))?;
            }
            let before = clock.second;
            clock.set(clock.local()?.checked_add(1.day()).ok()?)?;
            // Where the clocks skip midnight.
            let hour = i64::from(clock.local()?.hour());
            clock.second += if hour > 12 { (24 - hour) * HOUR } else { -hour * HOUR };
            if clock.second <= before {
                // Where they skip a whole day upstream would stay for ever.
                clock.second = before + DAY;
            }
            if clock.local()?.day() == 1 {
                continue 'wrap;
            }
        }
        while !fields.has_hour(clock.local()?) {
            if !moved {
                moved = true;
                let local = clock.local()?;
                clock.set(local.date().at(local.hour(), 0, 0, 0))?;
            }
            clock.second += HOUR;
            if clock.local()?.hour() == 0 {
                continue 'wrap;
            }
        }
        while !fields.has_minute(clock.local()?) {
            if !moved {
                moved = true;
                clock.second -= clock.second.rem_euclid(MINUTE);
            }
            clock.second += MINUTE;
            if clock.local()?.minute() == 0 {
                continue 'wrap;
            }
        }
        // Schedules have no field of seconds: the first is meant.
        while clock.local()?.second() != 0 {
            moved = true;
            clock.second += 1;
            if clock.local()?.second() == 0 {
                continue 'wrap;
            }
        }
        return Timestamp::from_second(clock.second).ok();
    }
}
