//! What both render: tests/graphite/targets.txt, read.

use super::consolidate::Consolidation;
use super::data::Data;

const TARGETS: &str = include_str!("../../graphite/targets.txt");

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) target: String,
    /// As the file has it.
    pub(super) window: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Request {
    /// How the values of theirs become ours, unless both are to do that as they do.
    pub(super) fn consolidation(&self) -> Option<Consolidation> {
        let value = |of: &str| {
            self.parameters
                .iter()
                .find_map(|(name, value)| (name == of).then_some(value))
        };
        let points_max = value("maxDataPoints").filter(|_| value("both").is_none())?;
        let by = value("by").map_or("sum", String::as_str);
        Some(Consolidation::of(&self.target, by, points_max.parse().unwrap()))
    }

    /// Whether its times may mean something else a minute later, or behind a midnight.
    pub(super) fn is_relative(&self) -> bool {
        let mut times = self
            .parameters
            .iter()
            .filter(|(name, _)| name == "from" || name == "until");
        times.any(|(_, value)| value.parse::<i64>().is_err())
    }
}

/// Every target in each of its windows.
pub(super) fn all(data: &Data) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut windows: Vec<&str> = Vec::new();
    let mut after_target = true;
    for line in TARGETS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        if let Some(window) = line.strip_prefix("@ ") {
            if std::mem::take(&mut after_target) {
                windows.clear();
            }
            windows.push(window);
            continue;
        }
        after_target = true;
        let target = with_times(line, data.first);
        requests.extend(windows.iter().map(|window| Request {
            target: line.to_owned(),
            window: (*window).to_owned(),
            parameters: parameters(&target, window, data.first),
        }));
    }
    requests
}

/// How many targets call a function.
pub(super) fn calls(function: &str) -> usize {
    let call = format!("{function}(");
    let is_call = |at: usize, line: &str| {
        !line[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_')
    };
    let calls = |line: &&str| line.match_indices(&call).any(|(at, _)| is_call(at, line));
    TARGETS.lines().filter(calls).count()
}

fn parameters(target: &str, window: &str, first: i64) -> Vec<(String, String)> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').unwrap();
        (name.to_owned(), with_times(value, first))
    };
    let target = ("target".to_owned(), target.to_owned());
    std::iter::once(target)
        .chain(window.split(' ').map(pair))
        .collect()
}

/// `<N>` is N seconds after the first minute.
fn with_times(text: &str, first: i64) -> String {
    let mut parts = text.split('<');
    let mut done = parts.next().unwrap().to_owned();
    for part in parts {
        let offset = part
            .split_once('>')
            .and_then(|(n, rest)| Some((n.parse::<i64>().ok()?, rest)));
        match offset {
            Some((n, rest)) => done += &format!("{}{rest}", first + n),
            None => done = done + "<" + part,
        }
    }
    done
}
