//! What the rounds of a comparison measured: medians and spread, each beside a reference of the same run.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::figures::{grouped, table};

/// Between what is measured and the part of it that a figure is about: these stand in a table of their own.
const OF_PART: &str = ": ";

/// Figures in the order in which they came, and what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    notes: Vec<String>,
    faults: Vec<String>,
}

/// One thing that every round measures.
#[derive(Debug)]
struct Figure {
    case: String,
    what: String,
    values: Vec<f64>,
    references: Vec<Reference>,
}

#[derive(Debug)]
struct Reference {
    name: String,
    value: f64,
}

impl Report {
    /// Adds a round's value.
    pub(crate) fn record(&mut self, case: &str, what: &str, value: f64) {
        match self.figure_mut(case, what) {
            Some(figure) => figure.values.push(value),
            None => self.figures.push(Figure {
                case: case.to_owned(),
                what: what.to_owned(),
                values: vec![value],
                references: Vec::new(),
            }),
        }
    }

    /// Shows a figure as a ratio to `value`, where both were measured.
    pub(crate) fn compare(&mut self, case: &str, what: &str, reference: &str, value: Option<f64>) {
        if let (Some(figure), Some(value)) = (self.figure_mut(case, what), value) {
            figure.references.retain(|earlier| earlier.name != reference);
            figure.references.push(Reference {
                name: reference.to_owned(),
                value,
            });
        }
    }

    /// Something that is no figure, such as a peer that is not installed. Said once.
    pub(crate) fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|said| said == note) {
            println!("{note}");
            self.notes.push(note.to_owned());
        }
    }

    /// A result that makes the run fail.
    pub(crate) fn fault(&mut self, case: &str, fault: impl Display) {
        println!("FAILED {case}: {fault}");
        self.faults.push(format!("{case}: {fault}"));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    pub(crate) fn median(&self, case: &str, what: &str) -> Option<f64> {
        let is_wanted = |figure: &&Figure| figure.case == case && figure.what == what;
        self.figures.iter().find(is_wanted).map(Figure::median)
    }

    fn figure_mut(&mut self, case: &str, what: &str) -> Option<&mut Figure> {
        let is_wanted = |figure: &&mut Figure| figure.case == case && figure.what == what;
        self.figures.iter_mut().find(is_wanted)
    }

    pub(crate) fn print(&self) {
        let whole = self.figures.iter().filter(|figure| figure.part().is_none());
        let rows = whole.map(|figure| {
            let of_each = |show: &dyn Fn(&Reference) -> String| {
                let shown: Vec<String> = figure.references.iter().map(show).collect();
                shown.join("\n")
            };
            [
                figure.case.clone(),
                figure.what.clone(),
                shown(figure.median()),
                format!("{}–{}", shown(figure.min()), shown(figure.max())),
                figure.values.len().to_string(),
                of_each(&|reference| format!("{:.3}", figure.median() / reference.value)),
                of_each(&|reference| format!("{}, {}", reference.name, shown(reference.value))),
            ]
        });
        let header = ["case", "figure", "median", "spread", "rounds", "ratio", "of"];
        println!("\n{}", table(header, rows));
        if self.figures.iter().any(|figure| figure.part().is_some()) {
            println!("\n{}", table(["case", "", "medians of the parts"], self.parts()));
        }
        for note in &self.notes {
            println!("{note}");
        }
        for fault in &self.faults {
            println!("FAILED {fault}");
        }
    }

    /// One row for all parts of a case's figure.
    fn parts(&self) -> Vec<[String; 3]> {
        let mut rows: Vec<[String; 3]> = Vec::new();
        for figure in &self.figures {
            let Some((what, part)) = figure.part() else {
                continue;
            };
            let median = format!("{part} {}", shown(figure.median()));
            match rows
                .iter_mut()
                .find(|row| row[0] == figure.case && row[1] == what)
            {
                Some(row) => row[2] += &format!(", {median}"),
                None => rows.push([figure.case.clone(), what.to_owned(), median]),
            }
        }
        rows
    }

    pub(crate) fn json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            json!({
                "case": figure.case,
                "figure": figure.what,
                "median": figure.median(),
                "min": figure.min(),
                "max": figure.max(),
                "rounds": figure.values,
                "references": figure.references_json(),
            })
        });
        json!({
            "figures": figures.collect::<Vec<_>>(),
            "notes": self.notes,
            "faults": self.faults,
        })
    }
}

impl Figure {
    fn references_json(&self) -> Vec<Value> {
        let reference =
            |of: &Reference| json!({ "name": of.name, "value": of.value, "ratio": self.median() / of.value });
        self.references.iter().map(reference).collect()
    }

    fn part(&self) -> Option<(&str, &str)> {
        self.what.split_once(OF_PART)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Of an even number, the mean of the middle two.
    fn median(&self) -> f64 {
        let values = self.sorted();
        let at = values.len() / 2;
        if values.len().is_multiple_of(2) {
            f64::midpoint(values[at - 1], values[at])
        } else {
            values[at]
        }
    }

    fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn max(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

fn shown(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        grouped(value)
    } else {
        format!("{value:.3}")
    }
}
