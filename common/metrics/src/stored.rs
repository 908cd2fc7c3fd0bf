//! The stored form of numbers that can be NaN or infinite, which JSON does not have: such a number
//! is the text that Rust prints, as in [`caviar_common::metric`].

use caviar_common::metric::{finite_or_text, number_or_text};
use serde::{Deserialize, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Number(#[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")] f64);

/// Writes the shortest text of an f32, which is half as long as that of the same f64.
struct Single(f32);

impl Serialize for Single {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f32(self.0)
        } else {
            finite_or_text(&f64::from(self.0), serializer)
        }
    }
}

/// A list of f64.
pub(crate) mod numbers {
    use super::Number;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|value| Number(*value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Number>::deserialize(d)?.into_iter().map(|number| number.0).collect())
    }
}

/// A list of f32.
pub(crate) mod singles {
    use super::{Number, Single};
    use caviar_common::numbers::single;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|value| Single(*value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f32>, D::Error> {
        Ok(Vec::<Number>::deserialize(d)?.into_iter().map(|number| single(number.0)).collect())
    }
}

/// A number that can be absent.
pub(crate) mod optional {
    use super::Number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(d)?.map(|number| number.0))
    }
}
