//! The shape of a job's JSON, as it is read: nothing is checked but that.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A job as it is written; nothing is checked but the shape.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Wire<'a> {
    pub(crate) accepted: f64,
    #[serde(borrow)]
    pub(crate) names: Vec<Cow<'a, str>>,
    pub(crate) batches: Vec<WireBatch<'a>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct WireBatch<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) counts: WireCounts<'a>,
}

/// The counts of a batch by minute, in their order in the text; a map type would drop one of two equal keys, and its counts with it.
#[derive(Debug, PartialEq)]
pub(crate) struct WireCounts<'a>(pub(crate) Vec<(Cow<'a, str>, IndexedCounts)>);

/// Pairs `[index into names, count]`.
pub(crate) type IndexedCounts = Vec<(u64, u64)>;

impl<'de: 'a, 'a> Deserialize<'de> for WireCounts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Minutes;
        impl<'de> Visitor<'de> for Minutes {
            type Value = WireCounts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of minutes with lists of [index, count]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut minutes = Vec::new();
                while let Some(minute) = map.next_entry()? {
                    minutes.push(minute);
                }
                Ok(WireCounts(minutes))
            }
        }
        deserializer.deserialize_map(Minutes)
    }
}
