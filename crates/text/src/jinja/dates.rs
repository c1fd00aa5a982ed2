//! `strftime_now`, for a day that is given.

use jiff::civil::Date;

use super::error::{Error, Result};

/// A day, at midnight, in the calendar of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(Date);

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Directives that `strftime` of the jiff library writes as Python does.
const SAME: &str = "aAwudebhBmyCVjUWHMSkIlpPDTRrnt%";

impl Day {
    /// The day that rows are rendered on unless told otherwise: the one that Llama 3's template names itself.
    pub const DEFAULT: Self = Self(jiff::civil::date(2024, 7, 26));

    /// Reads `2024-07-26`; nothing where there is no such day.
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        // Other spellings of ISO 8601 are read as well, and years that Python does not know.
        (date.year() >= 1 && date.to_string() == text).then_some(Self(date))
    }

    /// What `datetime.strftime` of Python writes in its own locale, at midnight of this day.
    ///
    /// # Errors
    /// A directive that Python's documentation and the C library's do not have.
    pub(super) fn format(self, format: &str) -> Result<String> {
        let mut text = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            let mut directive = letters.next();
            let flag = match directive {
                Some('-') => {
                    directive = letters.next();
                    "-"
                }
                _ => "",
            };
            text.push_str(&match directive {
                Some(same) if SAME.contains(same) => self.jiff(&format!("%{flag}{same}")),
                // Years before 1000 are not filled up.
                Some(year @ ('Y' | 'G')) => self.jiff(&format!("%-{year}")),
                Some('F') => self.jiff("%-Y-%m-%d"),
                Some('c') => self.jiff("%a %b %e %T %-Y"),
                Some('x') => self.jiff("%D"),
                Some('X') => self.jiff("%T"),
                // Python's own: microseconds, and the zone of a time that has none.
                Some('f') => "000000".into(),
                Some('z' | 'Z') => String::new(),
                other => {
                    let other = other.map_or_else(String::new, String::from);
                    return Err(Error::operation(format!("strftime_now knows no %{other}")));
                }
            });
        }
        Ok(text)
    }

    fn jiff(self, format: &str) -> String {
        self.0.at(0, 0, 0, 0).strftime(format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_written_as_python_does() {
        // From CPython 3.11 on Linux.
        let format = "%a|%A|%w|%u|%d|%e|%b|%h|%B|%m|%y|%Y|%C|%G|%V|%j|%U|%W|%H|%M|%S|%k|%I|%l|%f|%p|%P|%z|%Z|%D|%x\
                      |%F|%T|%X|%R|%r|%c|%%";
        let short = "%-d|%-e|%-m|%-y|%-V|%-j|%-U|%-W|%-H|%-M|%-S|%-k|%-I|%-l";
        for (day, expected, expected_short) in [
            (
                "2024-07-06",
                "Sat|Saturday|6|6|06| 6|Jul|Jul|July|07|24|2024|20|2024|27|188|26|27|00|00|00| 0|12|12|000000|AM|am|||\
                 07/06/24|07/06/24|2024-07-06|00:00:00|00:00:00|00:00|12:00:00 AM|Sat Jul  6 00:00:00 2024|%",
                "6|6|7|24|27|188|26|27|0|0|0|0|12|12",
            ),
            (
                "2021-01-03",
                "Sun|Sunday|0|7|03| 3|Jan|Jan|January|01|21|2021|20|2020|53|003|01|00|00|00|00| 0|12|12|000000|AM|am|||\
                 01/03/21|01/03/21|2021-01-03|00:00:00|00:00:00|00:00|12:00:00 AM|Sun Jan  3 00:00:00 2021|%",
                "3|3|1|21|53|3|1|0|0|0|0|0|12|12",
            ),
            (
                "2000-02-29",
                "Tue|Tuesday|2|2|29|29|Feb|Feb|February|02|00|2000|20|2000|09|060|09|09|00|00|00| 0|12|12|000000|AM|am|||\
                 02/29/00|02/29/00|2000-02-29|00:00:00|00:00:00|00:00|12:00:00 AM|Tue Feb 29 00:00:00 2000|%",
                "29|29|2|0|9|60|9|9|0|0|0|0|12|12",
            ),
        ] {
            let day = Day::parse(day).unwrap();
            assert_eq!(day.format(format).unwrap(), expected);
            assert_eq!(day.format(short).unwrap(), expected_short);
        }
        let old = Day::parse("0999-12-31").unwrap();
        let years = old.format("%Y|%G|%F|%c").unwrap();
        assert_eq!(years, "999|1000|999-12-31|Tue Dec 31 00:00:00 999");
        for odd in ["%Q", "%", "%-", "%s", "%_d", "%5d", "%N"] {
            assert!(old.format(odd).is_err(), "{odd}");
        }
    }
}
