//! The catalogue of functions, as Graphite describes them to query editors: made of the table that the planner looks them up in.

use serde_json::{Value as Document, json};

use crate::function::Function;
use crate::functions::{find, names};
use crate::parameter::{DefaultValue, Parameter};
use crate::parse::SERIES_BY_TAG;

/// The descriptions of all functions by name, or by group and name; only of `group`, if one is given. The shape is that of graphite-web's
/// `GET /functions`.
pub fn catalogue(group: Option<&str>, is_grouped: bool) -> Document {
    let mut answer = serde_json::Map::new();
    for name in names().chain([SERIES_BY_TAG]) {
        let Some(description) = described(name) else {
            continue;
        };
        let own = description["group"].as_str().unwrap_or_default().to_owned();
        if group.is_some_and(|wanted| *wanted != own) {
            continue;
        }
        if is_grouped {
            answer.entry(own).or_insert_with(|| json!({}))[name] = description;
        } else {
            answer.insert(name.to_owned(), description);
        }
    }
    Document::Object(answer)
}

/// The description of a function by one of its names, as [`catalogue`] has it; `None` for a name that is no function's.
pub fn described(name: &str) -> Option<Document> {
    if name == SERIES_BY_TAG {
        return Some(json!({
            "name": SERIES_BY_TAG,
            "function": "seriesByTag(*tagExpressions)",
            "description": "The series of a name, as in seriesByTag('name=shop.item.sold'): the name is the only tag.",
            "module": MODULE,
            "group": "Special",
            "params": [{ "name": "tagExpressions", "type": "string", "required": true, "multiple": true }],
        }));
    }
    let function = find(name).ok()?;
    Some(json!({
        "name": name,
        "function": signature(name, function),
        "description": function.description,
        "module": MODULE,
        "group": function.group,
        "params": function.parameters.iter().map(parameter).collect::<Vec<_>>(),
    }))
}

/// The module that Graphite's own functions name; Grafana tells others apart by it.
const MODULE: &str = "graphite.render.functions";

fn parameter(parameter: &Parameter) -> Document {
    let mut described = json!({ "name": parameter.name, "type": parameter.kind.word() });
    if parameter.is_required {
        described["required"] = json!(true);
    }
    if let Some(default) = parameter.default {
        described["default"] = default_as_json(default);
    }
    if parameter.is_multiple {
        described["multiple"] = json!(true);
    }
    if !parameter.options.is_empty() {
        described["options"] = json!(parameter.options);
    }
    if !parameter.suggestions.is_empty() {
        described["suggestions"] = json!(parameter.suggestions);
    }
    described
}

/// A default as JSON. Infinity is a word: JSON has no number for it.
fn default_as_json(default: DefaultValue) -> Document {
    match default {
        DefaultValue::Number(number) => json!(number),
        DefaultValue::Implied => json!(0),
        DefaultValue::Tenth => json!(0.1),
        DefaultValue::Infinity => json!("inf"),
        DefaultValue::Text(text) => json!(text),
        DefaultValue::Boolean(boolean) => json!(boolean),
    }
}

/// The signature of a function as Python would write it, such as `scale(seriesList, factor)`.
fn signature(name: &str, function: &Function) -> String {
    let parameter = |parameter: &Parameter| match parameter.default {
        _ if parameter.is_multiple => format!("*{}", parameter.name),
        Some(DefaultValue::Text(text)) => format!("{}='{text}'", parameter.name),
        Some(default) => format!(
            "{}={}",
            parameter.name,
            default_as_json(default).to_string().trim_matches('"')
        ),
        None if !parameter.is_required => format!("{}=None", parameter.name),
        None => parameter.name.to_owned(),
    };
    let parameters: Vec<String> = function.parameters.iter().map(parameter).collect();
    format!("{name}({})", parameters.join(", "))
}
