//! `strftime_now`, for a day that is given.

use super::error::{Error, Result};

/// A day, at midnight, in the calendar of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    year: i64,
    /// From 1.
    month: usize,
    /// From 1.
    day: i64,
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Day {
    /// The day that rows are rendered on unless told otherwise: the one that Llama 3's template names itself.
    pub const DEFAULT: Self = Self {
        year: 2024,
        month: 7,
        day: 26,
    };

    /// Reads `2024-07-26`; nothing where there is no such day.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str, count: usize| {
            let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
            fits.then(|| text.parse::<i64>().ok()).flatten()
        };
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let (year, month, day) = (
            digits(year, 4)?,
            digits(month, 2)? as usize,
            digits(day, 2)?,
        );
        let day = Self { year, month, day };
        let exists =
            year >= 1 && (1..=12).contains(&month) && (1..=day.month_length()).contains(&day.day);
        exists.then_some(day)
    }

    fn is_leap(self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn month_length(self) -> i64 {
        match self.month {
            2 => 28 + i64::from(self.is_leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Days since the year began, from 0.
    fn day_of_year(self) -> i64 {
        let before = (1..self.month).map(|month| Self { month, ..self }.month_length());
        before.sum::<i64>() + self.day - 1
    }

    /// From 0 for Sunday.
    fn weekday(self) -> i64 {
        let years = self.year - 1;
        (years * 365 + years / 4 - years / 100 + years / 400 + self.day_of_year() + 1) % 7
    }

    /// Year and week of ISO 8601.
    fn iso_week(self) -> (i64, i64) {
        let monday_based = (self.weekday() + 6) % 7;
        let week = (self.day_of_year() - monday_based + 10) / 7;
        let last = |year: i64| {
            let end = Self {
                year,
                month: 12,
                day: 31,
            };
            if (end.weekday() + 6) % 7 == 3 || end.is_leap() && (end.weekday() + 6) % 7 == 4 {
                53
            } else {
                52
            }
        };
        match week {
            0 => (self.year - 1, last(self.year - 1)),
            53 if last(self.year) == 52 => (self.year + 1, 1),
            week => (self.year, week),
        }
    }

    /// What `datetime.strftime` of Python writes in its own locale, at midnight of this day.
    pub(super) fn format(self, format: &str) -> Result<String> {
        let mut text = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            let mut directive = letters.next();
            let bare = directive == Some('-');
            if bare {
                directive = letters.next();
            }
            let number = |number: i64, width: usize| match bare {
                true => number.to_string(),
                false => format!("{number:0width$}"),
            };
            let blank = |number: i64| {
                if bare {
                    number.to_string()
                } else {
                    format!("{number:2}")
                }
            };
            let (weekday, month) = (WEEKDAYS[self.weekday() as usize], MONTHS[self.month - 1]);
            text.push_str(&match directive {
                Some('a') => weekday[..3].into(),
                Some('A') => weekday.into(),
                Some('w') => self.weekday().to_string(),
                Some('u') => ((self.weekday() + 6) % 7 + 1).to_string(),
                Some('d') => number(self.day, 2),
                Some('e') => blank(self.day),
                Some('b' | 'h') => month[..3].into(),
                Some('B') => month.into(),
                Some('m') => number(self.month as i64, 2),
                Some('y') => number(self.year % 100, 2),
                Some('Y') => self.year.to_string(),
                Some('C') => number(self.year / 100, 2),
                Some('G') => self.iso_week().0.to_string(),
                Some('V') => number(self.iso_week().1, 2),
                Some('j') => number(self.day_of_year() + 1, 3),
                Some('U') => number((self.day_of_year() + 7 - self.weekday()) / 7, 2),
                Some('W') => number((self.day_of_year() + 7 - (self.weekday() + 6) % 7) / 7, 2),
                Some('H' | 'M' | 'S') => number(0, 2),
                Some('k') => blank(0),
                Some('I') => number(12, 2),
                Some('l') => blank(12),
                Some('f') => "000000".into(),
                Some('p') => "AM".into(),
                Some('P') => "am".into(),
                Some('z' | 'Z') => String::new(),
                Some('D' | 'x') => self.format("%m/%d/%y")?,
                Some('F') => self.format("%Y-%m-%d")?,
                Some('T' | 'X') => "00:00:00".into(),
                Some('R') => "00:00".into(),
                Some('r') => "12:00:00 AM".into(),
                Some('c') => self.format("%a %b %e %H:%M:%S %Y")?,
                Some('n') => "\n".into(),
                Some('t') => "\t".into(),
                Some('%') => "%".into(),
                other => {
                    let other = other.map_or_else(String::new, String::from);
                    return Err(Error::operation(format!("strftime_now knows no %{other}")));
                }
            });
        }
        Ok(text)
    }
}
