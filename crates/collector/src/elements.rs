//! The shapes that a JSON body may have: one event, an array of them, or an object with an array. Read by serde_json, into the text of
//! each event.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::EVENTS_MAX;
use crate::readers::{give_way, is_turn_over};

/// The events of a body, each as its text: one event, an array of them, or `{"events":[…]}`.
///
/// # Errors
/// The body is not JSON, or has none of these shapes.
pub(crate) fn elements(text: &str) -> Result<Elements<'_>, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text);
    }
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    match envelope.0 {
        Some(events) => Ok(events),
        None => Ok(Elements {
            first: vec![serde_json::from_str(text)?],
            count: 1,
        }),
    }
}

/// The array of `{"events":[…]}`, with nothing beside it; `None` where the object has no `events`.
struct Envelope<'a>(Option<Elements<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event, an array of events or an object with events")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut events = None;
                let mut has_others = false;
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if key != "events" {
                        has_others = true;
                        map.next_value::<IgnoredAny>()?;
                    } else if events.replace(map.next_value()?).is_some() {
                        return Err(serde::de::Error::duplicate_field("events"));
                    }
                }
                if events.is_some() && has_others {
                    return Err(serde::de::Error::custom("nothing may stand beside events"));
                }
                Ok(Envelope(events))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The elements of an array, up to [`EVENTS_MAX`]; further ones are only counted.
pub(crate) struct Elements<'a> {
    /// The text of each element, up to the limit.
    pub(crate) first: Vec<&'a RawValue>,
    /// The number of all elements.
    pub(crate) count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() < EVENTS_MAX {
                    match seq.next_element()? {
                        Some(raw) => {
                            first.push(raw);
                            if is_turn_over(first.len()) {
                                give_way();
                            }
                        }
                        None => {
                            return Ok(Elements {
                                count: first.len(),
                                first,
                            });
                        }
                    }
                }
                let mut count = first.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                    if is_turn_over(count) {
                        give_way();
                    }
                }
                Ok(Elements { first, count })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}
