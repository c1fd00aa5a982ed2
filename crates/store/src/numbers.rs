//! Numbers in JSON, which has no NaN and no infinity: these are written as the strings `"nan"`, `"inf"` and `"-inf"`.
//!
//! For fields: `#[serde(with = "crate::numbers")]`. A null, as `serde_json` writes what is not finite, is read
//! as NaN.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number, or several, as they stand in JSON.
pub trait Numbers: Sized {
    type Wire: Serialize + DeserializeOwned;

    fn wire(&self) -> Self::Wire;
    fn value(wire: Self::Wire) -> Self;
}

/// Writes numbers.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<T: Numbers, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.wire().serialize(to)
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// What is no number and no name of one.
pub fn deserialize<'de, T: Numbers, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(T::value(T::Wire::deserialize(from)?))
}

/// One number.
#[derive(Clone, Copy)]
pub struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            finite if finite.is_finite() => to.serialize_f64(finite),
            nan if nan.is_nan() => to.serialize_str("nan"),
            low if low < 0.0 => to.serialize_str("-inf"),
            _ => to.serialize_str("inf"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a number, \"inf\", \"-inf\" or \"nan\""
        )]
        enum Any {
            Finite(f64),
            Named(String),
            Null(()),
        }
        match Any::deserialize(from)? {
            Any::Finite(number) => Ok(Self(number)),
            Any::Null(()) => Ok(Self(f64::NAN)),
            Any::Named(name) => match name.as_str() {
                "nan" => Ok(Self(f64::NAN)),
                "inf" => Ok(Self(f64::INFINITY)),
                "-inf" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(D::Error::custom(format!(
                    "expected a number, found {name:?}"
                ))),
            },
        }
    }
}

impl Numbers for f64 {
    type Wire = Number;

    fn wire(&self) -> Number {
        Number(*self)
    }

    fn value(wire: Number) -> Self {
        wire.0
    }
}

impl<T: Numbers> Numbers for Option<T> {
    type Wire = Option<T::Wire>;

    fn wire(&self) -> Self::Wire {
        self.as_ref().map(T::wire)
    }

    fn value(wire: Self::Wire) -> Self {
        wire.map(T::value)
    }
}

impl<T: Numbers> Numbers for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn wire(&self) -> Self::Wire {
        self.iter().map(T::wire).collect()
    }

    fn value(wire: Self::Wire) -> Self {
        wire.into_iter().map(T::value).collect()
    }
}

impl<T: Numbers> Numbers for (T, T) {
    type Wire = (T::Wire, T::Wire);

    fn wire(&self) -> Self::Wire {
        (self.0.wire(), self.1.wire())
    }

    fn value(wire: Self::Wire) -> Self {
        (T::value(wire.0), T::value(wire.1))
    }
}

impl<T: Numbers> Numbers for [T; 2] {
    type Wire = (T::Wire, T::Wire);

    fn wire(&self) -> Self::Wire {
        (self[0].wire(), self[1].wire())
    }

    fn value(wire: Self::Wire) -> Self {
        [T::value(wire.0), T::value(wire.1)]
    }
}

impl<T: Numbers> Numbers for BTreeMap<String, T> {
    type Wire = BTreeMap<String, T::Wire>;

    fn wire(&self) -> Self::Wire {
        let wired = self
            .iter()
            .map(|(name, value)| (name.clone(), value.wire()));
        wired.collect()
    }

    fn value(wire: Self::Wire) -> Self {
        let values = wire.into_iter();
        values.map(|(name, wire)| (name, T::value(wire))).collect()
    }
}

#[cfg(test)]
mod tests {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct All {
        #[serde(with = "super")]
        one: f64,
        #[serde(with = "super")]
        maybe: Option<[f64; 2]>,
        #[serde(with = "super")]
        points: Vec<(f64, f64)>,
    }

    #[test]
    fn what_is_not_finite_is_written_by_name_and_read_back() {
        let all = All {
            one: f64::INFINITY,
            maybe: Some([f64::NEG_INFINITY, 0.1]),
            points: vec![(1.0, 1e300)],
        };
        let text = serde_json::to_string(&all).unwrap();
        let expected = r#"{"one":"inf","maybe":["-inf",0.1],"points":[[1.0,1e+300]]}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<All>(&text).unwrap(), all);
        for nan in ["null", "\"nan\""] {
            let text = text.replace("\"inf\"", nan);
            let read: All = serde_json::from_str(&text).unwrap();
            assert!(read.one.is_nan(), "{nan}");
        }
        let odd = text.replace("\"inf\"", "\"many\"");
        let error = serde_json::from_str::<All>(&odd).unwrap_err().to_string();
        assert!(
            error.contains("expected a number, found \"many\""),
            "{error}"
        );
    }
}
